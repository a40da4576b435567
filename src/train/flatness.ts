// Flatness of the loss around trained weights: average direction and the SAM gap, same seeds.
import { createRandom } from '../base/random.ts';
import type { Reader } from '../measure/reader.ts';
import type { Example } from '../scenario/example.ts';
import { type FloatTensor, normOf, plus } from './difference.ts';

type FloatTensors = Readonly<Record<string, FloatTensor>>;

/** Mean negative log p(chosen) a token over the examples; contexts run under the same weights. */
export async function meanLoss(
  reader: Reader,
  examples: readonly Example[],
  weights: FloatTensors,
): Promise<number> {
  let total = 0;
  for (const { contextIds, chosen } of examples) {
    const cache = await reader.prefill(contextIds, weights);
    const [scores] = await reader.logProbabilities(cache, [chosen], weights);
    cache.release();
    total -= (scores ?? new Float32Array()).reduce((a, b) => a + b, 0) / chosen.targets.length;
  }
  return total / examples.length;
}

export interface Flatness {
  readonly loss: number;
  /** Mean over directions of L(w + d) − L(w), ‖d‖ = `radius` · ‖w‖ of the learnt matrices. */
  readonly averageDirection: number;
  /** The same along the gradient: L(w + ρ g / ‖g‖) − L(w) with ρ = `radius` · ‖w‖. */
  readonly samGap?: number;
  readonly radius: number;
  readonly directions: number;
}

/**
 * Source: average direction as a Hutchinson-like estimate of the trace; SAM gap, Foret et al. 2021,
 * arXiv:2010.01412. Compare only at matched loss and update norm, with the same seed.
 * @param gradient of the loss at `weights`, for the SAM gap
 */
export async function flatness(
  reader: Reader,
  examples: readonly Example[],
  weights: FloatTensors,
  options: {
    names: readonly string[];
    radius: number;
    directions: number;
    seed: number | string;
    gradient?: FloatTensors;
  },
): Promise<Flatness> {
  const { names, radius, directions, seed, gradient } = options;
  const learnt = Object.fromEntries(names.map((name) => [name, weights[name] as FloatTensor]));
  const reach = radius * normOf(learnt);
  const loss = await meanLoss(reader, examples, weights);
  const lossAt = (direction: FloatTensors): Promise<number> =>
    meanLoss(
      reader,
      examples,
      plus(weights, direction, reach / normOf(direction)) as Record<string, FloatTensor>,
    );
  let total = 0;
  for (let i = 0; i < directions; i++) {
    total += (await lossAt(randomDirection(learnt, `${seed}:${i}`))) - loss;
  }
  return {
    loss,
    averageDirection: total / directions,
    ...(gradient === undefined ? {} : { samGap: (await lossAt(gradient)) - loss }),
    radius,
    directions,
  };
}

function randomDirection(like: FloatTensors, seed: string): Record<string, FloatTensor> {
  const random = createRandom(`direction:${seed}`);
  return Object.fromEntries(
    Object.entries(like).map(([name, tensor]) => [
      name,
      { ...tensor, data: random.split(name).fillGaussian(new Float32Array(tensor.data.length)) },
    ]),
  );
}
