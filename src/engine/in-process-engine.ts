// The engine in this process: reads a model, compiles its graphs and runs what is asked, in turn.
import { at } from '../base/at.ts';
import { AttuneError } from '../base/errors.ts';
import type { Quantize } from '../model/checkpoint/quantize-folder.ts';
import { fusedGraph } from '../model/fused-transformer.ts';
import { type Model, readModel } from '../model/model.ts';
import { primitiveGraph } from '../model/transformer.ts';
import { versionId } from '../model/versions.ts';
import type { Executor, Program } from '../runtime/executor.ts';
import { capture } from './capture.ts';
import { DeviceRunner } from './device-runner.ts';
import type {
  AttentionCapture,
  CaptureRequest,
  DecodedToken,
  Engine,
  EngineDescription,
  GenerateRequest,
  GenerateResult,
  ScoreRequest,
  SwitchResult,
  VersionSource,
} from './engine.ts';
import { HostRunner } from './host-runner.ts';
import { Job } from './job.ts';
import { LiveVersions } from './live-versions.ts';
import { PrefixCache } from './prefix-cache.ts';
import { Reply } from './reply.ts';
import type { Runner, WeightFeeds } from './runner.ts';
import { Scheduler } from './scheduler.ts';
import { score } from './score.ts';

export interface EngineOptions {
  readonly modelDir: string;
  /** For weights that are packed, or had to be widened to f32. */
  readonly cacheDir: string;
  /** Closed with the engine. */
  readonly executor: Executor;
  /** Bits that a folder is quantised to; `auto` when absent: as was decided in this store. */
  readonly quantize?: Quantize | undefined;
  /** A quantised model is widened to f32 all the same; false by default. */
  readonly isWidened?: boolean;
  /** What a person should know beside what the model says of itself. */
  readonly notices?: readonly string[];
  /** The version to start under; the base when absent. */
  readonly version?: VersionSource | undefined;
  /** Prompt and reply together; 0 or absent = what the model was made for. */
  readonly windowTokens?: number;
  readonly cacheBytesMax?: number;
  /** W_q of all live versions together; two are live whatever they take. */
  readonly versionBytesMax?: number;
  readonly batchMax?: number;
  readonly prefillChunkTokens?: number;
}

/** Logits that scoring holds at once: 16 M numbers, 64 MB. */
const SCORE_LOGITS_MAX = 2 ** 24;
const SCORE_ROWS_MAX = 1024;
const DEFAULTS = {
  ...{ cacheBytesMax: 2 ** 29, versionBytesMax: 2 ** 27 },
  ...{ batchMax: 64, prefillChunkTokens: 256 },
};

/** @throws model-not-found, model-unsupported, model-damaged, config-invalid, delta-damaged */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const { modelDir, cacheDir, executor, quantize, isWidened = false, windowTokens = 0 } = options;
  const mayPack = !isWidened && executor.name === 'onnx' && executor.device === 'cpu';
  const form = mayPack ? 'quantised' : 'f32';
  const model = await readModel(modelDir, { cacheDir, form, quantize, windowTokens });
  const settings = { ...DEFAULTS, notices: [], ...options };
  const runner = await createRunner(model, executor);
  assertWindowFits(model, runner, settings.cacheBytesMax);
  const base = { id: versionId(model.baseHash, []), deltas: [] };
  const bytesMax = settings.versionBytesMax;
  const versions = await LiveVersions.open({ model, executor, bytesMax }, options.version ?? base);
  return new InProcessEngine({ model, executor, runner, versions, settings });
}

async function createRunner(model: Model, executor: Executor): Promise<Runner> {
  const { numHiddenLayers, numKeyValueHeads, headDim } = model.config;
  const layout = { layers: numHiddenLayers, kvHeads: numKeyValueHeads, headDim };
  if (executor.device === 'webgpu') {
    const { outputs } = fusedGraph(model, { keep: 'present' });
    const keepOnDevice = Object.keys(outputs).filter((name) => name.startsWith('present.'));
    return new DeviceRunner(await executor.compile(outputs, { keepOnDevice }), layout);
  }
  const { outputs } = fusedGraph(model, { keep: 'own', isRepeatable: true });
  const program = await executor.compile(outputs, { isPrepacked: true, roundsActivations: true });
  return new HostRunner(executor, program, layout);
}

function assertWindowFits(model: Model, runner: Runner, cacheBytesMax: number): void {
  const needed = model.windowTokens * runner.bytesPerToken;
  if (needed <= cacheBytesMax) return;
  const message =
    `the KV cache of one full window of ${model.windowTokens} tokens takes ${needed} bytes, ` +
    `and engine.cacheBytesMax is ${cacheBytesMax}; raise it or lower engine.windowTokens`;
  throw new AttuneError('config-invalid', message, { needed, cacheBytesMax });
}

interface Parts {
  readonly model: Model;
  readonly executor: Executor;
  readonly runner: Runner;
  readonly versions: LiveVersions;
  readonly settings: typeof DEFAULTS & Required<Pick<EngineOptions, 'notices'>>;
}

class InProcessEngine implements Engine {
  readonly #parts: Parts;
  readonly #scheduler: Scheduler;
  #captureProgram: Promise<Program> | undefined;
  #isClosed = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#scheduler = new Scheduler({
      ...parts.settings,
      runner: parts.runner,
      versions: parts.versions,
      prefixes: new PrefixCache(parts.runner),
      vocabularySize: parts.model.config.vocabSize,
    });
  }

  async describe(): Promise<EngineDescription> {
    const { model, executor, versions, settings } = this.#parts;
    return {
      modelId: model.id,
      modelDir: model.dir,
      baseHash: model.baseHash,
      device: executor.device,
      layers: model.config.numHiddenLayers,
      heads: model.config.numAttentionHeads,
      vocabularySize: model.config.vocabSize,
      windowTokens: model.windowTokens,
      parameters: model.parameters,
      isQuantised: model.isQuantised,
      version: versions.current,
      notices: [...model.notices, ...settings.notices],
    };
  }

  generate(
    request: GenerateRequest,
    onToken: (token: DecodedToken) => void,
    signal?: AbortSignal,
  ): Promise<GenerateResult> {
    return new Promise((resolve, reject) => {
      this.#assertOpen();
      this.#assertIds(request.ids, 1);
      const callbacks = { onToken, resolve, reject, signal };
      this.#scheduler.submit(new Reply(request, this.#parts.model.windowTokens, callbacks));
    });
  }

  async score(
    { sequences, version, unitTokensMax = SCORE_ROWS_MAX }: ScoreRequest,
    signal?: AbortSignal,
  ): Promise<Float32Array[]> {
    if (!(unitTokensMax >= 1)) throw new RangeError(`unitTokensMax is ${unitTokensMax}`);
    for (const { ids, from } of sequences) {
      this.#assertIds(ids, 0);
      assertScored(ids, from);
    }
    const { vocabSize } = this.#parts.model.config;
    const rowsFit = Math.max(1, Math.min(SCORE_ROWS_MAX, Math.floor(SCORE_LOGITS_MAX / vocabSize)));
    const { prefillChunkTokens } = this.#parts.settings;
    return this.#asJob(version, signal, async (weights) =>
      score(sequences, {
        ...this.#shared(weights),
        prefillChunkTokens: Math.min(unitTokensMax, prefillChunkTokens),
        rowsMax: Math.min(unitTokensMax, rowsFit),
      }),
    );
  }

  async capture(request: CaptureRequest, signal?: AbortSignal): Promise<AttentionCapture> {
    this.#assertIds(request.ids, 0);
    assertRows(request);
    const { numHiddenLayers: layers, numAttentionHeads: heads } = this.#parts.model.config;
    return this.#asJob(request.version, signal, async (weights) => {
      this.#captureProgram ??= this.#compileCapture();
      const program = await this.#captureProgram;
      return capture(request, {
        ...this.#parts.settings,
        ...this.#shared(weights),
        program,
        layers,
        heads,
      });
    });
  }

  async loadVersion(source: VersionSource): Promise<void> {
    this.#assertOpen();
    await this.#parts.versions.load(source);
  }

  async switchVersion(id: string): Promise<SwitchResult> {
    this.#assertOpen();
    const start = performance.now();
    const from = this.#parts.versions.current;
    this.#parts.versions.switchTo(id);
    const repliesInFlight = this.#scheduler.repliesInFlight;
    return { from, to: id, repliesInFlight, stallMs: performance.now() - start };
  }

  async forget(cacheKey: string): Promise<void> {
    this.#scheduler.forget(cacheKey);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#scheduler.close(new AttuneError('engine-failed', 'the engine was closed'));
    this.#parts.versions.close();
    await this.#parts.executor.close();
  }

  #shared(weights: WeightFeeds): { runner: Runner; weights: WeightFeeds } {
    return { runner: this.#parts.runner, weights };
  }

  /** Nothing is packed: it is seldom asked for, and reads the files of the session that serves. */
  #compileCapture(): Promise<Program> {
    const { model, executor } = this.#parts;
    const graph = primitiveGraph(model, { rows: 'chosen', outputs: { attention: true } });
    return executor.compile(graph.outputs);
  }

  /** Runs a generator between decode steps, bound to one version. */
  #asJob<T>(
    version: string | undefined,
    signal: AbortSignal | undefined,
    start: (weights: WeightFeeds) => Promise<AsyncGenerator<void, T>>,
  ): Promise<T> {
    this.#assertOpen();
    const { versions } = this.#parts;
    const bound = version ?? versions.current;
    versions.use(bound);
    const job = new Job(() => start(versions.weightsOf(bound)), {
      signal,
      onEnd: () => versions.release(bound),
    });
    this.#scheduler.addJob(job);
    return job.result;
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new AttuneError('engine-failed', 'the engine was closed');
  }

  /** @throws window-overflow when the ids and `more` tokens are too many */
  #assertIds(ids: readonly number[], more: number): void {
    const { windowTokens, config } = this.#parts.model;
    if (ids.length === 0) throw new RangeError('the prompt has no tokens; begin with a BOS token');
    const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= config.vocabSize);
    if (wrong !== undefined) throw new RangeError(`${wrong} is not a token id of this model`);
    if (ids.length + more <= windowTokens) return;
    const message = `${ids.length} tokens do not fit the window of ${windowTokens}; drop old turns`;
    throw new AttuneError('window-overflow', message, { tokens: ids.length, windowTokens });
  }
}

function assertScored(ids: readonly number[], from: number): void {
  if (Number.isInteger(from) && from >= 1 && from <= ids.length) return;
  throw new RangeError(`from must be in 1 … ${ids.length}; it is ${from}`);
}

function assertRows({ ids, rows }: CaptureRequest): void {
  const isAscending = rows.every((row, i) => i === 0 || row > at(rows, i - 1));
  const isInside = rows.every((row) => Number.isInteger(row) && row >= 0 && row < ids.length);
  if (!isAscending || !isInside) throw new RangeError('rows must ascend within ids');
}
