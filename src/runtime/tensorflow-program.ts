// Interprets a graph on TensorFlow.js, node by node, and lets go of each tensor at its last use.
import * as tf from '@tensorflow/tfjs-core';
import { at } from '../base/at.ts';
import { AttuneError } from '../base/errors.ts';
import { type Dimension, evaluate } from '../graph/dimension.ts';
import { type Tensor, topological } from '../graph/tensor.ts';
import type { ConstantPool, LoadedConstant } from './constant-pool.ts';
import type { CompileOptions, HostTensor, Program, Value } from './executor.ts';
import { bindSymbols, type Feeds, inputsOf } from './feed.ts';
import { type BackendName, useBackend } from './tensorflow-backend.ts';
import { hasKernel, runKernel } from './tensorflow-kernels.ts';
import { HostValue, readTensor, TensorFlowValue, toTensor } from './tensorflow-value.ts';

export interface ProgramParts {
  readonly backend: BackendName;
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly options: CompileOptions;
  readonly constants: ConstantPool<tf.Tensor>;
  readonly onClose: () => unknown;
}

/** Tensors of one run. Borrowed ones belong to a value or to the program. */
interface Frame {
  readonly live: Map<Tensor, tf.Tensor>;
  readonly borrowed: Set<Tensor>;
}

type LocalFeed = TensorFlowValue | HostTensor;
type LocalFeeds = Readonly<Record<string, LocalFeed>>;

/** @throws graph-unsupported, runtime-failed when a constant cannot be read */
export async function createProgram(parts: ProgramParts): Promise<Program> {
  const order = topological(Object.values(parts.outputs));
  for (const node of order) refuseUnsupported(node);
  const constants = order.filter(({ operation }) => operation.kind === 'constant');
  return new TensorFlowProgram(parts, await parts.constants.loadAll(constants));
}

function refuseUnsupported({ operation, scope }: Tensor): void {
  const { kind } = operation;
  if (kind === 'input' || kind === 'constant' || hasKernel(kind)) return;
  const where = scope || 'the top level';
  const message = `TensorFlow.js has no kernel for ${kind} at ${where}; use primitive attention`;
  throw new AttuneError('graph-unsupported', message, { operation: kind, scope });
}

class TensorFlowProgram implements Program {
  readonly #parts: ProgramParts;
  readonly #constants: Map<Tensor, LoadedConstant<tf.Tensor>>;
  readonly #order: readonly Tensor[];
  readonly #inputs: ReadonlyMap<string, Tensor>;
  /** How often each node is an operand or an output. */
  readonly #uses = new Map<Tensor, number>();

  constructor(parts: ProgramParts, constants: Map<Tensor, LoadedConstant<tf.Tensor>>) {
    const outputs = Object.values(parts.outputs);
    this.#parts = parts;
    this.#constants = constants;
    this.#order = topological(outputs);
    this.#inputs = inputsOf(this.#order);
    for (const node of [...outputs, ...this.#order.flatMap(({ inputs }) => inputs)]) {
      this.#uses.set(node, (this.#uses.get(node) ?? 0) + 1);
    }
  }

  async run(feeds: Feeds): Promise<Record<string, Value>> {
    const bindings = bindSymbols(this.#inputs, feeds);
    const local = await bringHere(feeds);
    return this.#handOut(this.#compute(local, bindings));
  }

  async close(): Promise<void> {
    for (const constant of this.#constants.values()) constant.release();
    this.#constants.clear();
    this.#parts.onClose();
  }

  /** Synchronous, so that no other executor's run can change the backend in between. */
  #compute(feeds: LocalFeeds, bindings: ReadonlyMap<string, number>): tf.Tensor[] {
    const { backend, outputs } = this.#parts;
    useBackend(backend);
    const sizes = new Map<Dimension, number>();
    const sizeOf = (dimension: Dimension): number => {
      if (typeof dimension === 'number') return dimension;
      const size = sizes.get(dimension) ?? evaluate(dimension, bindings);
      sizes.set(dimension, size);
      return size;
    };
    const frame: Frame = { live: new Map(), borrowed: new Set() };
    const left = new Map(this.#uses);
    try {
      for (const node of this.#order) {
        frame.live.set(node, this.#leaf(node, feeds, frame) ?? computeNode(node, frame, sizeOf));
        for (const operand of node.inputs) letGo(operand, frame, left);
      }
      return Object.values(outputs).map((node) => tf.clone(frame.live.get(node) as tf.Tensor));
    } finally {
      for (const [node, tensor] of frame.live) if (!frame.borrowed.has(node)) tensor.dispose();
    }
  }

  #leaf(node: Tensor, feeds: LocalFeeds, { borrowed }: Frame): tf.Tensor | undefined {
    if (node.operation.kind === 'constant') {
      borrowed.add(node);
      const constant = this.#constants.get(node);
      if (constant === undefined) throw new Error('the program was closed before this run');
      return constant.placed;
    }
    if (node.operation.kind !== 'input') return undefined;
    const fed = feeds[node.operation.name] as LocalFeed;
    if (!(fed instanceof TensorFlowValue)) return toTensor(fed);
    borrowed.add(node);
    return fed.tensor;
  }

  async #handOut(results: readonly tf.Tensor[]): Promise<Record<string, Value>> {
    const { outputs, options } = this.#parts;
    const values: Record<string, Value> = {};
    for (const [i, [name, { dtype }]] of Object.entries(outputs).entries()) {
      const tensor = at(results, i);
      if (options.keepOnDevice?.includes(name)) values[name] = new TensorFlowValue(tensor, dtype);
      else {
        values[name] = new HostValue(await readTensor(tensor, dtype));
        tensor.dispose();
      }
    }
    return values;
  }
}

/** Feeds of other executors are copied through host memory. */
async function bringHere(feeds: Feeds): Promise<LocalFeeds> {
  const local: Record<string, LocalFeed> = {};
  for (const [name, fed] of Object.entries(feeds)) {
    local[name] = fed instanceof TensorFlowValue || !('read' in fed) ? fed : await fed.read();
  }
  return local;
}

function computeNode(
  node: Tensor,
  { live }: Frame,
  sizeOf: (dimension: Dimension) => number,
): tf.Tensor {
  const operands = node.inputs.map((operand) => live.get(operand) as tf.Tensor);
  return runKernel(node, { operands, dtype: node.dtype, shape: node.shape.map(sizeOf), sizeOf });
}

function letGo(node: Tensor, { live, borrowed }: Frame, left: Map<Tensor, number>): void {
  const uses = (left.get(node) as number) - 1;
  left.set(node, uses);
  if (uses > 0 || borrowed.has(node)) return;
  live.get(node)?.dispose();
  live.delete(node);
}
