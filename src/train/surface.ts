// The surface arm: one trainable bias on the logits. It can learn words to say, and no listening.
import { createRandom } from '../base/random.ts';
import { logSoftmaxRow } from '../measure/retention.ts';
import { listeningMargin } from '../reading/margin.ts';
import type { Reader, TrainableWeights } from '../reading/reader.ts';
import type { ScoredExample } from '../reading/scenario-margin.ts';
import type { HostTensor } from '../runtime/executor.ts';
import type { Candidate, Example } from '../scenario/example.ts';

export interface SurfaceSettings {
  readonly epochs: number;
  /** Adam's step size for each entry of the bias. */
  readonly rate: number;
  readonly beta: number;
  readonly chosenWeight: number;
  readonly seed: number | string;
}

interface Scored {
  readonly candidate: Candidate;
  readonly logits: HostTensor;
}

/** Rows of logits (length, vocabulary) of each candidate; the model itself never changes. */
async function logitsOf(
  reader: Reader,
  { contextIds, chosen, rejected }: Example,
  weights: TrainableWeights,
): Promise<Scored[]> {
  const cache = await reader.prefill(contextIds, weights);
  const scored: Scored[] = [];
  for (const candidate of rejected === undefined ? [chosen] : [chosen, rejected]) {
    scored.push({ candidate, logits: await reader.logits(cache, candidate, weights) });
  }
  cache.release();
  return scored;
}

function rowsOf({ candidate, logits }: Scored, bias: Float64Array): Float64Array[] {
  const vocabulary = logits.shape[1] as number;
  return candidate.targets.map((_, row) => {
    const at = row * vocabulary;
    const own = Float64Array.from(bias, (b, i) => b + (logits.data[at + i] as number));
    return logSoftmaxRow(own);
  });
}

const scoreRows = (rows: readonly Float64Array[], { targets }: Candidate): Float64Array =>
  Float64Array.from(rows, (row, i) => row[targets[i] as number] as number);

/** Adds `factor · ∂ Σ log p(targets) / ∂ bias` = factor · Σ_rows (one-hot − p). */
function addGradient(
  gradient: Float64Array,
  rows: readonly Float64Array[],
  { targets }: Candidate,
  factor: number,
): void {
  for (const [row, logs] of rows.entries()) {
    for (let i = 0; i < gradient.length; i++) {
      gradient[i] = (gradient[i] as number) - factor * Math.exp(logs[i] as number);
    }
    const target = targets[row] as number;
    gradient[target] = (gradient[target] as number) + factor;
  }
}

const sum = (values: Float64Array): number => values.reduce((a, b) => a + b, 0);

/**
 * Trains the bias (vocabulary) with the same objective as the real arm (cross-entropy on chosen,
 * DPO against the model without bias), by Adam, one example a step.
 */
export async function trainSurface(
  reader: Reader,
  examples: readonly Example[],
  weights: TrainableWeights,
  settings: SurfaceSettings,
): Promise<Float64Array> {
  const size = reader.model.config.vocabSize;
  const bias = new Float64Array(size);
  const none = new Float64Array(size);
  const [first, second] = [new Float64Array(size), new Float64Array(size)];
  const random = createRandom(`surface:${settings.seed}`);
  let step = 0;
  for (let epoch = 0; epoch < settings.epochs; epoch++) {
    for (const example of random.shuffle(examples)) {
      const scored = await logitsOf(reader, example, weights);
      adam({ bias, first, second }, gradientOf(scored, { bias, none, settings }), {
        step: ++step,
        rate: settings.rate,
      });
    }
  }
  return bias;
}

/** Ascent direction of the objective with respect to the bias. */
function gradientOf(
  scored: readonly Scored[],
  { bias, none, settings }: { bias: Float64Array; none: Float64Array; settings: SurfaceSettings },
): Float64Array {
  const gradient = new Float64Array(bias.length);
  const rows = scored.map((one) => rowsOf(one, bias));
  const [chosen, rejected] = scored as [Scored, Scored | undefined];
  const chosenRows = rows[0] as Float64Array[];
  addGradient(
    gradient,
    chosenRows,
    chosen.candidate,
    settings.chosenWeight / chosen.candidate.targets.length,
  );
  if (rejected === undefined) return gradient;
  const gain = scored.map(
    (one, i) =>
      sum(scoreRows(rows[i] as Float64Array[], one.candidate)) -
      sum(scoreRows(rowsOf(one, none), one.candidate)),
  ) as [number, number];
  const pull = settings.beta / (1 + Math.exp(settings.beta * (gain[0] - gain[1])));
  addGradient(gradient, chosenRows, chosen.candidate, pull);
  addGradient(gradient, rows[1] as Float64Array[], rejected.candidate, -pull);
  return gradient;
}

function adam(
  state: { bias: Float64Array; first: Float64Array; second: Float64Array },
  gradient: Float64Array,
  { step, rate }: { step: number; rate: number },
): void {
  const correction = Math.sqrt(1 - 0.999 ** step) / (1 - 0.9 ** step);
  for (let i = 0; i < gradient.length; i++) {
    const g = gradient[i] as number;
    state.first[i] = 0.9 * (state.first[i] as number) + 0.1 * g;
    state.second[i] = 0.999 * (state.second[i] as number) + 0.001 * g * g;
    const move = (state.first[i] as number) / (Math.sqrt(state.second[i] as number) + 1e-8);
    state.bias[i] = (state.bias[i] as number) + rate * correction * move;
  }
}

/** Margins of examples with the bias on every logit. */
export async function scoreWithBias(
  reader: Reader,
  examples: readonly Example[],
  weights: TrainableWeights,
  bias: Float64Array,
): Promise<ScoredExample[]> {
  const result: ScoredExample[] = [];
  for (const example of examples) {
    const scored = await logitsOf(reader, example, weights);
    const [chosen, rejected] = scored.map((one) => ({
      ids: one.candidate.targets,
      logProbabilities: scoreRows(rowsOf(one, bias), one.candidate),
    }));
    if (chosen === undefined) continue;
    result.push({ example, margin: listeningMargin(chosen, rejected ?? chosen) });
  }
  return result;
}
