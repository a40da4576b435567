// SHA-256 of bytes, files and values; equal values hash equally whatever the order of their keys.
import { createHash } from 'node:crypto';
import { type FileOps, systemFileOps } from './file-ops.ts';

/** Lower-case hex, 64 characters. Strings are hashed as UTF-8. */
export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Reads in pieces of 1 MiB, so a file of any size costs no memory. Follows symlinks. */
export async function sha256File(path: string, ops: FileOps = systemFileOps): Promise<string> {
  const hash = createHash('sha256');
  const file = await ops.open(path, 'read');
  try {
    for (let position = 0; ; position += PIECE_BYTES) {
      const piece = await file.read(position, PIECE_BYTES);
      hash.update(piece);
      if (piece.length < PIECE_BYTES) return hash.digest('hex');
    }
  } finally {
    await file.close();
  }
}

const PIECE_BYTES = 1 << 20;

/**
 * JSON with sorted keys and no white space; absent and undefined members are the same.
 * @throws TypeError on what JSON cannot hold (NaN, infinities, functions, bigint, cycles)
 */
export function canonicalJson(value: unknown): string {
  return write(value, new Set());
}

export function sha256Json(value: unknown): string {
  return sha256(canonicalJson(value));
}

function write(value: unknown, open: Set<object>): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') {
    return JSON.stringify(value);
  }
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(`hash: JSON cannot hold ${value}`);
    return JSON.stringify(value);
  }
  if (typeof value !== 'object') throw new TypeError(`hash: JSON cannot hold a ${typeof value}`);
  if (open.has(value)) throw new TypeError('hash: JSON cannot hold a cycle');
  open.add(value);
  const text = Array.isArray(value)
    ? `[${value.map((item) => write(item ?? null, open)).join(',')}]`
    : `{${Object.entries(value)
        .filter(([, member]) => member !== undefined)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, member]) => `${JSON.stringify(key)}:${write(member, open)}`)
        .join(',')}}`;
  open.delete(value);
  return text;
}
