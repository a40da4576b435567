// A tensor graph compiled to sessions of ONNX Runtime: one for each set of outputs asked for.
import ort from 'onnxruntime-node';
import { AttuneError } from '../base/errors.ts';
import type { Bindings } from '../graph/dimension.ts';
import { encodeOnnx, type OnnxModel } from '../graph/onnx/encode.ts';
import { type Tensor, topological } from '../graph/tensor.ts';
import type { CompileOptions, HostTensor, Program, RunOptions, Value } from './executor.ts';
import { bindSymbols, type Feeds, inputsOf } from './feed.ts';
import { type CopyToHost, OnnxValue, toOrtTensor } from './onnx-value.ts';

export type OnnxDevice = 'cpu' | 'webgpu' | 'cuda';

export interface ProgramParts {
  readonly device: OnnxDevice;
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly options: CompileOptions;
  /** Options of every session of this executor. */
  readonly sessionOptions: ort.InferenceSession.SessionOptions;
  readonly copyToHost: CopyToHost;
  readonly onClose: (program: Program) => void;
}

/** What computes one set of outputs. */
interface Plan {
  readonly session: ort.InferenceSession;
  readonly model: OnnxModel;
  readonly inputs: ReadonlyMap<string, Tensor>;
  /** The tensors of the last run that follow from sizes alone. */
  derived: { readonly key: string; readonly feeds: Record<string, ort.Tensor> } | undefined;
}

/** @throws AttuneError graph-unsupported, runtime-failed */
export async function createOnnxProgram(parts: ProgramParts): Promise<Program> {
  const program = new OnnxProgram(parts);
  await program.prepare(Object.keys(parts.outputs));
  return program;
}

class OnnxProgram implements Program {
  readonly #parts: ProgramParts;
  readonly #plans = new Map<string, Promise<Plan>>();
  readonly #inputs: ReadonlyMap<string, Tensor>;
  #isClosed = false;

  constructor(parts: ProgramParts) {
    this.#parts = parts;
    this.#inputs = inputsOf(topological(Object.values(parts.outputs)));
  }

  async run(feeds: Feeds, { fetch, into = {} }: RunOptions = {}): Promise<Record<string, Value>> {
    const names = fetch ?? Object.keys(this.#parts.outputs);
    const plan = await this.prepare(names);
    for (const name of Object.keys(feeds)) {
      if (this.#inputs.has(name)) continue;
      throw new AttuneError('runtime-failed', `the graph has no input ${name}`, { input: name });
    }
    const bindings = bindSymbols(plan.inputs, feeds);
    const local: Record<string, ort.Tensor> = { ...derivedFeeds(plan, bindings) };
    for (const name of plan.inputs.keys()) {
      const fed = feeds[name] as Value | HostTensor;
      local[name] = localOf(fed) ?? toOrtTensor(await (fed as Value).read());
    }
    const fetches: Record<string, ort.Tensor | null> = {};
    for (const name of names) fetches[name] = into[name] ? toOrtTensor(into[name]) : null;
    let results: ort.InferenceSession.ReturnType;
    try {
      results = await plan.session.run(local, fetches);
    } catch (error) {
      throw runFailed(error);
    }
    return this.#wrap(names, results, fetches);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const plans = [...this.#plans.values()];
    this.#plans.clear();
    for (const plan of plans) await (await plan).session.release();
    this.#parts.onClose(this);
  }

  /** Compiles the session for these outputs once. */
  prepare(names: readonly string[]): Promise<Plan> {
    if (this.#isClosed) throw new Error('the program was closed before this run');
    const key = JSON.stringify([...names].sort());
    const known = this.#plans.get(key);
    if (known !== undefined) return known;
    const plan = this.#compile(names);
    this.#plans.set(key, plan);
    plan.catch(() => this.#plans.delete(key));
    return plan;
  }

  async #compile(names: readonly string[]): Promise<Plan> {
    const { device, options, sessionOptions } = this.#parts;
    const outputs = Object.fromEntries(names.map((name) => [name, this.#output(name)]));
    const model = encodeOnnx(outputs, { target: device });
    const kept = names.filter((name) => options.keepOnDevice?.includes(name));
    const locations = Object.fromEntries(kept.map((name) => [name, 'gpu-buffer'] as const));
    const isOnGpu = device === 'webgpu' && kept.length > 0;
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
      const inputs = inputsOf(model.inputs);
      return { session, model, inputs, derived: undefined };
    } catch (error) {
      throw compileFailed(error, device);
    }
  }

  #output(name: string): Tensor {
    const output = this.#parts.outputs[name];
    if (output !== undefined) return output;
    throw new AttuneError('runtime-failed', `the graph has no output ${name}`, { output: name });
  }

  #wrap(
    names: readonly string[],
    results: ort.InferenceSession.ReturnType,
    fetches: Readonly<Record<string, ort.Tensor | null>>,
  ): Record<string, Value> {
    const { copyToHost } = this.#parts;
    const values: Record<string, Value> = {};
    for (const name of names) {
      const tensor = fetches[name] ?? (results[name] as ort.Tensor);
      values[name] = new OnnxValue(tensor, this.#output(name).dtype, copyToHost);
    }
    return values;
  }
}

const FOLDER_OPTION = 'session.model_external_initializers_file_folder_path';

/** Shape vectors and ranges for these sizes; kept for the next run of the same sizes. */
function derivedFeeds(plan: Plan, bindings: Bindings): Record<string, ort.Tensor> {
  const key = [...bindings.values()].join();
  if (plan.derived?.key === key) return plan.derived.feeds;
  const feeds: Record<string, ort.Tensor> = {};
  for (const { name, type, rank, derive } of plan.model.derived) {
    const values = derive(bindings);
    const dims = rank === 0 ? [] : [values.length];
    feeds[name] =
      type === 'i32'
        ? new ort.Tensor('int32', Int32Array.from(values), dims)
        : new ort.Tensor(
            'int64',
            BigInt64Array.from(values, (value) => BigInt(value)),
            dims,
          );
  }
  plan.derived = { key, feeds };
  return feeds;
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
  return isUnsupported
    ? new AttuneError(
        'graph-unsupported',
        `ONNX Runtime has no kernel on ${device} for a part of the graph: ${reason}`,
        { device },
        { cause },
      )
    : new AttuneError(
        'runtime-failed',
        `ONNX Runtime refused the graph on ${device}: ${reason}`,
        { device },
        { cause },
      );
}

function runFailed(cause: unknown): AttuneError {
  const message = `ONNX Runtime failed in a run: ${messageOf(cause)}`;
  return new AttuneError('runtime-failed', message, {}, { cause });
}
