// Adds the oldest active deltas up into one file when they take too much room; losslessly.
import { basename, join } from 'node:path';
import { AttuneError } from '../base/errors.ts';
import type { FileOps } from '../base/file-ops.ts';
import { sha256File } from '../base/hash.ts';
import { addDelta, type DeltaTensor, readDelta, sizeOf, writeDelta } from '../model/delta.ts';
import type { DeltaFile, Ledger } from './ledger.ts';
import type { NightId } from './manifest.ts';

/**
 * Squashes all active nights but the last when their deltas take more than `bytesMax`. The sum is
 * kept in f64 and added up in the order in which versions are, so every version that can still be
 * made is bit for bit what it was. A squashed night can no longer be left out alone.
 * @returns the nights that are in the sum now; empty when there was room, or nothing to add up
 */
export async function squash(ledger: Ledger, bytesMax: number): Promise<readonly NightId[]> {
  const { ops } = ledger.folder;
  const files = await ledger.deltaFiles(ledger.head().inForce);
  const found = await Promise.all(files.map(({ path }) => ops.stat(path)));
  const bytes = found.map((stat) => stat?.bytes ?? 0);
  const total = (list: readonly number[]): number => list.reduce((sum, one) => sum + one, 0);
  const old = files.slice(0, -1);
  const [first, second] = old;
  if (total(bytes) <= bytesMax || first === undefined || second === undefined) return [];
  // Factors of many nights take less room than their sum.
  const { tensors } = await readDelta(first.path, ops);
  const summed = total(Object.values(tensors).map(({ shape }) => 8 * sizeOf(shape)));
  if (total(bytes.slice(0, -1)) <= summed) return [];
  const nights = old.flatMap((one) => one.nights);
  const file = `squashed-${nights.length}-${nights.at(-1)}.safetensors`;
  const path = join(ledger.folder.path, file);
  await writeSum(path, old, ops);
  await ledger.setHead({ squashed: { nights, file, hash: await sha256File(path, ops) } });
  // The pointer names the sum: only now may its parts go.
  for (const one of old) {
    if (basename(one.path) !== file) await ops.remove(one.path);
  }
  return nights;
}

async function writeSum(path: string, files: readonly DeltaFile[], ops: FileOps): Promise<void> {
  const tensors: Record<string, { shape: readonly number[]; data: Float64Array }> = {};
  let baseHash = '';
  for (const file of files) {
    const delta = await readDelta(file.path, ops);
    baseHash = delta.baseHash;
    for (const [name, tensor] of Object.entries(delta.tensors)) {
      const { shape } = tensor;
      const sum = tensors[name]?.data ?? new Float64Array(sizeOf(shape));
      await addDelta(sum, tensor);
      tensors[name] = { shape, data: sum };
    }
  }
  await writeDelta(path, { baseHash, tensors }, ops);
  const back = await readDelta(path, ops);
  const isSame = Object.entries(tensors).every(([name, { data }]) =>
    equals(data, back.tensors[name]),
  );
  if (!isSame) {
    throw new AttuneError('ledger-damaged', `${path}: what was read back differs.`, { path });
  }
}

function equals(a: Float64Array, b: DeltaTensor | undefined): boolean {
  const data = b !== undefined && 'data' in b ? b.data : [];
  return data.length === a.length && a.every((value, i) => Object.is(value, data[i]));
}
