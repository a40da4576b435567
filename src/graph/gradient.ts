// Reverse-mode differentiation: builds the graph of derivatives from a loss back to its inputs.
import { at } from '../base/at.ts';
import { AttuneError } from '../base/errors.ts';
import { scalar } from './operations.ts';
import { recomputed } from './recompute.ts';
import { accumulate, RULES, type Rule, zeros } from './rules.ts';
import { type Operation, refuse, scope, type Tensor, topological } from './tensor.ts';

export interface GradientOptions {
  /** Computes `recomputable` parts again on the way back instead of keeping their values. */
  readonly isRecomputing?: boolean;
}

/**
 * `∂loss/∂input` for each input, of its shape. Only what lies between the inputs and the loss is
 * differentiated; an input that the loss does not depend on has a gradient of zeros.
 * @param loss f32 ()
 * @param inputs any f32 tensors of the graph, not only its inputs
 * @throws AttuneError graph-shape when the loss is no scalar, graph-unsupported when a fused
 *   operation lies in between
 */
export function gradients(
  loss: Tensor,
  inputs: readonly Tensor[],
  { isRecomputing = false }: GradientOptions = {},
): Tensor[] {
  if (loss.dtype !== 'f32' || loss.shape.length !== 0) {
    refuse('gradients', 'the loss must be an f32 scalar', [loss]);
  }
  const order = topological([loss]);
  const needed = neededFor(order, inputs);
  const users = usersIn(order);
  const cotangents = new Map<Tensor, Tensor>([[loss, scalar(1)]]);
  /** The first derivative that reaches each part; its recomputation waits for it. */
  const signals = new Map<number, Tensor>();
  for (const result of order.reverse()) {
    const cotangent = cotangents.get(result);
    if (cotangent === undefined || !needed.has(result)) continue;
    if (!result.inputs.some((operand) => needed.has(operand))) continue;
    const { part } = result;
    if (part !== undefined && !signals.has(part)) signals.set(part, cotangent);
    scope(`gradient.${result.scope}`, () => {
      const { operation, inputs: operands } = result;
      const partials = ruleOf(result)({
        result,
        operation: operation as never,
        operands,
        cotangent,
        usersOf: (tensor) => users.get(tensor) ?? [],
        isWanted: (tensor) => inputs.includes(tensor),
      });
      partials.forEach((partial, i) => {
        const operand = at(operands, i);
        if (partial === undefined || !needed.has(operand)) return;
        cotangents.set(operand, accumulate(cotangents.get(operand), partial()));
      });
    });
  }
  const found = inputs.map((input) => cotangents.get(input) ?? zeros(input.shape));
  const usersOf = (tensor: Tensor): readonly Tensor[] => users.get(tensor) ?? [];
  return isRecomputing ? recomputed(found, { forward: new Set(order), signals, usersOf }) : found;
}

function ruleOf({ operation, scope: where }: Tensor): Rule<Operation['kind']> {
  const rule = RULES[operation.kind];
  if (rule !== undefined) return rule as Rule<Operation['kind']>;
  const place = where || 'the top level';
  const what = `${operation.kind} at ${place}`;
  const message = `${what} has no gradient; build it from primitive operations`;
  throw new AttuneError('graph-unsupported', message, { operation: operation.kind, scope: where });
}

/** The inputs and what depends on them, through numbers that a gradient can pass. */
function neededFor(order: readonly Tensor[], inputs: readonly Tensor[]): Set<Tensor> {
  const needed = new Set<Tensor>(inputs);
  for (const tensor of order) {
    const isOpen = tensor.dtype === 'f32' && tensor.operation.kind !== 'stopGradient';
    if (isOpen && tensor.inputs.some((operand) => needed.has(operand))) needed.add(tensor);
  }
  return needed;
}

function usersIn(order: readonly Tensor[]): Map<Tensor, Tensor[]> {
  const users = new Map<Tensor, Tensor[]>();
  for (const user of order) {
    for (const operand of new Set(user.inputs)) {
      const known = users.get(operand);
      if (known === undefined) users.set(operand, [user]);
      else known.push(user);
    }
  }
  return users;
}
