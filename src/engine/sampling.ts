// Draws the next token from a row of logits; it knows nothing of models, caches or batches.
import { AttuneError } from '../base/errors.ts';
import { createRandom, type Random } from '../base/random.ts';
import type { Adjustment, SamplingSettings } from '../protocol/sampling.ts';

export interface Ranked {
  readonly id: number;
  /** Natural log of the model's probability, before temperature and filters. */
  readonly logprob: number;
}

export interface Choice extends Ranked {
  /** The likeliest tokens of the model, best first. */
  readonly top: readonly Ranked[];
}

/** What the model says about the next token of one sequence. */
export interface Scores {
  /** (vocabularySize). */
  readonly logits: Float32Array;
  /** `log Σ exp(logits)`. */
  readonly logSum: number;
}

/** Working memory, shared by all samplers of an engine: vocabularySize numbers. */
export type Scratch = Float64Array<ArrayBuffer>;

/** Weights a candidate pass keeps at first, relative to the best; each pass divides it further. */
const FIRST_SHARE = 1 / 16;

/**
 * The sampler of one reply. Its n-th draw depends on the seed, n and the logits alone: no state is
 * shared with other replies, so a seed repeats a reply whatever else is in the batch.
 */
export class Sampler {
  readonly #settings: SamplingSettings;
  readonly #random: Random;
  readonly #seen: Set<number> | undefined;
  readonly #adjustment: Adjustment | undefined;
  /** How often the reply holds each of its tokens. */
  readonly #counts = new Map<number, number>();
  #draws = 0;

  /** @param promptIds count as said already for the repetition penalty. */
  constructor(
    settings: SamplingSettings,
    promptIds: readonly number[],
    adjustment?: Adjustment | undefined,
  ) {
    this.#settings = settings;
    this.#adjustment = adjustment;
    this.#random = createRandom(settings.seed);
    this.#seen = settings.repetitionPenalty === 1 ? undefined : new Set(promptIds);
  }

  /**
   * @param scores not changed
   * @param scratch (vocabularySize), overwritten
   * @throws engine-failed when the logits are not finite
   */
  next({ logits, logSum }: Scores, scratch: Scratch, topCount = 0): Choice {
    const id = this.#draw(logits, scratch);
    if (!Number.isFinite(logSum) || !Number.isFinite(logits[id])) {
      const message = 'the model gave no finite logits; `attune doctor` tests it on each device';
      throw new AttuneError('engine-failed', message, { logSum });
    }
    this.#draws++;
    this.#seen?.add(id);
    if (this.#adjustment !== undefined) this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1);
    const ranked = (i: number): Ranked => ({ id: i, logprob: (logits[i] as number) - logSum });
    return { ...ranked(id), top: topIds(logits, topCount).map(ranked) };
  }

  #draw(logits: Float32Array, scores: Scratch): number {
    const { temperature, topK, topP, minP } = this.#settings;
    const isPlain = this.#seen === undefined && this.#adjustment === undefined;
    if (temperature === 0 && isPlain) return argMax(logits);
    scores.set(logits);
    if (!isPlain) this.#adjust(scores);
    const best = argMax(scores);
    if (temperature === 0) return best;
    const highest = scores[best] as number;
    for (let i = 0; i < scores.length; i++) {
      scores[i] = Math.exp(((scores[i] as number) - highest) / temperature);
    }
    const uniform = this.#random.uniformAt(this.#draws);
    const isRanked = (topK > 0 && topK < scores.length) || topP < 1;
    return isRanked
      ? drawFrom(scores, uniform, nucleus(scores, { topK, topP, minP }))
      : drawFrom(scores, uniform, undefined, minP);
  }

  #adjust(scores: Scratch): void {
    const { repetitionPenalty } = this.#settings;
    for (const id of this.#seen ?? []) {
      const score = scores[id] as number;
      scores[id] = score > 0 ? score / repetitionPenalty : score * repetitionPenalty;
    }
    const { presencePenalty = 0, frequencyPenalty = 0, bias = [] } = this.#adjustment ?? {};
    for (const [id, added] of bias) scores[id] = (scores[id] as number) + added;
    for (const [id, count] of this.#counts) {
      scores[id] = (scores[id] as number) - presencePenalty - frequencyPenalty * count;
    }
  }
}

/**
 * Ids that survive top-k, then top-p of what is left, then min-p; heaviest first, ties by id.
 * Source: transformers 5.18, generation/logits_process.py (same order, same inclusive edges).
 *
 * @param weights (vocabularySize), unnormalized probabilities whose largest is 1
 */
export function nucleus(
  weights: Scratch,
  { topK, topP, minP }: Pick<SamplingSettings, 'topK' | 'topP' | 'minP'>,
): number[] {
  const count = topK > 0 ? Math.min(topK, weights.length) : weights.length;
  let ids = heaviest(weights, count, topK > 0 ? 1 : topP);
  ids.sort((a, b) => (weights[b] as number) - (weights[a] as number) || a - b);
  if (topK > 0) ids = ids.slice(0, count);
  if (topP < 1) ids = ids.slice(0, prefixOfMass(weights, ids, topK > 0, topP));
  return ids.filter((id) => (weights[id] as number) >= minP);
}

/** How many of the sorted ids reach the share `topP` of the mass; at least one. */
function prefixOfMass(weights: Scratch, ids: number[], isWithin: boolean, topP: number): number {
  let total = 0;
  if (isWithin) for (const id of ids) total += weights[id] as number;
  else for (const weight of weights) total += weight;
  let mass = 0;
  let kept = 0;
  while (kept < ids.length && (kept === 0 || mass < topP * total)) {
    mass += weights[ids[kept++] as number] as number;
  }
  return kept;
}

/** A superset of the `count` heaviest ids, or of those with the share `topP`; without a sort. */
function heaviest(weights: Scratch, count: number, topP: number): number[] {
  let total = 0;
  for (const weight of weights) total += weight;
  for (let share = FIRST_SHARE; share > 1e-12; share /= 64) {
    const ids: number[] = [];
    let mass = 0;
    for (let id = 0; id < weights.length; id++) {
      const weight = weights[id] as number;
      if (weight < share) continue;
      ids.push(id);
      mass += weight;
    }
    if (topP < 1 ? mass >= topP * total : ids.length >= count) return ids;
  }
  return Array.from(weights, (_, id) => id);
}

/** The first id at which the running sum passes `uniform` of the whole. */
function drawFrom(weights: Scratch, uniform: number, ids?: readonly number[], minP = 0): number {
  const count = ids?.length ?? weights.length;
  const weightAt = (i: number): number => {
    const weight = weights[ids === undefined ? i : (ids[i] as number)] as number;
    return weight >= minP ? weight : 0;
  };
  let total = 0;
  for (let i = 0; i < count; i++) total += weightAt(i);
  let rest = uniform * total;
  let last = 0;
  for (let i = 0; i < count; i++) {
    const weight = weightAt(i);
    if (weight === 0) continue;
    last = i;
    rest -= weight;
    if (rest < 0) break;
  }
  return ids === undefined ? last : (ids[last] as number);
}

function argMax(values: Float32Array | Float64Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) {
    if ((values[i] as number) > (values[best] as number)) best = i;
  }
  return best;
}

/** Ids of the `count` largest logits, best first, ties by id. */
function topIds(logits: Float32Array, count: number): number[] {
  const ids: number[] = [];
  if (count === 0) return ids;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] as number;
    if (ids.length === count && logit <= (logits[ids[count - 1] as number] as number)) continue;
    let at = Math.min(ids.length, count - 1);
    while (at > 0 && (logits[ids[at - 1] as number] as number) < logit) {
      ids[at] = ids[at - 1] as number;
      at--;
    }
    ids[at] = id;
  }
  return ids;
}
