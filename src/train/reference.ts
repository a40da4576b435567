// What the first weights say: log p₀ of replies and logits of replayed turns, computed once.
import type { ContextCache, Reader, TrainableWeights } from '../reading/reader.ts';
import type { HostTensor } from '../runtime/executor.ts';
import type { Candidate, Example } from '../scenario/example.ts';

/** References under the weights with which the training began, each with its own context cache. */
export class References {
  readonly #reader: Reader;
  readonly #first: TrainableWeights;
  readonly #bytesMax: number;
  readonly #sums = new Map<string, readonly number[]>();
  readonly #logits = new Map<string, HostTensor>();
  #bytes = 0;

  /** @param bytesMax memory for kept logits; what does not fit is computed again */
  constructor(reader: Reader, first: TrainableWeights, bytesMax: number) {
    this.#reader = reader;
    this.#first = first;
    this.#bytesMax = bytesMax;
  }

  /**
   * log p₀ of `chosen`, and of `rejected` if any, summed over the counted tokens.
   * @param own the example's context under the first weights, where it is at hand
   */
  async sums(example: Example, own?: ContextCache): Promise<readonly number[]> {
    const known = this.#sums.get(example.scenario.id);
    if (known !== undefined) return known;
    const { chosen, rejected } = example;
    const candidates = rejected === undefined ? [chosen] : [chosen, rejected];
    const scores = await this.#with(example, own, (cache) =>
      this.#reader.logProbabilities(cache, candidates, this.#first),
    );
    const sums = scores.map((score, i) => maskedSum(score, candidates[i] as Candidate));
    this.#sums.set(example.scenario.id, sums);
    return sums;
  }

  /** Logits (length, vocabulary) of the rows of `chosen`. @param own as in `sums` */
  async logits(example: Example, own?: ContextCache): Promise<HostTensor> {
    const known = this.#logits.get(example.scenario.id);
    if (known !== undefined) return known;
    const logits = await this.#with(example, own, (cache) =>
      this.#reader.logits(cache, example.chosen, this.#first),
    );
    const bytes = 4 * logits.data.length;
    if (this.#bytes + bytes <= this.#bytesMax) {
      this.#bytes += bytes;
      this.#logits.set(example.scenario.id, logits);
    }
    return logits;
  }

  async #with<T>(
    { contextIds }: Example,
    own: ContextCache | undefined,
    use: (cache: ContextCache) => Promise<T>,
  ): Promise<T> {
    const cache = own ?? (await this.#reader.prefill(contextIds, this.#first));
    try {
      return await use(cache);
    } finally {
      if (own === undefined) cache.release();
    }
  }
}

function maskedSum(values: ArrayLike<number>, { lossMask }: Candidate): number {
  return lossMask.reduce((total, counts, i) => total + counts * (values[i] as number), 0);
}
