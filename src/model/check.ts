// Reads every byte of a model's weights and says whether they are what they are taken for.
import { createHash } from 'node:crypto';
import { hashTensors } from './checkpoint/base-hash.ts';
import { damaged } from './checkpoint/refusal.ts';
import { readPieces, widen } from './checkpoint/safetensors.ts';
import { firstNonFinite } from './delta.ts';
import type { Model, Weight } from './model.ts';

export interface ModelCheck {
  readonly tensors: number;
  /** As stored in the checkpoint. */
  readonly bytes: number;
  /** Whether the f32 values are a widened copy in the cache. */
  readonly isWidened: boolean;
}

/**
 * Holds the bytes against the base hash, the widened copy against the original, and every value
 * against infinity and NaN.
 * @throws model-damaged naming the first weight that fails
 */
export async function checkModel(model: Model): Promise<ModelCheck> {
  const weights = [...model.weights.values()];
  for (const weight of weights) await checkWeight(weight);
  const stored = weights.map((weight) => weight.stored);
  const baseHash = await hashTensors(stored);
  if (baseHash !== model.baseHash) {
    const reason = `the bytes hash to ${baseHash}, on record is ${model.baseHash}`;
    throw damaged(model.dir, 'weights', reason);
  }
  return {
    tensors: weights.length,
    bytes: stored.reduce((total, { length }) => total + length, 0),
    isWidened: weights.some(({ place, stored: { path } }) => place.path !== path),
  };
}

async function checkWeight({ name, shape, place, stored }: Weight): Promise<void> {
  const original = createHash('sha256');
  for await (const piece of readPieces(stored)) {
    const values = widen(stored, piece);
    const at = firstNonFinite(values);
    if (at >= 0) throw damaged(stored.path, stored.name, `it has the value ${values[at]}`);
    original.update(values);
  }
  if (place.path === stored.path) return;
  const copy = createHash('sha256');
  for await (const piece of readPieces({ name, shape, dtype: 'F32', ...place })) copy.update(piece);
  if (copy.digest('hex') === original.digest('hex')) return;
  throw damaged(place.path, name, 'the widened copy differs; delete this file, it is made again');
}
