// A trained delta as factors: the smallest rank that loses next to nothing of what it does.
import type { DeltaTensor, LowRankDelta } from '../model/delta.ts';
import { denseRank, factorsOf, type SingularVectors, singularVectors } from '../model/low-rank.ts';
import type { FloatTensor } from './difference.ts';
import { coordinatesOf, factorsFrom, type Whitening } from './whitening.ts';

export interface Compressed {
  readonly tensors: Readonly<Record<string, DeltaTensor>>;
  /** Of every matrix; null: dense, as factors would take no less room. */
  readonly rank: number | null;
  /** KL from the full delta's predictions to these, as a share of the KL that the delta makes. */
  readonly lostShare: number;
}

/** Of the KL that a night makes, factors may lose less than this. */
const LOST_SHARE_MAX = 0.02;
/** The first rank that is tried; it doubles until it does, then the smallest below is sought. */
const RANK_FIRST = 16;

/**
 * What is cut off is what moves predictions least, not what is smallest.
 * @param lost KL from the full delta to these on the night's own inputs, as a share of the night's
 */
export async function compress(
  delta: Readonly<Record<string, FloatTensor>>,
  lost: (tensors: Readonly<Record<string, DeltaTensor>>) => Promise<number>,
  whiteningOf: (name: string) => Whitening,
): Promise<Compressed> {
  const dense = Math.min(...Object.values(delta).map(({ shape }) => denseRank(shape)));
  let below = 0;
  for (let most = RANK_FIRST; below < dense - 1; most *= 2) {
    const rank = Math.min(most, dense - 1);
    const found = await smallest(
      await decompose(delta, rank, whiteningOf),
      { below, most: rank },
      lost,
    );
    if (found !== undefined) return found;
    below = rank;
  }
  return { tensors: delta, rank: null, lostShare: 0 };
}

interface Part {
  readonly name: string;
  readonly vectors: SingularVectors;
  readonly whitening: Whitening;
}
type Decomposed = readonly Part[];

async function decompose(
  delta: Readonly<Record<string, FloatTensor>>,
  rank: number,
  whiteningOf: (name: string) => Whitening,
): Promise<Decomposed> {
  const all: Part[] = [];
  for (const [name, matrix] of Object.entries(delta)) {
    const whitening = whiteningOf(name);
    const vectors = await singularVectors(await coordinatesOf(matrix, whitening), rank);
    all.push({ name, vectors, whitening });
  }
  return all;
}

/** The smallest rank above `below` that loses little enough; undefined: `most` loses too much. */
async function smallest(
  parts: Decomposed,
  { below: failed, most }: { readonly below: number; readonly most: number },
  lost: Parameters<typeof compress>[1],
): Promise<Compressed | undefined> {
  let best: Compressed | undefined;
  let below = failed;
  let rank = most;
  while (rank > below && (best !== undefined || rank === most)) {
    const tensors = Object.fromEntries(
      parts.map(({ name, vectors, whitening }): [string, LowRankDelta] => [
        name,
        factorsFrom(factorsOf(vectors, rank), whitening),
      ]),
    );
    const lostShare = await lost(tensors);
    if (lostShare < LOST_SHARE_MAX) best = { tensors, rank, lostShare };
    else below = rank;
    rank = Math.floor((below + (best?.rank ?? below)) / 2);
  }
  return best;
}
