// Weights versions: the base plus the ordered active deltas, summed into the tensors to feed.
import { yieldToEventLoop } from '../base/clock.ts';
import { AttuneError } from '../base/errors.ts';
import type { FileOps } from '../base/file-ops.ts';
import { sha256Json } from '../base/hash.ts';
import type { HostTensor } from '../runtime/executor.ts';
import { f32 } from '../runtime/host-tensor.ts';
import {
  addDelta,
  type Delta,
  type DeltaTensor,
  firstNonFinite,
  isLowRank,
  type LowRankDelta,
  readDelta,
  sizeOf,
} from './delta.ts';
import { type Model, readWeight } from './model.ts';
import { isQProj } from './weight-names.ts';

/** Immutable; a KV cache belongs to exactly one. */
export interface WeightsVersion {
  readonly id: string;
  readonly baseHash: string;
  /** In the order of the sum. */
  readonly deltas: readonly { readonly path: string; readonly hash: string }[];
  /** Base + deltas of every trainable weight, by our names: feed them as they are. */
  readonly weights: Readonly<Record<string, HostTensor>>;
}

export interface LoadVersionOptions {
  /** The id to carry; the one of `versionId` when absent. */
  readonly id?: string;
  /** Which weights are fed, as in the graph; the query projections by default. */
  readonly trainable?: (name: string) => boolean;
  /** The disk of the deltas. */
  readonly ops?: FileOps | undefined;
}

const ID_HEX_DIGITS = 12;

/** `base-…` or `v-…` with 12 hex digits; equal for equal sums in equal order. */
export function versionId(baseHash: string, deltaHashes: readonly string[]): string {
  if (deltaHashes.length === 0) return `base-${baseHash.slice(0, ID_HEX_DIGITS)}`;
  return `v-${sha256Json({ baseHash, deltaHashes }).slice(0, ID_HEX_DIGITS)}`;
}

/**
 * Reads the base weights and adds the deltas in order: `W = round_f32(W_base + Σ Δ)`, summed in
 * f64, so that leaving one out or merging several rounds only once. The caller owns the weights.
 * @throws version-mismatch when a delta was made for another base; delta-damaged when it is
 *   broken, has a weight that this model does not train, another shape or a value that is not
 *   finite; model-not-found when its file is not there
 */
export async function loadVersion(
  model: Model,
  deltaPaths: readonly string[],
  { id, trainable = isQProj, ops }: LoadVersionOptions = {},
): Promise<WeightsVersion> {
  const sums = new Map<string, Float64Array>();
  const deltas: { path: string; hash: string }[] = [];
  for (const path of deltaPaths) {
    const delta = await readOwnDelta(model, path, { trainable, ops });
    for (const [name, tensor] of Object.entries(delta.tensors)) {
      const sum = sums.get(name) ?? new Float64Array(sizeOf(tensor.shape));
      await addDelta(sum, tensor);
      sums.set(name, sum);
    }
    deltas.push({ path, hash: delta.hash });
  }
  const weights: Record<string, HostTensor> = {};
  for (const [name, weight] of model.weights) {
    if (!trainable(name)) continue;
    const data = await readWeight(weight);
    const sum = sums.get(name);
    if (sum !== undefined) addSum(data, sum, name);
    // Replies are decoded in the same process: they go on between two weights.
    await yieldToEventLoop();
    weights[name] = f32(weight.shape, data);
  }
  const hashes = deltas.map(({ hash }) => hash);
  const { baseHash } = model;
  return { id: id ?? versionId(baseHash, hashes), baseHash, deltas, weights };
}

/**
 * The same version for a quantised model: of each trained weight the factors of the sum of all
 * deltas, `<name>.loraA` (rank, in) and `<name>.loraB` (out, rank); rank 0 where nothing moved. A
 * dense delta Δ becomes 1·Δ. @throws as `loadVersion`
 */
export async function loadFactors(
  model: Model,
  deltaPaths: readonly string[],
): Promise<Readonly<Record<string, HostTensor>>> {
  const deltas: Delta[] = [];
  for (const path of deltaPaths) deltas.push(await readOwnDelta(model, path));
  const factors: Record<string, HostTensor> = {};
  for (const { name, shape } of model.weights.values()) {
    if (!isQProj(name)) continue;
    const [out, inner] = shape as [number, number];
    const parts = deltas.flatMap(({ tensors }) => tensors[name] ?? []).map(factorsOf);
    const rank = parts.reduce((total, { loraA }) => total + loraA.length / inner, 0);
    const loraA = new Float32Array(rank * inner);
    const loraB = new Float32Array(out * rank);
    let from = 0;
    for (const part of parts) {
      const own = part.loraA.length / inner;
      loraA.set(part.loraA, from * inner);
      for (let row = 0; row < out; row++) {
        loraB.set(part.loraB.subarray(row * own, (row + 1) * own), row * rank + from);
      }
      from += own;
      await yieldToEventLoop();
    }
    factors[`${name}.loraA`] = f32([rank, inner], loraA);
    factors[`${name}.loraB`] = f32([out, rank], loraB);
  }
  return factors;
}

function factorsOf(delta: DeltaTensor): Pick<LowRankDelta, 'loraA' | 'loraB'> {
  if (isLowRank(delta)) return delta;
  const [out = 0] = delta.shape;
  const one = new Float32Array(out * out);
  for (let row = 0; row < out; row++) one[row * (out + 1)] = 1;
  return { loraA: Float32Array.from(delta.data), loraB: one };
}

/** A delta that fits the model. @throws as `loadVersion` */
export async function readOwnDelta(
  model: Model,
  path: string,
  { trainable = isQProj, ops }: Pick<LoadVersionOptions, 'trainable' | 'ops'> = {},
): Promise<Delta> {
  const delta = await readDelta(path, ops);
  refuseForeign(delta, model, trainable);
  return delta;
}

function refuseForeign(delta: Delta, model: Model, trainable: (name: string) => boolean): void {
  const { path, baseHash, tensors } = delta;
  if (baseHash !== model.baseHash) {
    const [theirs, ours] = [baseHash, model.baseHash].map((hash) => versionId(hash, []));
    const message = `${path} was made for ${theirs}; the model ${model.id} is ${ours}.`;
    throw new AttuneError('version-mismatch', message, { path, baseHash, model: model.id });
  }
  for (const [name, { shape }] of Object.entries(tensors)) {
    const wanted = trainable(name) ? model.weights.get(name)?.shape : undefined;
    if (wanted?.join() === shape.join()) continue;
    const ours = wanted === undefined ? 'no such trained weight' : `(${wanted.join(', ')})`;
    const message = `${path}: ${name} has the shape (${shape.join(', ')}); the model has ${ours}.`;
    throw new AttuneError('delta-damaged', message, { path, tensor: name });
  }
}

function addSum(data: Float32Array, sum: Float64Array, name: string): void {
  for (let i = 0; i < data.length; i++) data[i] = (data[i] as number) + (sum[i] as number);
  if (firstNonFinite(data) < 0) return;
  const message = `${name}: base and deltas add up to a value that is not finite.`;
  throw new AttuneError('delta-damaged', message, { tensor: name });
}
