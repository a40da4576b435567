// A tensor graph compiled to a session of ONNX Runtime, run with what is fed.
import ort from 'onnxruntime-node';
import { AttuneError } from '../base/errors.ts';
import type { Bindings } from '../graph/dimension.ts';
import { encodeOnnx, type OnnxModel } from '../graph/onnx/encode.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { ConstantPool, LoadedConstant } from './constant-pool.ts';
import type { CompileOptions, HostTensor, Program, Value } from './executor.ts';
import { bindSymbols, type Feeds, inputsOf } from './feed.ts';
import { type Home, OnnxValue, toOrtTensor } from './onnx-value.ts';

export type OnnxDevice = 'cpu' | 'webgpu' | 'cuda';

export interface ProgramParts {
  readonly device: OnnxDevice;
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly options: CompileOptions;
  /** Options of every session of this executor. */
  readonly sessionOptions: ort.InferenceSession.SessionOptions;
  readonly home: Home;
  /** Of a device with memory of its own: sessions share what they are fed, not their constants. */
  readonly constants?: ConstantPool<OnnxValue> | undefined;
  readonly onClose: (program: Program) => void;
}

/** @throws AttuneError graph-unsupported, runtime-failed */
export async function createOnnxProgram(parts: ProgramParts): Promise<Program> {
  const { device, outputs, options, sessionOptions } = parts;
  const { roundsActivations = false } = options;
  const feedsConstants = parts.constants !== undefined;
  const model = encodeOnnx(outputs, { target: device, roundsActivations, feedsConstants });
  const kept = Object.keys(outputs).filter((name) => options.keepOnDevice?.includes(name));
  const locations = Object.fromEntries(kept.map((name) => [name, 'gpu-buffer'] as const));
  const isOnGpu = device === 'webgpu' && kept.length > 0;
  const loaded = (await parts.constants?.loadAll([...model.constants.values()])) ?? new Map();
  try {
    const session = await ort.InferenceSession.create(model.bytes, {
      ...sessionOptions,
      ...(isOnGpu ? { preferredOutputLocation: locations } : {}),
      extra: {
        ...sessionOptions.extra,
        'session.disable_prepacking': options.isPrepacked ? '0' : '1',
        ...(model.folder === undefined ? {} : { [FOLDER_OPTION]: model.folder }),
      },
    });
    return new OnnxProgram(parts, session, { ...model, loaded });
  } catch (error) {
    for (const constant of loaded.values()) constant.release();
    throw compileFailed(error, device);
  }
}

interface Loaded extends OnnxModel {
  readonly loaded: ReadonlyMap<Tensor, LoadedConstant<OnnxValue>>;
}

const FOLDER_OPTION = 'session.model_external_initializers_file_folder_path';

class OnnxProgram implements Program {
  readonly #parts: ProgramParts;
  readonly #session: ort.InferenceSession;
  readonly #inputs: ReadonlyMap<string, Tensor>;
  readonly #model: Loaded;
  /** The tensors of the last run that follow from sizes alone. */
  #lastDerived: { readonly key: string; readonly feeds: Record<string, ort.Tensor> } | undefined;
  #isClosed = false;

  constructor(parts: ProgramParts, session: ort.InferenceSession, model: Loaded) {
    this.#parts = parts;
    this.#session = session;
    this.#inputs = inputsOf(model.inputs);
    this.#model = model;
  }

  async run(feeds: Feeds): Promise<Record<string, Value>> {
    if (this.#isClosed) throw new Error('the program was closed before this run');
    const local = { ...this.#derivedFeeds(bindSymbols(this.#inputs, feeds)) };
    for (const name of this.#inputs.keys()) {
      const fed = feeds[name] as Value | HostTensor;
      local[name] = localOf(fed) ?? toOrtTensor(await (fed as Value).read());
    }
    for (const [name, node] of this.#model.constants) {
      const { placed } = this.#model.loaded.get(node) as LoadedConstant<OnnxValue>;
      local[name] = placed.tensor;
    }
    const results = await this.#session.run(local).catch((cause: unknown) => {
      const message = `ONNX Runtime failed in a run: ${messageOf(cause)}`;
      throw new AttuneError('runtime-failed', message, {}, { cause });
    });
    const { outputs, home } = this.#parts;
    return Object.fromEntries(
      Object.entries(outputs).map(([name, { dtype }]) => {
        return [name, new OnnxValue(results[name] as ort.Tensor, dtype, home)];
      }),
    );
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // The session last: with the last of all the device goes, and what was on it cannot be freed.
    for (const constant of this.#model.loaded.values()) constant.release();
    await this.#session.release();
    this.#parts.onClose(this);
  }

  /** Shape vectors and ranges for these sizes; kept for the next run of the same sizes. */
  #derivedFeeds(bindings: Bindings): Record<string, ort.Tensor> {
    const key = [...bindings.values()].join();
    if (this.#lastDerived?.key === key) return this.#lastDerived.feeds;
    const feeds = Object.fromEntries(
      this.#model.derived.map(({ name, type, rank, derive }) => {
        const values = derive(bindings);
        const dims = rank === 0 ? [] : [values.length];
        if (type === 'i32') return [name, new ort.Tensor('int32', Int32Array.from(values), dims)];
        return [name, new ort.Tensor('int64', BigInt64Array.from(values.map(BigInt)), dims)];
      }),
    );
    this.#lastDerived = { key, feeds };
    return feeds;
  }
}

/** Tensors over host memory, made once for each that is fed run after run. */
const wrapped = new WeakMap<HostTensor, ort.Tensor>();

/** Values of this runtime and host memory as they are; undefined for values of others. */
function localOf(fed: Value | HostTensor): ort.Tensor | undefined {
  if (fed instanceof OnnxValue) return fed.tensor;
  if ('read' in fed) return undefined;
  const known = wrapped.get(fed);
  if (known !== undefined) return known;
  const tensor = toOrtTensor(fed);
  wrapped.set(fed, tensor);
  return tensor;
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

function compileFailed(cause: unknown, device: OnnxDevice): AttuneError {
  const reason = messageOf(cause);
  const isUnsupported = /not implemented|find an implementation|fallback to CPU EP/i.test(reason);
  const [code, what] = isUnsupported
    ? (['graph-unsupported', `has no kernel on ${device} for a part of the graph`] as const)
    : (['runtime-failed', `refused the graph on ${device}`] as const);
  return new AttuneError(code, `ONNX Runtime ${what}: ${reason}`, { device }, { cause });
}
