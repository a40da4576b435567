// `npm run bench:training`: a context-frozen step at growing contexts, and the optimizers' updates;
// with --python also the same step in PyTorch. Prints Markdown tables.
import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Model, readModel } from '../src/model/model.ts';
import { loadVersion } from '../src/model/versions.ts';
import { isQProj } from '../src/model/weight-names.ts';
import { createReader } from '../src/reading/reader.ts';
import type { Executor, HostTensor } from '../src/runtime/executor.ts';
import { createOnnxExecutor } from '../src/runtime/onnx.ts';
import type { Example } from '../src/scenario/example.ts';
import type { Scenario } from '../src/scenario/scenario.ts';
import { adamw } from '../src/train/adamw.ts';
import { apollo } from '../src/train/apollo.ts';
import { Learner } from '../src/train/learner.ts';
import type { Optimizer, Parameter } from '../src/train/optimizer.ts';
import { targetOf } from '../src/train/target.ts';
import { LLAMA_14M, writeRandomModel } from '../test/model/random-model.ts';
import { compareSteps, ratioOf } from './compare.ts';
import { describeMachine } from './machine.ts';

const { values: options } = parseArgs({
  options: {
    contexts: { type: 'string', default: '128,256,512,1000,2048,4096' },
    repeats: { type: 'string', default: '5' },
    /** A Python that has the requirements of bench/peers. */
    python: { type: 'string' },
  },
});
const contexts = options.contexts.split(',').map(Number);
const repeats = Number(options.repeats);
const DECISION = 64;
const DRAWN = { projectionSteps: 200, seed: 1 };
const APOLLO = apollo({ rank: 16, scaling: 'channel', ...DRAWN });
const OPTIMIZERS = [
  ['apollo', 16, APOLLO],
  ['apollo-mini', 1, apollo({ rank: 1, scaling: 'tensor', ...DRAWN })],
  ['adamw', 1, adamw],
] as const;

interface Timing {
  readonly wallMs: number;
  /** Time of this process on all cores: what is left of contention with others. */
  readonly cpuMs: number;
}

/** The best of some repeats after one to warm up. */
async function best(run: () => Promise<unknown>, count = repeats): Promise<Timing> {
  await run();
  let [wallMs, cpuMs] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let i = 0; i < count; i++) {
    const [wall, cpu] = [performance.now(), process.cpuUsage()];
    await run();
    const used = process.cpuUsage(cpu);
    wallMs = Math.min(wallMs, performance.now() - wall);
    cpuMs = Math.min(cpuMs, (used.user + used.system) / 1000);
  }
  return { wallMs, cpuMs };
}

const say = (cells: readonly (string | number)[]): void => console.log(`| ${cells.join(' | ')} |`);
const head = (names: readonly string[]): void => {
  console.log('');
  say(names);
  console.log(`|${'---|'.repeat(names.length)}`);
};
const ms = ({ wallMs, cpuMs }: Timing): string => `${wallMs.toFixed(1)} (${cpuMs.toFixed(1)})`;
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

interface Bench {
  readonly model: Model;
  readonly executor: Executor;
  readonly cacheDir: string;
  readonly weights: Record<string, HostTensor>;
}

async function createLearner({ model, executor, weights }: Bench, optimizer: Optimizer) {
  const parameters: Parameter[] = Object.entries(weights).map(([name, { shape }]) => ({
    name,
    shape: shape as [number, number],
  }));
  const learner = await Learner.create({ model, executor, fed: isQProj, parameters, optimizer });
  await learner.begin(weights);
  const state = Object.values(await learner.readState());
  return { learner, bytes: state.reduce((total, { data }) => total + 4 * data.length, 0) };
}

function exampleOf({ model }: Bench, context: number): Example {
  const ids = (count: number, from: number): number[] =>
    Array.from({ length: count }, (_, i) => (from + 7 * i) % model.config.vocabSize);
  return {
    scenario: { id: `context-${context}` } as Scenario,
    contextIds: ids(context, 1),
    chosen: {
      ids: ids(DECISION, 3),
      targets: ids(DECISION, 10),
      lossMask: Array(DECISION).fill(1),
    },
    spans: [],
    droppedTurns: 0,
  };
}

async function benchSteps(bench: Bench): Promise<void> {
  const { model, executor, weights } = bench;
  const reader = createReader({ model, executor });
  const { learner } = await createLearner(bench, APOLLO);
  head([
    'context',
    'step, ms wall (CPU)',
    'prefill, ms wall (CPU)',
    'cache, MB',
    'memory of a step beside it, MB',
    'most that its process has, MB',
  ]);
  for (const context of contexts) {
    const example = exampleOf(bench, context);
    const prefill = await best(
      async () => (await reader.prefill(example.contextIds, weights)).release(),
      Math.min(2, repeats),
    );
    const cache = await reader.prefill(example.contextIds, weights);
    const target = targetOf(await reader.logits(cache, example.chosen, weights));
    const { id } = example.scenario;
    const step = await best(() => learner.learn(example.chosen, cache, { id, target, weight: 1 }));
    cache.release();
    const memory = stepMemory(bench, context);
    say([context, ms(step), ms(prefill), ...memory.map(megabytes)]);
  }
  await learner.close();
  await reader.close();
}

/** Of the cache, of a step, and at most; in a process of its own: allocators keep what they had. */
function stepMemory({ model, cacheDir }: Bench, context: number): number[] {
  const script = fileURLToPath(new URL('./step-memory.js', import.meta.url));
  const { stdout } = spawnSync(process.execPath, [script, model.dir, cacheDir, `${context}`], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const found = JSON.parse(stdout) as Record<'cacheBytes' | 'stepBytes' | 'peakBytes', number>;
  return [found.cacheBytes, found.stepBytes, found.peakBytes];
}

async function benchOptimizers(bench: Bench): Promise<void> {
  head(['optimizer', 'rank', 'update of all W_q, ms wall (CPU)', 'state, bytes', 'of AdamW’s']);
  const { bytes: ofAdamW, learner } = await createLearner(bench, adamw);
  await learner.close();
  for (const [name, rank, optimizer] of OPTIMIZERS) {
    const { learner: own, bytes } = await createLearner(bench, optimizer);
    let step = 0;
    const update = await best(() => own.update(step++, 1e-4));
    await own.close();
    say([name, rank, ms(update), bytes, `${((100 * bytes) / ofAdamW).toFixed(1)} %`]);
  }
}

async function comparePyTorch(model: Model, python: string): Promise<void> {
  head(['against PyTorch, context 1000', 'ours, ms best (median)', 'theirs', 'times faster']);
  for (const threads of new Set([1, availableParallelism()])) {
    const { frozen, lora } = await compareSteps({ model, python, rounds: repeats }, threads);
    for (const [name, pair] of [
      ['the same step', frozen],
      ['full-sequence LoRA step', lora],
    ] as const) {
      const found = ratioOf(pair) as Record<string, number>;
      const text = (key: string): string => (found[key] as number).toFixed(1);
      const times = `${found.ratio?.toFixed(2)} × (${found.medianRatio?.toFixed(2)} ×)`;
      const ours = `${text('oursMs')} (${text('oursMedianMs')})`;
      const theirs = `${text('theirsMs')} (${text('theirsMedianMs')})`;
      say([`${name}, ${threads} threads`, ours, theirs, times]);
    }
  }
}

const folder = mkdtempSync(join(tmpdir(), 'attune-bench-training-'));
try {
  const shape = { ...LLAMA_14M, windowTokens: Math.max(...contexts) + 4 * DECISION };
  const dir = await writeRandomModel(join(folder, 'model'), shape);
  const cacheDir = join(folder, 'cache');
  const model = await readModel(dir, { cacheDir });
  const executor = await createOnnxExecutor({ device: 'cpu', threads: 1 });
  const { cpu, threads, node, load } = describeMachine();
  console.log(
    `${(model.parameters / 1e6).toFixed(1)} million weights, f32, ${DECISION} decision tokens, one ` +
      `thread, best of ${repeats}; ${cpu}, ${threads} threads, Node ${node}, load ${load.toFixed(1)}`,
  );
  const { weights } = await loadVersion(model, []);
  const bench = { model, executor, cacheDir, weights: { ...weights } };
  await benchSteps(bench);
  await benchOptimizers(bench);
  await executor.close();
  if (options.python !== undefined) await comparePyTorch(model, options.python);
  console.log(`\nLoad after: ${loadavg()[0]?.toFixed(1)}.`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
