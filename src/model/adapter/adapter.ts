// What the deltas of some nights add up to as one adapter: factors of one rank for every layer.
import { AttuneError } from '../../base/errors.ts';
import {
  addDelta,
  type Delta,
  type DeltaTensor,
  isLowRank,
  type LowRankDelta,
  rankOf,
  sizeOf,
} from '../delta.ts';
import { factorsOf, singularVectors } from '../low-rank.ts';
import type { Model } from '../model.ts';
import { readOwnDelta } from '../versions.ts';
import { isQProj } from '../weight-names.ts';

export interface Adapter {
  readonly rank: number;
  /** By our names (`layers.0.qProj`), one for each layer of the model; zeros where none moved. */
  readonly layers: ReadonlyMap<string, LowRankDelta>;
  /** ‖adapter‖² ÷ ‖deltas‖², the least of the layers; 1 where nothing was cut. */
  readonly energyShare: number;
}

/**
 * Lossless without `rankMax`: the factors of the nights stand side by side, and a dense delta is a
 * factor beside an identity.
 * @param rankMax the rank to cut to
 * @throws version-mismatch, delta-damaged, model-not-found
 */
export async function adapterOf(
  model: Model,
  deltaPaths: readonly string[],
  rankMax = Number.POSITIVE_INFINITY,
): Promise<Adapter> {
  const deltas: Delta[] = [];
  for (const path of deltaPaths) deltas.push(await readOwnDelta(model, path));
  const found: [string, LowRankDelta, number][] = [];
  for (const [name, { shape }] of model.weights) {
    if (!isQProj(name)) continue;
    const parts = deltas.flatMap(({ tensors }) => tensors[name] ?? []);
    const [tensor, share] = await oneOf(shape as [number, number], parts, rankMax);
    found.push([name, tensor, share]);
  }
  const rank = Math.max(1, ...found.map(([, tensor]) => rankOf(tensor)));
  return {
    rank,
    layers: new Map(found.map(([name, tensor]) => [name, padded(tensor, rank)])),
    energyShare: Math.min(...found.map(([, , share]) => share)),
  };
}

/** Factors of a sum, and the share of its energy that they keep. */
async function oneOf(
  shape: readonly [number, number],
  parts: readonly DeltaTensor[],
  rankMax: number,
): Promise<[LowRankDelta, number]> {
  const low = parts.filter(isLowRank);
  const rank = low.reduce((total, one) => total + rankOf(one), 0);
  if (low.length === parts.length && rank <= Math.min(rankMax, ...shape)) {
    return [sideBySide(shape, low, rank), 1];
  }
  const sum = new Float64Array(sizeOf(shape));
  for (const part of parts) await addDelta(sum, part);
  if (rankMax >= Math.min(...shape)) return [besideIdentity(shape, sum), 1];
  const vectors = await singularVectors({ shape, data: sum }, rankMax);
  const energy = (values: Iterable<number>): number => {
    let total = 0;
    for (const value of values) total += value * value;
    return total;
  };
  const share = energy(vectors.values) / (energy(sum) || 1);
  return [factorsOf(vectors, rankMax), share];
}

function sideBySide(
  shape: readonly [number, number],
  parts: readonly LowRankDelta[],
  rank: number,
): LowRankDelta {
  const loraA = new Float32Array(rank * shape[1]);
  const loraB = new Float32Array(shape[0] * rank);
  let at = 0;
  for (const part of parts) {
    loraA.set(part.loraA, at * shape[1]);
    const own = rankOf(part);
    for (let row = 0; row < shape[0]; row++) {
      loraB.set(part.loraB.subarray(row * own, (row + 1) * own), row * rank + at);
    }
    at += own;
  }
  return { shape, loraA, loraB };
}

/** I·Δ or Δ·I, whichever is thinner. */
function besideIdentity(shape: readonly [number, number], sum: Float64Array): LowRankDelta {
  const [out, width] = shape;
  const rank = Math.min(out, width);
  const identity = Float32Array.from({ length: rank * rank }, (_, i) =>
    Number(i % (rank + 1) === 0),
  );
  const data = Float32Array.from(sum);
  return out <= width
    ? { shape, loraA: data, loraB: identity }
    : { shape, loraA: identity, loraB: data };
}

const padded = (tensor: LowRankDelta, rank: number): LowRankDelta =>
  rankOf(tensor) === rank ? tensor : sideBySide(tensor.shape, [tensor], rank);

/** The projection, as its adapter's file names it, is not the only one that moves. */
export function refuseOthers(path: string, others: readonly string[]): void {
  if (others.length === 0) return;
  const shown = others.slice(0, SHOWN_MAX).join(', ');
  const more = others.length > SHOWN_MAX ? ` and ${others.length - SHOWN_MAX} more` : '';
  const message = `${path} does not move W_q alone, but ${shown}${more}. Attune takes adapters of the query projections only.`;
  throw new AttuneError('model-unsupported', message, { path, others: others.length });
}

const SHOWN_MAX = 6;
