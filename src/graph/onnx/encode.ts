// Encodes a tensor graph as the bytes of an ONNX model; knows nothing of who will run it.
import { dirname, parse, sep } from 'node:path';
import { at } from '../../base/at.ts';
import { AttuneError } from '../../base/errors.ts';
import { refuse, type Tensor, topological } from '../tensor.ts';
import { type DerivedInput, Emitter, type FloatType } from './emitter.ts';
import { type LoweredKind, lower, type Node, type Target } from './lower.ts';
import { ELEMENT_TYPE, modelBytes, type ValueMessage } from './messages.ts';

export interface EncodeOptions {
  readonly target?: Target;
  /** f64 computes every f32 of the graph in double precision, for finite differences. */
  readonly floats?: FloatType;
  /**
   * Products with quantised matrices round their other operand to 8 bits, as llama.cpp does; else
   * they are summed in f32. False by default.
   */
  readonly roundsActivations?: boolean;
  /** Constants in files become inputs, which several sessions can share. False by default. */
  readonly feedsConstants?: boolean;
}

export interface OnnxModel {
  readonly bytes: Uint8Array;
  /** The folder under which all external data lies; absent when there is none. */
  readonly folder?: string;
  /** What the caller feeds. */
  readonly inputs: readonly Tensor[];
  /** Constants that the runner feeds, by the name of their input. */
  readonly constants: ReadonlyMap<string, Tensor>;
  /** What the runner feeds besides, computed from the sizes of the caller's inputs. */
  readonly derived: readonly DerivedInput[];
}

/**
 * The graph that is reachable from `outputs`, with outputs of those names.
 * @throws AttuneError graph-shape when two inputs share a name, graph-unsupported when constants
 *   lie on several drives.
 */
export function encodeOnnx(
  outputs: Readonly<Record<string, Tensor>>,
  options: EncodeOptions = {},
): OnnxModel {
  const { target = 'cpu', floats = 'f32', roundsActivations = false } = options;
  const { feedsConstants = false } = options;
  const order = topological(Object.values(outputs));
  const folder = feedsConstants ? undefined : commonFolder(order);
  const to = new Emitter({ floatType: floats, folder, roundsActivations });
  const values = new Map<Tensor, readonly string[]>();
  const inputs = new Map<string, Tensor>();
  const constants = new Map<string, Tensor>();
  const resultsOf = (tensor: Tensor): readonly string[] => values.get(tensor) ?? [];
  for (const tensor of order) {
    to.scope = tensor.scope;
    values.set(tensor, valuesOf(tensor));
  }

  function valuesOf(tensor: Tensor): readonly string[] {
    const { operation } = tensor;
    const operands = tensor.inputs.map((input) => at(resultsOf(input), 0));
    if (operation.kind === 'constant') {
      if (!feedsConstants || operation.source.from !== 'file') return [constantValue(tensor, to)];
      constants.set(nameOf(tensor, operation.name), tensor);
      return [nameOf(tensor, operation.name)];
    }
    if (operation.kind === 'result') {
      return [at(resultsOf(at(tensor.inputs, 0)), operation.index)];
    }
    if (operation.kind !== 'input') {
      const node = { tensor, operation, inputs: operands, target } as Node<LoweredKind>;
      return lower(node, to);
    }
    const { name } = operation;
    if (inputs.has(name)) refuse(`input ${name}`, 'two inputs share this name', [tensor]);
    inputs.set(name, tensor);
    return [name];
  }

  for (const [name, tensor] of Object.entries(outputs)) {
    if (inputs.has(name)) refuse(`output ${name}`, 'an input has this name', [tensor]);
    to.output(at(resultsOf(tensor), 0), name);
  }
  const derived = [...to.derived.values()];
  const bytes = modelBytes({
    name: 'attune',
    nodes: to.finish(),
    initializers: to.initializers,
    inputs: [
      ...[...inputs, ...constants].map(valueMessage(floats)),
      ...derived.map(derivedMessage),
    ],
    outputs: Object.entries(outputs).map(valueMessage(floats)),
  });
  const model = { bytes, inputs: [...inputs.values()], constants, derived };
  return folder === undefined ? model : { ...model, folder };
}

const valueMessage =
  (floats: FloatType) =>
  ([name, tensor]: readonly [string, Tensor]): ValueMessage => ({
    name,
    type: tensor.dtype === 'f32' ? floats : tensor.dtype,
    shape: tensor.shape,
  });

const derivedMessage = ({ name, type, rank }: DerivedInput): ValueMessage => ({
  name,
  type,
  shape: rank === 0 ? [] : [`size of ${name}`],
});

/** The deepest folder that holds every file; ONNX Runtime follows paths only downwards. */
function commonFolder(order: readonly Tensor[]): string | undefined {
  let common: string | undefined;
  for (const { operation } of order) {
    if (operation.kind !== 'constant' || operation.source.from === 'inline') continue;
    const { source } = operation;
    const folder = dirname(source.from === 'file' ? source.path : source.codes.path);
    common ??= folder;
    while (!isWithin(folder, common)) {
      if (parse(common).root === common) {
        const message = `weights lie on several drives (${common} and ${folder}); put them on one`;
        throw new AttuneError('graph-unsupported', message);
      }
      common = dirname(common);
    }
  }
  return common;
}

const isWithin = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);

const nameOf = ({ id }: Tensor, name: string): string => `#${id}:${name}`;

/**
 * Adds the initializer of a constant, widened where it is stored in another type. Of a quantised
 * one the node that uses it takes the parts.
 */
function constantValue(tensor: Tensor, to: Emitter): string {
  const { operation } = tensor;
  if (operation.kind !== 'constant') throw new Error('graph: constant expected');
  const { source } = operation;
  const dims = tensor.shape as readonly number[];
  const wanted = tensor.dtype === 'f32' ? to.floatType : tensor.dtype;
  const name = nameOf(tensor, operation.name);
  if (source.from === 'inline') {
    const [first] = source.data;
    if (dims.length === 0 && tensor.dtype === 'f32') return to.float(first as number);
    if (dims.length === 0 && tensor.dtype === 'i32') return to.integers('i32', [first ?? 0], []);
    const data = wanted === 'f64' ? Float64Array.from(source.data) : source.data;
    const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return to.initializer({ name, type: wanted, dims, content: { raw } });
  }
  if (source.from === 'blocks') return name;
  const stored = to.external(source.storedAs, dims, source);
  if (source.storedAs === wanted) return stored;
  return to.emit('Cast', [stored], { attributes: { to: ELEMENT_TYPE[wanted] } });
}
