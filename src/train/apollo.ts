// APOLLO and APOLLO-Mini as tensor graph: one update of one matrix; it knows nothing of models.
import { stopGradient } from '../graph/indexing.ts';
import * as op from '../graph/operations.ts';
import type { Tensor } from '../graph/tensor.ts';

/**
 * Source of everything here: Zhu et al. 2025, "APOLLO: SGD-like memory, AdamW-level performance",
 * arXiv:2412.05270; written from the mathematics.
 */
export interface ApolloSettings {
  readonly rank: number;
  /** `channel`: one factor per row (or column) of the larger side; `tensor`: one for the matrix. */
  readonly scaling: 'channel' | 'tensor';
  /** Enters as its square root. `m / rank` (m the smaller side) gives updates of AdamW's size. */
  readonly scale: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** An update may grow by this factor a step at most; 0 = no limit. */
  readonly growthMax: number;
  /** The limiter remembers at least this share of an AdamW-sized update's norm. */
  readonly growthFloor: number;
}

export const APOLLO_DEFAULTS = {
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-6,
  growthMax: 1.01,
  growthFloor: 0.1,
} as const;

/** Which side is projected: `right` R = G Pᵀ when rows ≥ columns, else `left` R = Pᵀ G. */
export function projectedSide(rows: number, columns: number): 'left' | 'right' {
  return rows >= columns ? 'right' : 'left';
}

/** Shapes of what APOLLO keeps for a (rows, columns) matrix; all f32. */
export function apolloShapes(
  rows: number,
  columns: number,
  rank: number,
): { projection: [number, number]; moment: [number, number] } {
  return projectedSide(rows, columns) === 'right'
    ? { projection: [rank, columns], moment: [rows, rank] }
    : { projection: [rows, rank], moment: [rank, columns] };
}

/** The scale at which updates have AdamW's size at equal learning rate: smaller side / rank. */
export function adamSizedScale(rows: number, columns: number, rank: number): number {
  return Math.min(rows, columns) / rank;
}

export interface ApolloState {
  /** First and second moment of the projected gradient, (rows, rank) or (rank, columns). */
  readonly first: Tensor;
  readonly second: Tensor;
  /** Norm of the last limited update, scalar; 0 before the first nonzero one. */
  readonly norm: Tensor;
}

/** What every optimizer gets a step, as scalars (). */
export interface StepScalars {
  /** Learning rate of this step. */
  readonly rate: Tensor;
  /** `sqrt(1 − β₂ᵗ) / (1 − β₁ᵗ)`. */
  readonly correction: Tensor;
  /** rate × weight decay. */
  readonly decay: Tensor;
}

const DELTA = 1e-8;
const square = (x: Tensor): Tensor => op.multiply(x, x);
const norm = (x: Tensor, axes?: number[]): Tensor =>
  op.sqrt(
    axes === undefined ? op.reduceSum(square(x)) : op.reduceSum(square(x), axes, { keep: true }),
  );

/** `β m + (1 − β) x`. */
export const moving = (moment: Tensor, x: Tensor, beta: number): Tensor =>
  op.add(op.multiply(moment, op.scalar(beta)), op.multiply(x, op.scalar(1 - beta)));

/**
 * One update of `weight` (rows, columns):
 *
 *     R = G Pᵀ (or Pᵀ G);  M ← β₁ M + (1 − β₁) R;  V ← β₂ V + (1 − β₂) R²;  N = M / (√V + ε)
 *     s = ‖N‖ / (‖R‖ + δ) per channel or for the tensor;  U = √scale · limited(s G)
 *     W ← W − rate · correction · U;  W ← W − decay · W
 *
 * The limiter caps ‖U‖ at `growthMax` times the last one. The reference lets a zero first gradient
 * pin that memory at 0 for hundreds of steps; here it starts at the first nonzero norm and never
 * sinks below `growthFloor` of the size that an AdamW update would have.
 *
 * @param gradient (rows, columns)
 * @param projection as `apolloShapes`, entries N(0, 1 / rank)
 */
export function apolloUpdate(
  tensors: { weight: Tensor; gradient: Tensor; projection: Tensor; state: ApolloState },
  scalars: StepScalars,
  settings: ApolloSettings,
): { weight: Tensor; state: ApolloState } {
  const { weight, projection, state } = tensors;
  const gradient = stopGradient(tensors.gradient);
  const [rows, columns] = weight.shape as readonly [number, number];
  const isRight = projectedSide(rows, columns) === 'right';
  const projected = isRight
    ? op.matMul(gradient, projection, { transposeB: true }) // (rows, rank)
    : op.matMul(projection, gradient, { transposeA: true }); // (rank, columns)
  const first = moving(state.first, projected, settings.beta1);
  const second = moving(state.second, square(projected), settings.beta2);
  const normal = op.divide(first, op.add(op.sqrt(second), op.scalar(settings.epsilon)));
  const axes = settings.scaling === 'tensor' ? undefined : isRight ? [1] : [0];
  const factor = op.multiply(
    op.divide(norm(normal, axes), op.add(norm(projected, axes), op.scalar(DELTA))),
    op.scalar(Math.sqrt(settings.scale)),
  ); // (rows, 1), (1, columns) or (), as axes say
  // ‖U‖ from the channels' norms: U itself is never made.
  const size = norm(op.multiply(factor, norm(gradient, axes))); // ()
  const limited = limit(size, state.norm, settings, [rows, columns]);
  const length = op.multiply(op.multiply(scalars.rate, scalars.correction), limited.factor);
  const step = op.multiply(gradient, op.multiply(factor, length)); // (rows, columns)
  const moved = op.subtract(weight, step);
  return {
    weight: op.multiply(moved, op.subtract(op.scalar(1), scalars.decay)),
    state: { first, second, norm: limited.norm },
  };
}

/** The factor that caps an update of norm `size` at `growthMax` × the last one, and its norm; (). */
function limit(
  size: Tensor,
  last: Tensor,
  settings: ApolloSettings,
  [rows, columns]: readonly [number, number],
): { factor: Tensor; norm: Tensor } {
  if (settings.growthMax === 0) return { factor: op.scalar(1), norm: last };
  // An AdamW-sized update has entries of about 1, times what the scale makes of them.
  const nominal = Math.sqrt(
    (settings.scale * settings.rank * rows * columns) / Math.min(rows, columns),
  );
  const memory = op.maximum(last, op.scalar(settings.growthFloor * nominal));
  const most = op.multiply(memory, op.scalar(settings.growthMax));
  const isFirst = op.lessOrEqual(last, op.scalar(0));
  const shrink = op.divide(most, op.maximum(size, most)); // ≤ 1, () without division by zero
  const factor = op.select(isFirst, op.scalar(1), shrink);
  return { factor, norm: op.multiply(size, factor) };
}
