// A file that cannot be read is set aside, whole, so that it costs itself and nothing else.
import { basename, dirname, join } from 'node:path';
import { isAttuneError } from './errors.ts';
import type { FileOps } from './file-ops.ts';
import { DAMAGED_SUFFIX } from './line-recovery.ts';

/** True when the file itself is the trouble; trying again, or another disk, would not help. */
export function isDamage(error: unknown): boolean {
  // A folder, or a link that leads to itself, in the place of the file.
  const inPlace = ['EISDIR', 'ELOOP'];
  if (isAttuneError(error, 'store-failed')) return inPlace.includes(`${error.facts.systemCode}`);
  return isAttuneError(error, 'store-damaged') || isAttuneError(error, 'file-too-large');
}

/** Renames the file to `<path>.damaged`, or to `<path>.damaged.2` where there is one already. */
export async function setAside(path: string, ops: FileOps): Promise<void> {
  const known = await listAside(path, ops);
  const number = known.length === 0 ? '' : `.${known.length + 1}`;
  await ops.rename(path, path + DAMAGED_SUFFIX + number);
  await ops.syncFolder(dirname(path));
}

/** Names of what was set aside of a file and is still there. */
export async function listAside(path: string, ops: FileOps): Promise<string[]> {
  const prefix = basename(path) + DAMAGED_SUFFIX;
  const there = (await ops.stat(dirname(path))) !== undefined;
  const names = there ? (await ops.list(dirname(path))).map(({ name }) => name) : [];
  return names.filter((name) => name === prefix || name.startsWith(`${prefix}.`));
}

/** Removes what was set aside of a file. */
export async function removeAside(path: string, ops: FileOps): Promise<void> {
  for (const name of await listAside(path, ops)) await ops.removeTree(join(dirname(path), name));
}
