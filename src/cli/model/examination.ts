// Examines one executor on one device: whether it agrees with the CPU, how fast it runs and learns.
import { proportionalBytes } from '../../base/process-memory.ts';
import type { Engine } from '../../engine/engine.ts';
import { gradients } from '../../graph/gradient.ts';
import { multiply, reduceSum, scalar } from '../../graph/operations.ts';
import type { Tensor } from '../../graph/tensor.ts';
import { type Model, readModel } from '../../model/model.ts';
import { primitiveGraph } from '../../model/transformer.ts';
import { loadVersion, type WeightsVersion } from '../../model/versions.ts';
import { GREEDY } from '../../protocol/sampling.ts';
import type { DeviceChoice, Opened, TrainingDevice } from '../../runtime/device.ts';
import type { Executor, HostTensor, Program } from '../../runtime/executor.ts';
import { ascending, bool, f32, i32, takeAll } from '../../runtime/host-tensor.ts';

export type Examined = 'onnx cpu' | 'onnx webgpu' | 'onnx cuda' | 'tensorflow';

export interface ExaminationRequest {
  /** `choice`: what would be used, as configured. */
  readonly what: Examined | 'choice';
  readonly chat: DeviceChoice;
  readonly nights: TrainingDevice;
  readonly modelDir: string;
  readonly cacheDir: string;
  readonly threads: number;
}

export interface Examination {
  readonly what: ExaminationRequest['what'];
  readonly isPresent: boolean;
  /** Why it is not there or failed, and what to do. */
  readonly reason?: string;
  /** Package and versions. */
  readonly description?: string;
  /** Largest difference of any logit from ONNX Runtime's on the CPU. */
  readonly selfTestError?: number;
  readonly passesSelfTest?: boolean;
  /** Of a prompt of 64 tokens, the first token with it; only ONNX Runtime serves. */
  readonly prefillTokensPerSecond?: number;
  /** Of one sequence. */
  readonly decodeTokensPerSecond?: number;
  /** What the engine adds to its process's memory, with a short conversation. */
  readonly servingBytes?: number;
  /** Of a quantised model: how far log p as served is from f32, nats a token of a plain text. */
  readonly pathDifference?: { readonly mean: number; readonly worst: number };
  /** Gradient of a 16-token decision with respect to every W_q against a context of 64. */
  readonly trainStepMs?: number;
}

/** Executors sum in different orders; further apart than this is wrong. */
const LOGIT_ERROR_MAX = 1e-3;
const CONTEXT_TOKENS = 64;
const DECISION_TOKENS = 16;
const REPLY_TOKENS = 32;
const REPEATS = 3;

/** Never throws: what goes wrong is the finding. */
export async function examine(request: ExaminationRequest): Promise<Examination> {
  const { what } = request;
  if (what === 'choice') return choose(request);
  let executor: Executor;
  try {
    executor = await openExecutor(what, request.threads);
  } catch (error) {
    return { what, isPresent: false, reason: (error as Error).message };
  }
  const { description } = executor;
  try {
    // Before anything else takes memory. The engine closes its executor.
    const served = what.startsWith('onnx')
      ? await serve(await openExecutor(what, request.threads), request)
      : {};
    const model = await readModel(request.modelDir, { cacheDir: request.cacheDir });
    const version = await loadVersion(model, []);
    const selfTestError = await selfTest(executor, model, version);
    const trainStepMs = await trainStep(executor, model, version);
    const passesSelfTest = selfTestError <= LOGIT_ERROR_MAX;
    const found = { what, isPresent: true, description, selfTestError, passesSelfTest };
    return { ...found, trainStepMs, ...served };
  } catch (error) {
    return { what, isPresent: true, description, reason: (error as Error).message };
  } finally {
    await executor.close().catch(() => undefined);
  }
}

async function openExecutor(what: Examined, threads: number): Promise<Executor> {
  if (what === 'tensorflow') {
    const { createTensorFlowExecutor } = await import('../../runtime/tensorflow.ts');
    return createTensorFlowExecutor({ backend: 'tensorflow' });
  }
  const { createOnnxExecutor } = await import('../../runtime/onnx.ts');
  const device = what.split(' ')[1] as 'cpu' | 'webgpu' | 'cuda';
  return createOnnxExecutor({ device, ...(threads > 0 ? { threads } : {}) });
}

/** What chat and nights would use, and why. */
async function choose({ chat, nights, threads }: ExaminationRequest): Promise<Examination> {
  const { openServingExecutor, openTrainingExecutor } = await import('../../runtime/device.ts');
  const told = async (who: string, opening: Promise<Opened>): Promise<string> => {
    try {
      const { executor, reason } = await opening;
      const text = `${who} on ${executor.name} ${executor.device} (${reason})`;
      await executor.close();
      return text;
    } catch (error) {
      return `${who} on nothing: ${(error as Error).message}`;
    }
  };
  const description = [
    await told('Chat runs', openServingExecutor({ device: chat, threads })),
    await told('Nights train', openTrainingExecutor({ device: nights, threads })),
  ].join('\n');
  return { what: 'choice', isPresent: true, description };
}

/** Fixed ids that differ from each other. */
const someIds = (count: number, model: Model): Int32Array =>
  Int32Array.from({ length: count }, (_, i) => (i * 7919 + 13) % model.config.vocabSize);

function inputsOf(count: number, model: Model): Record<string, HostTensor> {
  return {
    ids: i32([1, count], someIds(count, model)),
    positions: ascending([1, count]),
    keyMask: bool([1, count], new Uint8Array(count).fill(1)),
  };
}

/** Largest difference between this executor's logits and ONNX Runtime's on the CPU. */
async function selfTest(
  executor: Executor,
  model: Model,
  { weights }: WeightsVersion,
): Promise<number> {
  const { createOnnxExecutor } = await import('../../runtime/onnx.ts');
  const reference = await createOnnxExecutor({ device: 'cpu' });
  const graph = primitiveGraph(model, { past: 'none', outputs: { logits: true } });
  const run = async (on: Executor): Promise<Float32Array> => {
    const program = await on.compile(graph.outputs);
    const { logits } = await program.run({ ...weights, ...inputsOf(CONTEXT_TOKENS, model) });
    const copy = Float32Array.from((await logits?.read())?.data ?? []);
    logits?.release();
    await program.close();
    return copy;
  };
  const [mine, theirs] = [await run(executor), await run(reference)];
  await reference.close();
  // A NaN stays.
  return mine.reduce((worst, x, i) => Math.max(worst, Math.abs(x - (theirs[i] as number))), 0);
}

/** Best of a few, in milliseconds. */
async function trainStep(
  executor: Executor,
  model: Model,
  { weights }: WeightsVersion,
): Promise<number> {
  const graph = primitiveGraph(model, { outputs: { logProbabilities: true } });
  const total = reduceSum(graph.outputs.logProbabilities as Tensor);
  const loss = multiply(total, scalar(-1 / DECISION_TOKENS));
  const names = Object.keys(graph.parameters);
  const slopes = gradients(loss, Object.values(graph.parameters));
  const outputs = Object.fromEntries(
    names.map((name, i) => [`slope.${name}`, slopes[i] as Tensor]),
  );
  const program = await executor.compile({ loss, ...outputs });
  const feeds = { ...weights, ...decisionInputs(model) };
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i <= REPEATS; i++) {
    const start = performance.now();
    await runAndRelease(program, feeds);
    if (i > 0) best = Math.min(best, performance.now() - start);
  }
  await program.close();
  return best;
}

function decisionInputs(model: Model): Record<string, HostTensor> {
  const { numHiddenLayers, numKeyValueHeads, headDim } = model.config;
  const shape = [1, numKeyValueHeads, CONTEXT_TOKENS, headDim];
  const past: Record<string, HostTensor> = {};
  for (let layer = 0; layer < numHiddenLayers; layer++) {
    for (const part of ['key', 'value']) {
      const data = new Float32Array(numKeyValueHeads * CONTEXT_TOKENS * headDim).fill(0.1);
      past[`past.${layer}.${part}`] = f32(shape, data);
    }
  }
  const keys = CONTEXT_TOKENS + DECISION_TOKENS;
  return {
    ...inputsOf(DECISION_TOKENS, model),
    ...past,
    positions: ascending([1, DECISION_TOKENS], CONTEXT_TOKENS),
    keyMask: bool([1, keys], new Uint8Array(keys).fill(1)),
    targets: i32([1, DECISION_TOKENS], someIds(DECISION_TOKENS, model)),
  };
}

async function runAndRelease(program: Program, feeds: Record<string, HostTensor>): Promise<void> {
  const values = await program.run(feeds);
  await values.loss?.read();
  for (const value of Object.values(values)) value.release();
}

type Served = Pick<
  Examination,
  'prefillTokensPerSecond' | 'decodeTokensPerSecond' | 'servingBytes' | 'pathDifference'
>;

async function serve(
  executor: Executor,
  { modelDir, cacheDir }: ExaminationRequest,
): Promise<Served> {
  const { createEngine } = await import('../../engine/in-process-engine.ts');
  const before = proportionalBytes();
  const engine = await createEngine({ modelDir, cacheDir, executor });
  const times: number[] = [];
  const ids = Array.from({ length: CONTEXT_TOKENS }, (_, i) => i % 32);
  const sampling = { ...GREEDY, seed: 0 };
  const request = { ids, replyTokensMax: REPLY_TOKENS, sampling, stopIds: [] };
  // A device compiles its shaders in the first reply.
  await engine.generate({ ...request, replyTokensMax: 2 }, () => undefined);
  const start = performance.now();
  await engine.generate(request, () => times.push(performance.now()));
  const servingBytes = proportionalBytes() - before;
  const [first = 0, last = 0] = [times[0], times.at(-1)];
  const prefillTokensPerSecond = (CONTEXT_TOKENS * 1000) / (first - start);
  const decodeTokensPerSecond = ((times.length - 1) * 1000) / (last - first);
  const { isQuantised } = await engine.describe();
  const pathDifference = isQuantised ? await pathsApart(engine, { modelDir, cacheDir }) : undefined;
  await engine.close();
  const speed = { prefillTokensPerSecond, decodeTokensPerSecond, servingBytes };
  return pathDifference === undefined ? speed : { ...speed, pathDifference };
}

/** Plain English, for the difference of two ways to compute it. */
const PASSAGE =
  'We met at the harbour in the morning. The ferry was late, so she bought two cups of coffee and ' +
  'asked about my sister. I said that she had moved to the mountains last spring and was happy.';

async function pathsApart(
  engine: Engine,
  places: Pick<ExaminationRequest, 'modelDir' | 'cacheDir'>,
): Promise<Served['pathDifference']> {
  const { loadTokenizer } = await import('../../tokenizer/tokenizer.ts');
  const ids = (await loadTokenizer(places.modelDir)).encodePrompt(PASSAGE);
  const [served = []] = await engine.score({ sequences: [{ ids, from: 1 }] });
  const exact = await exactScores(ids, places);
  const differences = Array.from(served, (value, i) => Math.abs(value - (exact[i] as number)));
  const mean = differences.reduce((total, each) => total + each, 0) / differences.length;
  return { mean, worst: Math.max(...differences) };
}

/** Log p of each token but the first, in f32. */
async function exactScores(
  ids: readonly number[],
  { modelDir, cacheDir }: Pick<ExaminationRequest, 'modelDir' | 'cacheDir'>,
): Promise<ArrayLike<number>> {
  const { createOnnxExecutor } = await import('../../runtime/onnx.ts');
  const executor = await createOnnxExecutor({ device: 'cpu' });
  const model = await readModel(modelDir, { cacheDir });
  const { weights } = await loadVersion(model, []);
  const { outputs } = primitiveGraph(model, { past: 'none', outputs: { logProbabilities: true } });
  const program = await executor.compile(outputs);
  const shape = [1, ids.length - 1];
  const { logProbabilities } = await takeAll(
    await program.run({
      ...weights,
      ids: i32(shape, Int32Array.from(ids.slice(0, -1))),
      positions: ascending(shape),
      keyMask: bool(shape, new Uint8Array(ids.length - 1).fill(1)),
      targets: i32(shape, Int32Array.from(ids.slice(1))),
    }),
  );
  await executor.close();
  return (logProbabilities as HostTensor).data;
}
