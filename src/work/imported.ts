// What somebody else has trained, in the place of the night: an adapter of which nothing is known,
// whose placebo has the same singular values and reads the wrong directions; and both adapters of a
// job.
import { join } from 'node:path';
import { z } from 'zod';
import { readJsonBounded } from '../base/atomic-file.ts';
import { createRandom } from '../base/random.ts';
import { mean } from '../measure/statistics.ts';
import { readPeft } from '../model/adapter/peft.ts';
import { type LowRankDelta, rankOf, writeDelta } from '../model/delta.ts';
import { loadVersion } from '../model/versions.ts';
import { klOfLogits } from '../reading/logits.ts';
import { createReader } from '../reading/reader.ts';
import { render } from '../reading/render.ts';
import {
  FILE,
  PLACEBO_DELTA,
  readScenarioFile,
  WORK,
  writeFlagged,
  writeScenarios,
} from '../record/files.ts';
import type { Trained, Verdict } from '../record/phase-result.ts';
import { parseScenario, type Scenario } from '../scenario/scenario.ts';
import { movedShare } from '../train/difference.ts';
import { gateNight, type MeasuringTools, measureNight } from './evidence.ts';
import { readJudges } from './judges.ts';
import type { Night, Tell } from './phase.ts';

type Factors = Readonly<Record<string, LowRankDelta>>;

/** Moments on which the two are to move the output as far. */
const MOMENTS = 8;
const LIMITS = { windowTokens: 512, replyTokensMax: 32 };

/** Leaves the delta, its placebo and the measures in the folder of the night, which learns nothing. */
export async function gateAdapter(
  night: Night,
  tensors: Factors,
  tools: MeasuringTools,
  tell: Tell,
): Promise<Verdict> {
  const { path, ops } = night.folder;
  await ops.makeFolder(join(path, WORK));
  await writeFlagged(night.folder, []);
  await writeScenarios(night.folder, 'scenarios', []);
  await writeScenarios(night.folder, 'everyday', []);
  const judged = (await readJudges(night)).pairs.map(({ sides: [side] }) => {
    return parseScenario({ ...side.scenario, chosen: side.right[0] });
  });
  const placebo = misreading(tensors, night.plan.seed);
  const written = await writeArms(night, { tensors, placebo, moments: judged }, tools);
  await measureNight(night, tools, tell);
  return gateNight(night, written);
}

const trainedSchema = z.looseObject({ steps: z.int(), seconds: z.number() });

/**
 * What a job has trained in the place of the night: how far it moves the model is measured here.
 * @throws model-unsupported where it moves other weights than W_q, delta-damaged, store-damaged
 */
export async function takeTrained(night: Night, job: string, tools: Tools): Promise<Trained> {
  const { plan, folder } = night;
  await folder.ops.makeFolder(join(folder.path, WORK));
  const lessons = await readScenarioFile(folder, 'scenarios');
  const tensors = await readPeft(join(job, 'adapter'));
  const placebo =
    (await folder.ops.stat(join(job, 'placebo'))) && (await readPeft(join(job, 'placebo')));
  const written = await writeArms(night, { tensors, placebo, moments: lessons }, tools);
  const told = await readJsonBounded(join(job, 'adapter.json'), trainedSchema);
  const names = Object.keys(tensors);
  const [before, after] = [
    await loadVersion(tools.model, plan.deltas),
    await loadVersion(tools.model, [...plan.deltas, join(folder.path, FILE.delta)]),
  ];
  return {
    ...written,
    ...{ steps: told?.steps ?? 0, seconds: told?.seconds ?? 0, tokens: 0, stop: 'elsewhere' },
    relativeNorm: movedShare(after.weights, before.weights, names),
    deafRelativeNorm: null,
    rank: Math.max(0, ...Object.values(tensors).map(rankOf)),
    lostShare: 0,
    sources: new Set(lessons.map(({ source }) => source.cluster)).size,
    ...{ examples: lessons.length, refused: 0, memoryBytes: process.memoryUsage().rss },
  };
}

type Tools = Pick<MeasuringTools, 'model' | 'executor' | 'tokenizer'>;

interface Arms {
  readonly tensors: Factors;
  readonly placebo: Factors | undefined;
  /** On some of them both are to move the output as far. */
  readonly moments: readonly Scenario[];
}

/** Writes the delta, and the placebo's as long as it has to be. */
async function writeArms(night: Night, { tensors, placebo, moments }: Arms, tools: Tools) {
  const write = (name: string, content: Factors): Promise<string> => {
    const { path, ops } = night.folder;
    return writeDelta(join(path, name), { baseHash: tools.model.baseHash, tensors: content }, ops);
  };
  const deltaHash = await write(FILE.delta, tensors);
  const klOf = (file: string) =>
    outputKl(night, { file, moments: moments.slice(0, MOMENTS) }, tools);
  const real = await klOf(FILE.delta);
  if (placebo === undefined)
    return { deltaHash, deafHash: null, outputKl: real, placeboOutputKl: null };
  await write(PLACEBO_DELTA, placebo);
  // A KL grows with the square of what is added.
  const scale = Math.sqrt(real / Math.max(await klOf(PLACEBO_DELTA), Number.MIN_VALUE)) || 0;
  const deafHash = await write(PLACEBO_DELTA, scaled(placebo, scale));
  return { deltaHash, deafHash, outputKl: real, placeboOutputKl: await klOf(PLACEBO_DELTA) };
}

/** The same matrices with the directions that they read in another order. */
function misreading(tensors: Factors, seed: number): Factors {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => {
      const [, width] = tensor.shape;
      const random = createRandom(`${seed}:${name}`);
      const order = random.shuffle(Array.from({ length: width }, (_, i) => i));
      const loraA = new Float32Array(tensor.loraA.length);
      for (let r = 0; r < rankOf(tensor); r++) {
        for (const [i, from] of order.entries()) {
          loraA[r * width + i] = tensor.loraA[r * width + from] as number;
        }
      }
      return [name, { ...tensor, loraA }];
    }),
  );
}

function scaled(tensors: Factors, by: number): Factors {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [
      name,
      { ...tensor, loraB: tensor.loraB.map((value) => value * by) },
    ]),
  );
}

/** Mean KL from the weights before, on the replies of moments, nats a token. */
async function outputKl(
  { plan, folder }: Night,
  { file, moments }: { readonly file: string; readonly moments: readonly Scenario[] },
  { model, executor, tokenizer: renderer }: Tools,
): Promise<number> {
  const before = await loadVersion(model, plan.deltas);
  const after = await loadVersion(model, [...plan.deltas, join(folder.path, file)]);
  const reader = createReader({ model, executor });
  const kls: number[] = [];
  try {
    for (const { contextIds, chosen } of render(moments, { renderer, limits: LIMITS }, [])) {
      const cache = await reader.prefill(contextIds, before.weights);
      const first = await reader.logits(cache, chosen, before.weights);
      kls.push(klOfLogits(first, await reader.logits(cache, chosen, after.weights)));
      cache.release();
    }
  } finally {
    await reader.close();
  }
  return mean(kls);
}
