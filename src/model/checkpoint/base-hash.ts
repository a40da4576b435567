// Names a set of tensors by a hash of what they are, however they are spread over files.
import { createHash } from 'node:crypto';
import type { FileOps } from '../../base/file-ops.ts';
import { sha256Json } from '../../base/hash.ts';
import { readPieces, type StoredTensor } from './safetensors.ts';

/**
 * `sha256` over name, type, shape and `sha256(bytes)` of each tensor, ordered by name; 64 hex
 * digits. Reads every byte.
 */
export async function hashTensors(tensors: readonly StoredTensor[]): Promise<string> {
  const identities: unknown[] = [];
  for (const tensor of tensors.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const { name, dtype, shape, pairedHeads } = tensor;
    const order = pairedHeads === undefined ? [] : [pairedHeads];
    identities.push([name, dtype, shape, await hashTensor(tensor), ...order]);
  }
  return sha256Json({ schema: 'attune-tensors-1', tensors: identities });
}

/** `sha256` of the stored bytes; 64 hex digits. */
export async function hashTensor(tensor: StoredTensor, ops?: FileOps): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of readPieces(tensor, ops)) hash.update(piece);
  return hash.digest('hex');
}
