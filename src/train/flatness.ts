// Flatness of the objective around trained weights, in several senses; it trains nothing.
import { createRandom } from '../base/random.ts';
import { type FloatTensor, normOf, plus } from './difference.ts';
import type { LossSurface } from './loss-surface.ts';

type FloatTensors = Readonly<Record<string, FloatTensor>>;

export interface Flatness {
  readonly loss: number;
  readonly gradientNorm: number;
  readonly radii: readonly {
    /** Length of a step, as a share of ‖w‖ of the learnt matrices. */
    readonly radius: number;
    /** L(w + d) − L(w) for each random direction d. */
    readonly rises: readonly number[];
    /** Their mean: about `‖d‖² / 2n · trace of the Hessian` for n entries at a minimum. */
    readonly averageDirection: number;
    /** L(w + ‖d‖ g / ‖g‖) − L(w) along the gradient g. */
    readonly samGap: number;
  }[];
  /** `uᵀHu` along the unit vector u from the first weights to these, by central differences. */
  readonly alongMove: number;
}

/**
 * Compare two solutions at matched update norm and, as far as it goes, matched loss: the same
 * examples and the same `seed` give both the same directions.
 * Source: Foret et al. 2021, arXiv:2010.01412 (SAM gap); Pan & Li 2023, arXiv:2306.00204
 * (directional sharpness); Andriushchenko et al. 2023, arXiv:2302.07011, for how little it says.
 * @param weights every fed weight, at which the surface's contexts ran
 * @param move from the first weights to these, of the learnt matrices
 */
export async function flatness(
  surface: LossSurface,
  { weights, move }: { weights: FloatTensors; move: FloatTensors },
  options: { radii: readonly number[]; directions: number; seed: number | string },
): Promise<Flatness> {
  const names = Object.keys(move);
  const learnt = Object.fromEntries(names.map((name) => [name, weights[name] as FloatTensor]));
  const size = normOf(learnt);
  const loss = await surface.loss(weights);
  const gradient = await surface.gradient(weights);
  const lossAt = (direction: FloatTensors, length: number): Promise<number> =>
    surface.loss(plus(weights, direction, length / normOf(direction)));
  const radii: Flatness['radii'][number][] = [];
  for (const radius of options.radii) {
    const rises: number[] = [];
    for (let i = 0; i < options.directions; i++) {
      const direction = randomDirection(learnt, `${options.seed}:${i}`);
      rises.push((await lossAt(direction, radius * size)) - loss);
    }
    const averageDirection = rises.reduce((a, b) => a + b, 0) / rises.length;
    const samGap = (await lossAt(gradient, radius * size)) - loss;
    radii.push({ radius, rises, averageDirection, samGap });
  }
  const step = CURVATURE_STEP * size;
  const ends = (await lossAt(move, step)) + (await lossAt(move, -step));
  const alongMove = (ends - 2 * loss) / step ** 2;
  return { loss, gradientNorm: normOf(gradient), radii, alongMove };
}

/** Share of ‖w‖ of a central difference: large enough for f32 losses of size 1. */
const CURVATURE_STEP = 0.02;

function randomDirection(like: FloatTensors, seed: string): Record<string, FloatTensor> {
  const random = createRandom(`direction:${seed}`);
  return Object.fromEntries(
    Object.entries(like).map(([name, tensor]) => [
      name,
      { ...tensor, data: random.split(name).fillGaussian(new Float32Array(tensor.data.length)) },
    ]),
  );
}
