// Examines one executor on one device: whether it agrees with the CPU, how fast it runs and learns.
import { at } from '../../base/at.ts';
import { proportionalBytes } from '../../base/process-memory.ts';
import type { Engine } from '../../engine/engine.ts';
import { type Model, readModel } from '../../model/model.ts';
import { loadVersion } from '../../model/versions.ts';
import { isQProj } from '../../model/weight-names.ts';
import { GREEDY } from '../../protocol/sampling.ts';
import { createReader, type TrainableWeights } from '../../reading/reader.ts';
import type { DeviceChoice, Opened, TrainingDevice } from '../../runtime/device.ts';
import type { Executor, HostData, HostTensor } from '../../runtime/executor.ts';
import { toCandidate } from '../../scenario/example.ts';
import { adamw } from '../../train/adamw.ts';
import { Learner } from '../../train/learner.ts';
import { parametersOf } from '../../train/plan.ts';
import { oneHot } from '../../train/target.ts';

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
  /** A micro-step of a training: 16 decision tokens against a context of 64. */
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
    const { weights } = await loadVersion(model, []);
    const selfTestError = await selfTest(executor, model, weights);
    const trainStepMs = await trainStep(executor, model, weights);
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

/** A decision after a context; ids that differ from each other. */
function momentOf({ config: { vocabSize } }: Model) {
  const length = CONTEXT_TOKENS + DECISION_TOKENS;
  const ids = Array.from({ length }, (_, i) => (i * 7919 + 13) % vocabSize);
  const last = CONTEXT_TOKENS - 1;
  const candidate = toCandidate(at(ids, last), ids.slice(CONTEXT_TOKENS));
  return { contextIds: ids.slice(0, last), candidate };
}

/** Largest difference between this executor's logits and ONNX Runtime's on the CPU; a NaN stays. */
async function selfTest(
  executor: Executor,
  model: Model,
  weights: TrainableWeights,
): Promise<number> {
  const { createOnnxExecutor } = await import('../../runtime/onnx.ts');
  const { contextIds, candidate } = momentOf(model);
  const run = async (on: Executor): Promise<HostData> => {
    const reader = createReader({ model, executor: on });
    const cache = await reader.prefill(contextIds, weights);
    const { data } = await reader.logits(cache, candidate, weights);
    cache.release();
    await reader.close();
    return data;
  };
  const reference = await createOnnxExecutor({ device: 'cpu' });
  const [mine, theirs] = [await run(executor), await run(reference)];
  await reference.close();
  return (mine as Float32Array).reduce(
    (worst, x, i) => Math.max(worst, Math.abs(x - (theirs[i] as number))),
    0,
  );
}

/** A micro-step of a training, best of a few, in milliseconds. */
async function trainStep(
  executor: Executor,
  model: Model,
  weights: Readonly<Record<string, HostTensor>>,
): Promise<number> {
  const { contextIds, candidate } = momentOf(model);
  const parameters = parametersOf(model);
  const parts = { model, executor, fed: isQProj, parameters, optimizer: adamw };
  const [reader, learner] = [createReader({ model, executor }), await Learner.create(parts)];
  const cache = await reader.prefill(contextIds, weights);
  await learner.begin(weights);
  const target = oneHot(candidate, model.config.vocabSize);
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i <= REPEATS; i++) {
    const start = performance.now();
    await learner.learn(candidate, cache, { id: 'examination', target, weight: 1 });
    if (i > 0) best = Math.min(best, performance.now() - start);
  }
  cache.release();
  await learner.close();
  await reader.close();
  return best;
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
  const [served = []] = await engine.score({ sequences: [{ ids, from: 2 }] });
  const exact = await exactScores(ids, places);
  const differences = Array.from(served, (value, i) => Math.abs(value - (exact[i] as number)));
  const mean = differences.reduce((total, each) => total + each, 0) / differences.length;
  return { mean, worst: Math.max(...differences) };
}

/** Log p of each token but the first two, in f32. */
async function exactScores(
  ids: readonly number[],
  { modelDir, cacheDir }: Pick<ExaminationRequest, 'modelDir' | 'cacheDir'>,
): Promise<ArrayLike<number>> {
  const { createOnnxExecutor } = await import('../../runtime/onnx.ts');
  const executor = await createOnnxExecutor({ device: 'cpu' });
  const model = await readModel(modelDir, { cacheDir });
  const { weights } = await loadVersion(model, []);
  const reader = createReader({ model, executor });
  const cache = await reader.prefill(ids.slice(0, 1), weights);
  const rest = toCandidate(at(ids, 1), ids.slice(2));
  const [scores = []] = await reader.logProbabilities(cache, [rest], weights);
  await executor.close();
  return scores;
}
