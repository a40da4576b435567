// `npm run bench`: decode, prefill, a W_q step and memory; with --peers the ratios of the design.
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { withHugePages } from '../src/base/huge-pages.ts';
import { proportionalBytes } from '../src/base/process-memory.ts';
import { createEngine } from '../src/engine/in-process-engine.ts';
import { type Model, readModel } from '../src/model/model.ts';
import { createOnnxExecutor } from '../src/runtime/onnx.ts';
import { LLAMA_14M, writeRandomModel } from '../test/model/random-model.ts';
import { comparePeers } from './compare.ts';
import { createStep, DECISION_TOKENS } from './learn.ts';
import { bestOf, describeMachine, matMulPeak, median } from './machine.ts';
import { batchSpeed, benchIds, decode } from './serve.ts';
import { benchServer } from './server.ts';

// As the engine's process runs; a process takes its allocator's settings at its start only.
const environment = withHugePages(process.env);
if (environment !== process.env) {
  const again = { env: environment, stdio: 'inherit' } as const;
  process.exit(spawnSync(process.execPath, process.argv.slice(1), again).status ?? 1);
}

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    model: { type: 'string' },
    /** The folder in which bench/peers was installed. */
    peers: { type: 'string' },
    /** Only the daemon: first token, between tokens, the log. */
    server: { type: 'boolean', default: false },
    /** Only the engine, and the peers where they are named. */
    engine: { type: 'boolean', default: false },
    python: { type: 'string', default: 'python3' },
    rounds: { type: 'string', default: '6' },
  },
});

const DECODE_TOKENS = 48;
const results: Record<string, unknown> = {};
const say = (line: string): void => {
  if (!values.json) console.log(line);
};

const root = join(tmpdir(), 'attune-bench');
await mkdir(root, { recursive: true });
const modelDir =
  values.model === undefined
    ? await writeRandomModel(join(root, 'llama-14m-seed-1'), LLAMA_14M)
    : resolve(values.model);
const cacheDir = await mkdtemp(join(root, 'cache-'));
const model = await readModel(modelDir, { cacheDir });
const machine = describeMachine();
results.machine = machine;
say(`${model.id}, ${(model.parameters / 1e6).toFixed(1)} million weights, f32`);
say(
  `${machine.cpu}, ${machine.threads} threads, Node ${machine.node}, load ${machine.load.toFixed(1)}`,
);

if (!values.engine) {
  say('\nthe daemon');
  results.server = await benchServer(say);
}

for (const threads of values.server ? [] : new Set([1, machine.threads])) {
  say(`\n${threads} thread${threads === 1 ? '' : 's'}`);
  results[`threads ${threads}`] = await measure(model, threads);
}
if (!values.server) {
  say('\nmemory of a step, 1 thread');
  results.stepMemory = measureStepMemory();
}
if (values.peers !== undefined) {
  results.peers = await comparePeers({
    model,
    cacheDir,
    folder: resolve(values.peers),
    python: values.python,
    rounds: Number(values.rounds),
    root,
    say,
  });
}
if (values.json) console.log(JSON.stringify(results, null, 2));

async function measure(read: Model, threads: number): Promise<Record<string, unknown>> {
  const before = proportionalBytes();
  const executor = await createOnnxExecutor({ device: 'cpu', threads });
  const peak = await matMulPeak(executor);
  say(`  matmul peak        ${(peak / 1e9).toFixed(1)} GFLOP/s`);
  const engine = await createEngine({
    modelDir,
    cacheDir,
    executor,
    batchMax: 64,
    cacheBytesMax: 2 ** 32,
  });
  const vocabularySize = read.config.vocabSize;
  const found: Record<string, unknown> = { peakFlops: peak };

  for (const context of [32, 1000]) {
    const runs = [];
    for (let i = 0; i < 3; i++) {
      runs.push(await decode(engine, benchIds(context, vocabularySize), DECODE_TOKENS));
    }
    const all = runs.flatMap((run) => run.tokenMs);
    found[`decodeMs ${context}`] = { best: Math.min(...all), median: median(all) };
    say(
      `  decode at ${String(context).padEnd(8)} ${median(all).toFixed(2)} ms a token (best ${Math.min(...all).toFixed(2)})`,
    );
  }
  const serving = proportionalBytes();
  for (const tokens of [256, 1024]) {
    const ms = await bestOf(3, () => decode(engine, benchIds(tokens, vocabularySize), 1));
    const share = (2 * read.parameters * tokens) / (ms / 1000) / peak;
    found[`prefillMs ${tokens}`] = ms;
    say(
      `  prefill of ${String(tokens).padEnd(7)} ${ms.toFixed(1)} ms, ${(share * 100).toFixed(0)} % of the matmul peak`,
    );
  }
  for (const batch of [4, 16, 64]) {
    const speed = await batchSpeed(engine, { batch, context: 128, tokens: 24, vocabularySize });
    found[`batchTokensPerSecond ${batch}`] = speed;
    say(`  batch of ${String(batch).padEnd(9)} ${speed.toFixed(0)} tokens/s`);
  }
  await engine.close();
  await measureStep(read, threads, found);
  if (before !== undefined && serving !== undefined) {
    found.proportionalBytes = { before, serving };
    say(
      `  proportional memory ${(before / 1e6).toFixed(0)} MB before, ${(serving / 1e6).toFixed(0)} MB with the engine`,
    );
  }
  return found;
}

async function measureStep(
  read: Model,
  threads: number,
  found: Record<string, unknown>,
): Promise<void> {
  const learning = await createOnnxExecutor({ device: 'cpu', threads });
  const step = await createStep(learning, read, true);
  for (const context of [256, 1000, 2048]) {
    const ms = await bestOf(5, () => step.run(context));
    found[`stepMs ${context}`] = ms;
    say(
      `  W_q step at ${String(context).padEnd(6)} ${ms.toFixed(1)} ms for ${DECISION_TOKENS} decision tokens`,
    );
  }
  await step.close();
  await learning.close();
}

/** In processes of their own, since an allocator keeps what it once had. */
function measureStepMemory(): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const context of [256, 1000, 2048]) {
    const script = fileURLToPath(new URL('./step-memory.js', import.meta.url));
    const { stdout } = spawnSync(process.execPath, [script, modelDir, cacheDir, `${context}`], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const { cacheBytes, stepBytes } = JSON.parse(stdout);
    found[`step bytes ${context}`] = { cacheBytes, stepBytes };
    const [cache, own] = [cacheBytes, stepBytes].map((bytes) => (bytes / 1e6).toFixed(1));
    say(`  W_q step at ${String(context).padEnd(6)} ${own} MB beside the KV cache of ${cache} MB`);
  }
  return found;
}
