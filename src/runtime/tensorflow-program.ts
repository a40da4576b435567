// Interprets a graph on TensorFlow.js, node by node, and lets go of each tensor at its last use.

import * as tf from '@tensorflow/tfjs-core';
import { at } from '../base/at.ts';
import { AttuneError } from '../base/errors.ts';
import { type Dimension, evaluate } from '../graph/dimension.ts';
import { type Tensor, topological } from '../graph/tensor.ts';
import type { CompileOptions, HostTensor, Program, RunOptions, Value } from './executor.ts';
import { bindSymbols, type Feeds, inputsOf } from './feed.ts';
import { type BackendName, useBackend } from './tensorflow-backend.ts';
import type { ConstantPool, LoadedConstant } from './tensorflow-constants.ts';
import { hasKernel, runKernel } from './tensorflow-kernels.ts';
import { HostValue, readTensor, TensorFlowValue, toTensor } from './tensorflow-value.ts';

export interface ProgramParts {
  readonly backend: BackendName;
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly options: CompileOptions;
  readonly constants: ConstantPool;
  readonly onClose: () => void;
}

/** What computing some of the outputs takes. */
interface Plan {
  readonly order: readonly Tensor[];
  readonly inputs: ReadonlyMap<string, Tensor>;
  /** How often each node is an operand. */
  readonly uses: ReadonlyMap<Tensor, number>;
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
  const constants = new Map<Tensor, LoadedConstant>();
  try {
    for (const node of order) {
      if (node.operation.kind === 'constant') {
        constants.set(node, await parts.constants.load(node));
      }
    }
  } catch (error) {
    for (const constant of constants.values()) constant.release();
    throw error;
  }
  return new TensorFlowProgram(parts, constants);
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
  readonly #constants: Map<Tensor, LoadedConstant>;
  readonly #plans = new Map<string, Plan>();
  readonly #inputs: ReadonlyMap<string, Tensor>;

  constructor(parts: ProgramParts, constants: Map<Tensor, LoadedConstant>) {
    this.#parts = parts;
    this.#constants = constants;
    this.#inputs = inputsOf(topological(Object.values(parts.outputs)));
  }

  async run(feeds: Feeds, { fetch, into = {} }: RunOptions = {}): Promise<Record<string, Value>> {
    const names = [...new Set(fetch ?? Object.keys(this.#parts.outputs))];
    const plan = this.#plan(names);
    for (const name of Object.keys(feeds)) {
      if (!this.#inputs.has(name)) {
        throw new AttuneError('runtime-failed', `the graph has no input ${name}`, { input: name });
      }
    }
    const bindings = bindSymbols(plan.inputs, feeds);
    const local = await bringHere(plan, feeds);
    const results = this.#compute(plan, names, local, bindings);
    return this.#handOut(names, results, into);
  }

  async close(): Promise<void> {
    for (const constant of this.#constants.values()) constant.release();
    this.#constants.clear();
    this.#parts.onClose();
  }

  #plan(names: readonly string[]): Plan {
    const key = names.join('\n');
    const known = this.#plans.get(key);
    if (known !== undefined) return known;
    const order = topological(names.map((name) => this.#output(name)));
    const uses = new Map<Tensor, number>();
    for (const name of names) count(uses, this.#output(name));
    for (const node of order) for (const operand of node.inputs) count(uses, operand);
    const plan = { order, uses, inputs: inputsOf(order) };
    this.#plans.set(key, plan);
    return plan;
  }

  #output(name: string): Tensor {
    const output = this.#parts.outputs[name];
    if (output !== undefined) return output;
    throw new AttuneError('runtime-failed', `the graph has no output ${name}`, { output: name });
  }

  /** Synchronous, so that no other executor's run can change the backend in between. */
  #compute(
    plan: Plan,
    names: readonly string[],
    feeds: LocalFeeds,
    bindings: ReadonlyMap<string, number>,
  ): tf.Tensor[] {
    useBackend(this.#parts.backend);
    const sizes = new Map<Dimension, number>();
    const sizeOf = (dimension: Dimension): number => {
      if (typeof dimension === 'number') return dimension;
      const size = sizes.get(dimension) ?? evaluate(dimension, bindings);
      sizes.set(dimension, size);
      return size;
    };
    const frame: Frame = { live: new Map(), borrowed: new Set() };
    const left = new Map(plan.uses);
    try {
      for (const node of plan.order) {
        frame.live.set(node, this.#leaf(node, feeds, frame) ?? computeNode(node, frame, sizeOf));
        for (const operand of node.inputs) letGo(operand, frame, left);
      }
      return names.map((name) => tf.clone(frame.live.get(this.#output(name)) as tf.Tensor));
    } finally {
      for (const [node, tensor] of frame.live) if (!frame.borrowed.has(node)) tensor.dispose();
    }
  }

  #leaf(node: Tensor, feeds: LocalFeeds, { borrowed }: Frame): tf.Tensor | undefined {
    if (node.operation.kind === 'constant') {
      borrowed.add(node);
      const constant = this.#constants.get(node);
      if (constant === undefined) throw new Error('the program was closed before this run');
      return constant.tensor;
    }
    if (node.operation.kind !== 'input') return undefined;
    const fed = feeds[node.operation.name] as LocalFeed;
    if (!(fed instanceof TensorFlowValue)) return toTensor(fed);
    borrowed.add(node);
    return fed.tensor;
  }

  async #handOut(
    names: readonly string[],
    results: readonly tf.Tensor[],
    into: Readonly<Record<string, HostTensor>>,
  ): Promise<Record<string, Value>> {
    const { outputs, options } = this.#parts;
    const values: Record<string, Value> = {};
    for (const [i, name] of names.entries()) {
      const { dtype } = outputs[name] as Tensor;
      const tensor = at(results, i);
      if (options.keepOnDevice?.includes(name)) {
        values[name] = new TensorFlowValue(tensor, dtype);
      } else {
        const host = await readTensor(tensor, dtype);
        tensor.dispose();
        values[name] = new HostValue(into[name] === undefined ? host : copyInto(into[name], host));
      }
    }
    return values;
  }
}

function copyInto(target: HostTensor, host: HostTensor): HostTensor {
  if (target.dtype !== host.dtype || target.data.length !== host.data.length) {
    const given = `${target.data.length} elements of ${target.dtype}`;
    const message = `(${host.shape.join(', ')}) ${host.dtype} does not fit into ${given}`;
    throw new AttuneError('runtime-failed', message);
  }
  target.data.set(host.data);
  return { ...host, data: target.data };
}

/** Feeds of other executors are copied through host memory. */
async function bringHere(plan: Plan, feeds: Feeds): Promise<LocalFeeds> {
  const local: Record<string, LocalFeed> = {};
  for (const name of plan.inputs.keys()) {
    const fed = feeds[name] as Feeds[string];
    if (fed instanceof TensorFlowValue) local[name] = fed;
    else local[name] = 'read' in fed ? await fed.read() : fed;
  }
  return local;
}

function count(uses: Map<Tensor, number>, node: Tensor): void {
  uses.set(node, (uses.get(node) ?? 0) + 1);
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
