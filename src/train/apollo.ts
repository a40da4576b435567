// APOLLO and APOLLO-Mini as tensor graph: low-rank state, updates of AdamW's size.
import { createRandom } from '../base/random.ts';
import { stopGradient } from '../graph/indexing.ts';
import * as op from '../graph/operations.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { HostTensor } from '../runtime/executor.ts';
import { f32, zeros } from '../runtime/host-tensor.ts';
import { BETAS, moving, type Optimizer, type Parameter } from './optimizer.ts';

/**
 * Source of everything here: Zhu et al. 2025, "APOLLO: SGD-like memory, AdamW-level performance",
 * arXiv:2412.05270; written from the mathematics.
 */
export interface ApolloSettings {
  /** Of the projections. */
  readonly rank: number;
  /** `channel`: one factor per row (or column) of the larger side; `tensor`: one for the matrix. */
  readonly scaling: 'channel' | 'tensor';
  /** Steps between two draws of the projections; 200 by default. */
  readonly projectionSteps?: number;
  /** Projections depend on it, the matrix' name and the number of the draw alone. */
  readonly seed: number | string;
  /** Enters as its square root; smaller side / rank, which gives updates of AdamW's size, by default. */
  readonly scale?: number;
  /** An update may grow by this factor a step at most; 0 = no limit. */
  readonly growthMax?: number;
  /** The limiter remembers at least this share of an AdamW-sized update's norm. */
  readonly growthFloor?: number;
}

const EPSILON = 1e-6;
const DELTA = 1e-8;
const PROJECTION_STEPS = 200;
const GROWTH_MAX = 1.01;
const GROWTH_FLOOR = 0.1;

const square = (x: Tensor): Tensor => op.multiply(x, x);
const norm = (x: Tensor, axes?: number[]): Tensor =>
  op.sqrt(
    axes === undefined ? op.reduceSum(square(x)) : op.reduceSum(square(x), axes, { keep: true }),
  );

/** Shapes of what APOLLO keeps for a matrix: R = G Pᵀ when rows ≥ columns, else R = Pᵀ G. */
function shapesOf({ shape: [rows, columns] }: Parameter, rankMax: number) {
  const rank = Math.min(rankMax, rows, columns);
  const isRight = rows >= columns;
  const projection: [number, number] = isRight ? [rank, columns] : [rows, rank];
  const moment: [number, number] = isRight ? [rows, rank] : [rank, columns];
  return { rank, isRight, projection, moment };
}

/**
 * One update of a weight W (rows, columns) with the gradient G:
 *
 *     R = G Pᵀ (or Pᵀ G);  M ← β₁ M + (1 − β₁) R;  V ← β₂ V + (1 − β₂) R²;  N = M / (√V + ε)
 *     s = ‖N‖ / (‖R‖ + δ) per channel or for the tensor;  U = √scale · limited(s G)
 *     W ← W − rate · correction · U
 *
 * The limiter caps ‖U‖ at `growthMax` times the last one. The reference lets a zero first gradient
 * pin that memory at 0 for hundreds of steps; here it starts at the first nonzero norm and never
 * sinks below `growthFloor` of the size that an AdamW update would have.
 *
 * State: `first` and `second`, the moments M and V of R (rows, rank) or (rank, columns), and
 * `norm` (), that of the last limited update, 0 before the first nonzero one. Feeds: `projection`
 * P (rank, columns) or (rows, rank), entries N(0, 1 / rank), drawn again and never stored.
 */
export function apollo(settings: ApolloSettings): Optimizer {
  const drawn = new Map<string, { readonly draw: number; readonly projection: HostTensor }>();
  return {
    init(parameter) {
      const { moment } = shapesOf(parameter, settings.rank);
      return { first: zeros(moment), second: zeros(moment), norm: zeros([]) };
    },

    update(parameter, tensors, { rate, correction }) {
      const { name, shape } = parameter;
      const { rank, isRight, projection, moment } = shapesOf(parameter, settings.rank);
      const scale = settings.scale ?? Math.min(...shape) / rank;
      const input = (part: string, size: readonly number[]): Tensor =>
        op.input(`${part}.${name}`, 'f32', size);
      const gradient = stopGradient(tensors.gradient);
      const p = input('projection', projection);
      const projected = isRight
        ? op.matMul(gradient, p, { transposeB: true }) // (rows, rank)
        : op.matMul(p, gradient, { transposeA: true }); // (rank, columns)
      const first = moving(input('first', moment), projected, BETAS.beta1);
      const second = moving(input('second', moment), square(projected), BETAS.beta2);
      const normal = op.divide(first, op.add(op.sqrt(second), op.scalar(EPSILON)));
      const axes = settings.scaling === 'tensor' ? undefined : isRight ? [1] : [0];
      const factor = op.multiply(
        op.divide(norm(normal, axes), op.add(norm(projected, axes), op.scalar(DELTA))),
        op.scalar(Math.sqrt(scale)),
      ); // (rows, 1), (1, columns) or (), as axes say
      // ‖U‖ from the channels' norms: U itself is never made.
      const size = norm(op.multiply(factor, norm(gradient, axes))); // ()
      // An AdamW-sized update has entries of about 1, times what the scale makes of them.
      const nominal = Math.sqrt((scale * rank * shape[0] * shape[1]) / Math.min(...shape));
      const limited = limit(size, input('norm', []), { nominal, ...settings });
      const length = op.multiply(op.multiply(rate, correction), limited.factor);
      const step = op.multiply(gradient, op.multiply(factor, length)); // (rows, columns)
      return {
        weight: op.subtract(tensors.weight, step),
        state: { first, second, norm: limited.norm },
      };
    },

    feeds(parameter, step) {
      const { rank, projection } = shapesOf(parameter, settings.rank);
      const draw = Math.floor(step / (settings.projectionSteps ?? PROJECTION_STEPS));
      const last = drawn.get(parameter.name);
      if (last?.draw === draw) return { projection: last.projection };
      const random = createRandom(`projection:${settings.seed}`).split(parameter.name).split(draw);
      const entries = new Float32Array(projection[0] * projection[1]);
      const fresh = f32(projection, random.fillGaussian(entries, 1 / Math.sqrt(rank)));
      drawn.set(parameter.name, { draw, projection: fresh });
      return { projection: fresh };
    },
  };
}

/** The factor that caps an update of norm `size` at `growthMax` × the last one, and its norm; (). */
function limit(
  size: Tensor,
  last: Tensor,
  {
    nominal,
    growthMax = GROWTH_MAX,
    growthFloor = GROWTH_FLOOR,
  }: Pick<ApolloSettings, 'growthMax' | 'growthFloor'> & { nominal: number },
): { factor: Tensor; norm: Tensor } {
  if (growthMax === 0) return { factor: op.scalar(1), norm: last };
  const memory = op.maximum(last, op.scalar(growthFloor * nominal));
  const most = op.multiply(memory, op.scalar(growthMax));
  const isFirst = op.lessOrEqual(last, op.scalar(0));
  const shrink = op.divide(most, op.maximum(size, most)); // ≤ 1, () without division by zero
  const factor = op.select(isFirst, op.scalar(1), shrink);
  return { factor, norm: op.multiply(size, factor) };
}
