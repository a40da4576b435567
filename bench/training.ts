// `npm run bench:training`: a context-frozen step at growing contexts, and the optimizers' updates.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Reader } from '../src/measure/reader.ts';
import { readModel } from '../src/model/model.ts';
import { loadVersion } from '../src/model/versions.ts';
import { isQProj } from '../src/model/weight-names.ts';
import { createOnnxExecutor } from '../src/runtime/onnx.ts';
import type { Candidate, Example } from '../src/scenario/example.ts';
import type { Scenario } from '../src/scenario/scenario.ts';
import { Learner } from '../src/train/learner.ts';
import { type OptimizerName, type Parameter, stateBytes } from '../src/train/optimizer.ts';
import { LLAMA_14M, writeRandomModel } from './random-model.ts';

const CONTEXTS = [128, 256, 512, 1000, 2048, 4096];
const DECISION = 64;
const REPEATS = 5;
const folder = mkdtempSync(join(tmpdir(), 'attune-bench-training-'));
const dir = await writeRandomModel(join(folder, 'model'), { ...LLAMA_14M, windowTokens: 4352 });
const executor = await createOnnxExecutor({ device: 'cpu', threads: 1 });
const model = await readModel(dir, { cacheDir: join(folder, 'cache') });
const reader = new Reader({ model, executor });
const weights = { ...(await loadVersion(model, [])).weights };
const parameters: Parameter[] = Object.entries(weights).map(([name, { shape }]) => ({
  name,
  shape: shape as [number, number],
}));
const objective = {
  chosenWeight: 1,
  preferenceWeight: 0,
  preferenceBeta: 0.1,
  guardWeight: 0,
};
const optimizerOf = (optimizer: OptimizerName, rank: number) => ({
  optimizer,
  rank,
  projectionSteps: 200,
  seed: 1,
  gradientNormMax: 0,
});

interface Timing {
  readonly wallMs: number;
  /** Time of this process on all cores: what is left of contention with others. */
  readonly cpuMs: number;
}

/** The best of some repeats after one to warm up. */
async function best(run: () => Promise<unknown>): Promise<Timing> {
  await run();
  let [wallMs, cpuMs] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let i = 0; i < REPEATS; i++) {
    const [wall, cpu] = [performance.now(), process.cpuUsage()];
    await run();
    const used = process.cpuUsage(cpu);
    wallMs = Math.min(wallMs, performance.now() - wall);
    cpuMs = Math.min(cpuMs, (used.user + used.system) / 1000);
  }
  return { wallMs, cpuMs };
}

const idsOf = (count: number, from: number): number[] =>
  Array.from({ length: count }, (_, i) => (from + 7 * i) % model.config.vocabSize);
const chosen: Candidate = {
  ids: idsOf(DECISION, 3),
  targets: idsOf(DECISION, 10),
  lossMask: Array(DECISION).fill(1),
};
const exampleOf = (context: number): Example => ({
  scenario: { id: `context-${context}` } as Scenario,
  contextIds: idsOf(context, 1),
  chosen,
  spans: [],
  droppedTurns: 0,
});

const learner = await Learner.create(
  { model, executor, fed: isQProj, parameters, objective, optimizer: optimizerOf('apollo', 16) },
  weights,
);
const steps: object[] = [];
for (const context of CONTEXTS) {
  const example = exampleOf(context);
  const prefill = await best(async () => {
    (await reader.prefill(example.contextIds, weights)).release();
  });
  const cache = await reader.prefill(example.contextIds, weights);
  const step = await best(() => learner.learn(example, cache, [0]));
  const residentBytes = process.memoryUsage().rss;
  // Contexts grow, so the highest so far is this context's own peak.
  const peakBytes = 1024 * process.resourceUsage().maxRSS;
  const row = {
    context,
    decision: DECISION,
    step,
    prefill,
    cacheBytes: cache.bytes,
    residentBytes,
    peakBytes,
  };
  cache.release();
  steps.push(row);
  console.log(
    `context ${context}: step ${step.wallMs.toFixed(1)} ms (${step.cpuMs.toFixed(1)} ms of CPU), ` +
      `prefill ${prefill.wallMs.toFixed(1)} ms, cache ${(cache.bytes / 1e6).toFixed(2)} MB, ` +
      `resident ${(residentBytes / 1e6).toFixed(0)} MB, peak ${(peakBytes / 1e6).toFixed(0)} MB`,
  );
}
await learner.close();

const optimizers: object[] = [];
for (const [name, rank] of [
  ['apollo', 16],
  ['apollo-mini', 1],
  ['adamw', 1],
] as const) {
  const optimizer = optimizerOf(name, rank);
  const own = await Learner.create(
    { model, executor, fed: isQProj, parameters, objective, optimizer },
    weights,
  );
  let step = 0;
  const update = await best(() => own.update(step++, { rate: 1e-4, weightDecay: 0 }));
  await own.close();
  const bytes = stateBytes(optimizer, parameters);
  optimizers.push({ name, rank, update, stateBytes: bytes });
  console.log(
    `${name} rank ${rank}: update ${update.wallMs.toFixed(1)} ms (${update.cpuMs.toFixed(1)} ms of ` +
      `CPU), state ${bytes} bytes`,
  );
}
console.log(JSON.stringify({ bench: 'training', parameters: model.parameters, steps, optimizers }));
await reader.close();
await executor.close();
