// Rewrites derivatives so that parts of the forward graph are computed again instead of kept.
import { after } from './indexing.ts';
import { node, scope, type Tensor, topological } from './tensor.ts';

export interface Forward {
  /** All nodes of the forward graph; every other node lies on the way back. */
  readonly forward: ReadonlySet<Tensor>;
  /** By part, in the order in which the way back meets them: what it meets each part with. */
  readonly signals: ReadonlyMap<number, Tensor>;
  readonly usersOf: (tensor: Tensor) => readonly Tensor[];
}

/**
 * The same derivatives, whose nodes read second copies of recomputable values. A copy is computed
 * from what enters its part, and after its signal, so that neither the first values are kept for
 * it nor it is computed early. Source: Chen et al. 2016, arXiv:1604.06174 (sublinear memory).
 */
export function recomputed(
  derivatives: readonly Tensor[],
  { forward, signals, usersOf }: Forward,
): Tensor[] {
  const copies = new Map<Tensor, Tensor>();
  const rewritten = new Map<Tensor, Tensor>();
  const standIn = (tensor: Tensor): Tensor =>
    forward.has(tensor) ? copyOf(tensor) : (rewritten.get(tensor) as Tensor);

  /** Of a value that is outside of every part, or leaves its part, itself. */
  function copyOf(tensor: Tensor): Tensor {
    const { part } = tensor;
    const signal = part === undefined ? undefined : signals.get(part);
    const isResult = usersOf(tensor).some((user) => user.part !== part);
    if (signal === undefined || isResult || tensor.inputs.length === 0) return tensor;
    const known = copies.get(tensor);
    if (known !== undefined) return known;
    const copy = scope(`again.${tensor.scope}`, () => {
      const operands = tensor.inputs.map(copyOf);
      const isLate = operands.some((operand, i) => operand !== tensor.inputs[i]);
      return again(tensor, isLate ? operands : delayed(operands, standIn(signal)));
    });
    copies.set(tensor, copy);
    return copy;
  }

  // Signals first, in their order: what one depends on reads only parts that were met before it.
  for (const tensor of topological([...signals.values(), ...derivatives])) {
    if (forward.has(tensor)) continue;
    const operands = tensor.inputs.map(standIn);
    const isChanged = operands.some((operand, i) => operand !== tensor.inputs[i]);
    rewritten.set(tensor, isChanged ? again(tensor, operands) : tensor);
  }
  return derivatives.map(standIn);
}

const again = (tensor: Tensor, operands: readonly Tensor[]): Tensor =>
  node(tensor.operation, operands, tensor.dtype, tensor.shape);

/** Lets one operand wait: computed rather than fed, since what is fed may be the largest. */
function delayed(operands: readonly Tensor[], signal: Tensor): Tensor[] {
  const isComputed = ({ dtype, inputs }: Tensor): boolean => dtype === 'f32' && inputs.length > 0;
  const at = Math.max(
    operands.findIndex(isComputed),
    operands.findIndex(({ dtype }) => dtype === 'f32'),
  );
  return operands.map((operand, i) => (i === at ? after(operand, signal) : operand));
}
