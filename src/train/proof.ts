// The proof that only the query projections moved: every tensor of two model folders, bit by bit.
import { createHash } from 'node:crypto';
import { AttuneError } from '../base/errors.ts';
import { type Model, piecesOf, type Weight } from '../model/model.ts';
import { isQProj } from '../model/weight-names.ts';

export interface MoveProof {
  /** Tensors whose f32 bytes are the same in both. */
  readonly equal: readonly string[];
  /** Tensors whose bytes differ. */
  readonly moved: readonly string[];
  /** True when every moved tensor is a query projection. */
  readonly isOnlyQueryMoved: boolean;
}

/**
 * Compares the weights of two models of the same layout as f32, bytes for bytes.
 * @throws delta-damaged when one has a tensor that the other lacks, or of another shape
 */
export async function proveMove(before: Model, after: Model): Promise<MoveProof> {
  const names = new Set([...before.weights.keys(), ...after.weights.keys()]);
  const equal: string[] = [];
  const moved: string[] = [];
  for (const name of names) {
    const [a, b] = [before.weights.get(name), after.weights.get(name)];
    if (a === undefined || b === undefined || a.shape.join() !== b.shape.join()) {
      const message = `${name} is not in both models in one shape`;
      throw new AttuneError('delta-damaged', message, { name });
    }
    const isEqual = (await hashOf(a)) === (await hashOf(b));
    (isEqual ? equal : moved).push(name);
  }
  return { equal, moved, isOnlyQueryMoved: moved.every(isQProj) };
}

async function hashOf(weight: Weight): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of piecesOf(weight)) hash.update(piece);
  return hash.digest('hex');
}
