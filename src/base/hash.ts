// SHA-256 of bytes, files and values; equal values hash equally whatever the order of their keys.
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

/** Lower-case hex, 64 characters. Strings are hashed as UTF-8. */
export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Reads in pieces of 1 MiB, so a file of any size costs no memory. Follows symlinks. */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256');
  const file = await open(path, 'r');
  try {
    const piece = Buffer.allocUnsafe(1 << 20);
    for (;;) {
      const { bytesRead } = await file.read(piece, 0, piece.length, null);
      if (bytesRead === 0) return hash.digest('hex');
      hash.update(piece.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

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
