// The gate of a night for an adapter that somebody else made: the same judges, and a placebo of the
// same singular values that reads the wrong directions.
import { join } from 'node:path';
import { createRandom } from '../base/random.ts';
import { mean } from '../measure/statistics.ts';
import { type LowRankDelta, rankOf, writeDelta } from '../model/delta.ts';
import { loadVersion } from '../model/versions.ts';
import { klOfLogits } from '../reading/logits.ts';
import { createReader } from '../reading/reader.ts';
import { render } from '../reading/render.ts';
import { FILE, PLACEBO_DELTA, WORK, writeFlagged, writeScenarios } from '../record/files.ts';
import type { Verdict } from '../record/phase-result.ts';
import { parseScenario } from '../scenario/scenario.ts';
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
  const write = (name: string, content: Factors): Promise<string> =>
    writeDelta(join(path, name), { baseHash: tools.model.baseHash, tensors: content }, ops);
  await write(FILE.delta, tensors);
  const misread = misreading(tensors, night.plan.seed);
  await write(PLACEBO_DELTA, misread);
  const [real, placebo] = [
    await outputKl(night, FILE.delta, tools),
    await outputKl(night, PLACEBO_DELTA, tools),
  ];
  // A KL grows with the square of what is added.
  const scale = Math.sqrt(real / Math.max(placebo, Number.MIN_VALUE)) || 0;
  await write(PLACEBO_DELTA, scaled(misread, scale));
  await measureNight(night, tools, tell);
  const placeboOutputKl = await outputKl(night, PLACEBO_DELTA, tools);
  return gateNight(night, { outputKl: real, placeboOutputKl });
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

/** Mean KL from the weights before on the right replies of judged pairs, nats a token. */
async function outputKl(
  night: Night,
  file: string,
  { model, executor, tokenizer: renderer }: MeasuringTools,
): Promise<number> {
  const { plan, folder } = night;
  const before = await loadVersion(model, plan.deltas);
  const after = await loadVersion(model, [...plan.deltas, join(folder.path, file)]);
  const scenarios = (await readJudges(night)).pairs.slice(0, MOMENTS).map(({ sides: [side] }) => {
    return parseScenario({ ...side.scenario, chosen: side.right[0] });
  });
  const reader = createReader({ model, executor });
  const kls: number[] = [];
  try {
    for (const { contextIds, chosen } of render(scenarios, { renderer, limits: LIMITS }, [])) {
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
