// What the first weights say: log p₀ of replies and logits of replayed turns, computed once.
import type { Reader, TrainableWeights } from '../measure/reader.ts';
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

  /** log p₀ of `chosen`, and of `rejected` if any, summed over the counted tokens. */
  async sums(example: Example): Promise<readonly number[]> {
    const known = this.#sums.get(example.scenario.id);
    if (known !== undefined) return known;
    const { chosen, rejected } = example;
    const candidates = rejected === undefined ? [chosen] : [chosen, rejected];
    const cache = await this.#reader.prefill(example.contextIds, this.#first);
    const scores = await this.#reader.logProbabilities(cache, candidates, this.#first);
    cache.release();
    const sums = scores.map((score, i) => maskedSum(score, candidates[i] as Candidate));
    this.#sums.set(example.scenario.id, sums);
    return sums;
  }

  /** Logits (length, vocabulary) of the rows of `chosen`. */
  async logits(example: Example): Promise<HostTensor> {
    const known = this.#logits.get(example.scenario.id);
    if (known !== undefined) return known;
    const cache = await this.#reader.prefill(example.contextIds, this.#first);
    const logits = await this.#reader.logits(cache, example.chosen, this.#first);
    cache.release();
    const bytes = 4 * logits.data.length;
    if (this.#bytes + bytes <= this.#bytesMax) {
      this.#bytes += bytes;
      this.#logits.set(example.scenario.id, logits);
    }
    return logits;
  }
}

function maskedSum(values: ArrayLike<number>, { lossMask }: Candidate): number {
  return lossMask.reduce((total, counts, i) => total + counts * (values[i] as number), 0);
}
