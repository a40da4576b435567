// File operations that are done and written down, and the disk as a power cut at any of them
// would leave it: what was not synced may be gone, or half there.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { type FileOps, type OpenFile, systemFileOps } from '../../src/base/file-ops.ts';

type Operation =
  | { readonly kind: 'create'; readonly path: string }
  | { readonly kind: 'write'; readonly path: string; readonly bytes: Buffer }
  | { readonly kind: 'sync'; readonly path: string }
  | { readonly kind: 'truncate'; readonly path: string; readonly size: number }
  | { readonly kind: 'rename'; readonly path: string; readonly to: string }
  | { readonly kind: 'remove'; readonly path: string }
  | { readonly kind: 'sync-folder'; readonly path: string };

/** Writes everything down in the order in which the system had done it. */
export class RecordedDisk implements FileOps {
  readonly operations: Operation[] = [];
  readonly #known = new Set<string>();
  // What no file of these tests hangs on is done and not written down.
  readonly removeTree = systemFileOps.removeTree;
  readonly makeFolder = systemFileOps.makeFolder;
  readonly list = systemFileOps.list;
  readonly stat = systemFileOps.stat;
  readonly touch = systemFileOps.touch;
  readonly realPath = systemFileOps.realPath;

  async open(path: string, mode: 'read' | 'append' | 'create'): Promise<OpenFile> {
    const file = await systemFileOps.open(path, mode);
    if (mode !== 'read' && !this.#known.has(path)) {
      this.#known.add(path);
      this.operations.push({ kind: 'create', path });
    }
    return {
      ...file,
      write: async (bytes) => {
        await file.write(bytes);
        this.operations.push({ kind: 'write', path, bytes: Buffer.from(bytes) });
      },
      sync: async () => {
        await file.sync();
        this.operations.push({ kind: 'sync', path });
      },
      truncate: async (size) => {
        await file.truncate(size);
        this.operations.push({ kind: 'truncate', path, size });
      },
    };
  }

  async rename(path: string, to: string): Promise<void> {
    await systemFileOps.rename(path, to);
    this.#known.delete(path);
    this.#known.add(to);
    this.operations.push({ kind: 'rename', path, to });
  }

  async remove(path: string): Promise<void> {
    await systemFileOps.remove(path);
    this.#known.delete(path);
    this.operations.push({ kind: 'remove', path });
  }

  async syncFolder(path: string): Promise<void> {
    await systemFileOps.syncFolder(path);
    this.operations.push({ kind: 'sync-folder', path });
  }
}

/** What of the unsynced a power cut leaves: nothing, half of the bytes, or all of it. */
export type Luck = 'none' | 'half' | 'all';

interface File {
  bytes: Buffer;
  synced: Buffer;
}

function applyToFile(file: File, operation: Operation): void {
  if (operation.kind === 'write') file.bytes = Buffer.concat([file.bytes, operation.bytes]);
  if (operation.kind === 'truncate') file.bytes = file.bytes.subarray(0, operation.size);
  if (operation.kind === 'sync') file.synced = file.bytes;
}

function survivor({ bytes, synced }: File, luck: Luck): Buffer {
  if (luck === 'all') return bytes;
  if (luck === 'none' || bytes.length <= synced.length) return synced;
  return bytes.subarray(0, synced.length + Math.floor((bytes.length - synced.length) / 2));
}

/** Files, by path, after a power cut behind the first `count` operations. */
export function afterPowerCut(
  operations: readonly Operation[],
  count: number,
  luck: Luck,
): Map<string, Buffer> {
  const files = new Map<string, File>();
  /** Entries as the folders on the disk have them: they follow only when the folder is synced. */
  const onDisk = new Map<string, File>();
  for (const operation of operations.slice(0, count)) {
    const { path } = operation;
    if (operation.kind === 'create')
      files.set(path, { bytes: Buffer.alloc(0), synced: Buffer.alloc(0) });
    const file = files.get(path);
    if (file !== undefined) applyToFile(file, operation);
    if (operation.kind === 'rename' && file !== undefined) files.set(operation.to, file);
    if (operation.kind === 'rename' || operation.kind === 'remove') files.delete(path);
    if (operation.kind !== 'sync-folder') continue;
    for (const name of [...onDisk.keys()]) if (dirname(name) === path) onDisk.delete(name);
    for (const [name, one] of files) if (dirname(name) === path) onDisk.set(name, one);
  }
  const entries = luck === 'all' ? files : onDisk;
  return new Map([...entries].map(([path, file]) => [path, survivor(file, luck)]));
}

/** Writes such a disk below another folder. */
export function materialise(files: ReadonlyMap<string, Buffer>, from: string, to: string): void {
  mkdirSync(join(to, 'conversations'), { recursive: true });
  for (const [path, bytes] of files) {
    const target = join(to, relative(from, path));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, bytes);
  }
}
