// The measure and gate phases: what changed between the weights before and after, and whether to
// trust it.
import { join } from 'node:path';
import { z } from 'zod';
import { writeJsonAtomic } from '../base/atomic-file.ts';
import { Reader } from '../measure/reader.ts';
import { type ScoredExample, scoreExamples } from '../measure/scenario-margin.ts';
import { estimate } from '../measure/statistics.ts';
import { loadVersion } from '../model/versions.ts';
import { type Example, toExample } from '../scenario/example.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { PROBE, type Probe } from '../swap/probe.ts';
import { scenarioOf } from './dreaming.ts';
import { FILE, readFlagged } from './files.ts';
import { DEAF_DELTA } from './training.ts';
import type { Trained, WorkParts } from './work.ts';

type Parts = WorkParts & { folder: string };
type Tell = (done: number, total: number | null, facts?: Record<string, number>) => void;

const estimateSchema = z.strictObject({
  mean: z.number().nullable(),
  low: z.number().nullable(),
  high: z.number().nullable(),
  p: z.number(),
  clusters: z.int(),
});

export const measuredSchema = z.strictObject({
  margin: estimateSchema,
  realMinusDeaf: estimateSchema.nullable(),
});
export type Measured = z.infer<typeof measuredSchema>;

export const verdictSchema = z.strictObject({ passed: z.boolean(), reasons: z.array(z.string()) });

/** Probes that a swap compares with; f32 kernels of another shape round differently. */
const PROBE_SEQUENCES = 4;
const PROBE_TOLERANCE_NATS = 2e-3;

export async function measureNight(parts: Parts, trained: Trained, tell: Tell): Promise<Measured> {
  const { plan, folder, model, executor } = parts;
  const reader = new Reader({ model, executor });
  try {
    const examples = await examplesOf(parts);
    const parent = (await loadVersion(model, plan.deltas)).weights;
    const delta = join(folder, FILE.delta);
    const candidate = await loadVersion(model, [...plan.deltas, delta]);
    const before = await scoreExamples(reader, examples, parent);
    tell(1, 3);
    const after = await scoreExamples(reader, examples, candidate.weights);
    tell(2, 3);
    let deaf: ScoredExample[] | undefined;
    if (trained.deafHash !== null) {
      const { weights } = await loadVersion(model, [...plan.deltas, join(folder, DEAF_DELTA)]);
      deaf = await scoreExamples(reader, examples, weights);
    }
    await writeProbe(parts, candidate.id, reader, examples, candidate.weights);
    tell(3, 3);
    const measured = {
      margin: gain(before, after),
      realMinusDeaf: deaf === undefined ? null : gain(deaf, after),
    };
    await writeJsonAtomic(join(folder, FILE.measures), measured);
    return measured;
  } finally {
    await reader.close();
  }
}

/** Flagged moments with both candidates: held-back ones measure, the rest is shown beside them. */
async function examplesOf({ folder, tokenizer, model, plan }: Parts): Promise<Example[]> {
  const moments = await readFlagged(folder);
  const scenarios = moments.flatMap((moment): Scenario[] => {
    const scenario = scenarioOf(moment);
    return scenario?.rejected === undefined ? [] : [scenario];
  });
  const { contextTokensMax, replyTokensMax } = plan.config.train;
  const windowTokens = Math.min(model.windowTokens, contextTokensMax + replyTokensMax);
  return scenarios.map((scenario) =>
    toExample(scenario, tokenizer, { windowTokens, replyTokensMax }),
  );
}

function gain(
  before: readonly ScoredExample[],
  after: readonly ScoredExample[],
): Measured['margin'] {
  const observations = after.map(({ example, margin }, i) => ({
    value: margin.perToken - (before[i]?.margin.perToken ?? Number.NaN),
    cluster: example.scenario.source.cluster,
  }));
  const { mean, low, high, p, clusters } = estimate(observations);
  const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
  return { mean: finite(mean), low: finite(low), high: finite(high), p, clusters };
}

/** What the new weights say about a few chosen replies, for the swap to compare with. */
async function writeProbe(
  { folder }: Parts,
  version: string,
  reader: Reader,
  examples: readonly Example[],
  weights: Parameters<typeof scoreExamples>[2],
): Promise<void> {
  const sequences: Probe['sequences'] = [];
  for (const { contextIds, chosen } of examples.slice(0, PROBE_SEQUENCES)) {
    const cache = await reader.prefill(contextIds, weights);
    const [logprobs] = await reader.logProbabilities(cache, [chosen], weights);
    cache.release();
    const ids = [...contextIds, ...chosen.ids.slice(0, 1), ...chosen.targets];
    sequences.push({ ids, from: contextIds.length + 1, logprobs: [...(logprobs ?? [])] });
  }
  if (sequences.length === 0) return;
  const probe: Probe = { schema: 1, version, toleranceNats: PROBE_TOLERANCE_NATS, sequences };
  await writeJsonAtomic(join(folder, PROBE), probe);
}

export async function gateNight(
  { plan }: Parts,
  _trained: Trained,
  measured: Measured,
): Promise<z.infer<typeof verdictSchema>> {
  const { marginGainMin } = plan.config.gate;
  const gained = measured.margin.mean ?? Number.NaN;
  const passed = gained >= marginGainMin;
  return { passed, reasons: [`margin ${gained.toFixed(3)}; at least ${marginGainMin} needed`] };
}
