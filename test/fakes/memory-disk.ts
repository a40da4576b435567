// A disk in memory, on which a whole store can live; it records writes and fsyncs, and shows what
// each crash would have left.
import { posix } from 'node:path';
import type { FileOps, FileStat, FolderEntry, OpenFile } from '../../src/base/file-ops.ts';

export type Step =
  | { readonly kind: 'write'; readonly file: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate'; readonly file: number; readonly size: number }
  | { readonly kind: 'sync'; readonly file: number }
  | { readonly kind: 'link'; readonly path: string; readonly file: number }
  | { readonly kind: 'unlink'; readonly path: string }
  /** A folder's rename, with all that is in it. */
  | { readonly kind: 'move'; readonly from: string; readonly to: string }
  | { readonly kind: 'sync-folder'; readonly path: string }
  /** A note of the test: "from here on this was promised". */
  | { readonly kind: 'promise'; readonly what: string };

interface Inode {
  bytes: Buffer;
}

/** Names below a folder as its rename leaves them. */
function move(names: Map<string, number>, from: string, to: string): void {
  for (const [path, file] of [...names]) {
    if (!path.startsWith(`${from}/`)) continue;
    names.delete(path);
    names.set(to + path.slice(from.length), file);
  }
}

const below = (folder: string): string => (folder === '/' ? folder : `${folder}/`);

function missing(path: string): Error {
  return Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' });
}

export class MemoryDisk implements FileOps {
  readonly steps: Step[] = [];
  readonly names = new Map<string, number>();
  readonly folders = new Set<string>();
  readonly inodes: Inode[] = [];
  /** Called before each step that changes the disk; may throw. */
  beforeStep: (step: Step) => void = () => undefined;

  constructor(content: Readonly<Record<string, string | Uint8Array>> = {}) {
    for (const [path, bytes] of Object.entries(content)) {
      this.names.set(path, this.inodes.push({ bytes: Buffer.from(bytes) }) - 1);
    }
  }

  record(step: Step): void {
    this.beforeStep(step);
    this.steps.push(step);
  }

  text(path: string): string | undefined {
    const file = this.names.get(path);
    return file === undefined ? undefined : this.inodes[file]?.bytes.toString('utf8');
  }

  async open(path: string, mode: 'read' | 'append' | 'create'): Promise<OpenFile> {
    let file = this.names.get(path);
    if (file !== undefined && mode === 'create') {
      throw Object.assign(new Error(`EEXIST: ${path}`), { code: 'EEXIST' });
    }
    if (file === undefined) {
      if (mode === 'read') throw missing(path);
      file = this.inodes.push({ bytes: Buffer.alloc(0) }) - 1;
      this.record({ kind: 'link', path, file });
      this.names.set(path, file);
    }
    return this.#handle(file);
  }

  #handle(file: number): OpenFile {
    const inode = this.inodes[file] as Inode;
    return {
      write: async (bytes) => {
        this.record({ kind: 'write', file, bytes: Buffer.from(bytes) });
        inode.bytes = Buffer.concat([inode.bytes, bytes]);
      },
      sync: async () => this.record({ kind: 'sync', file }),
      truncate: async (size) => {
        this.record({ kind: 'truncate', file, size });
        inode.bytes = inode.bytes.subarray(0, size);
      },
      size: async () => inode.bytes.length,
      read: async (position, length) => inode.bytes.subarray(position, position + length),
      close: async () => undefined,
    };
  }

  async rename(from: string, to: string): Promise<void> {
    const file = this.names.get(from);
    if (file === undefined) return this.#move(from, to);
    this.record({ kind: 'link', path: to, file });
    this.record({ kind: 'unlink', path: from });
    this.names.delete(from);
    this.names.set(to, file);
  }

  #move(from: string, to: string): void {
    const moved = this.#below(from);
    if (moved.length === 0) throw missing(from);
    this.record({ kind: 'move', from, to });
    move(this.names, from, to);
    for (const path of moved.filter((one) => this.folders.delete(one))) {
      this.folders.add(to + path.slice(from.length));
    }
  }

  /** Files and folders below a path, and what is there itself. */
  #below(path: string): string[] {
    const all = [...this.names.keys(), ...this.folders];
    return all.filter((one) => one === path || one.startsWith(below(path)));
  }

  async remove(path: string): Promise<void> {
    if (!this.names.has(path)) return;
    this.record({ kind: 'unlink', path });
    this.names.delete(path);
  }

  async removeTree(path: string): Promise<void> {
    for (const one of this.#below(path)) {
      await this.remove(one);
      this.folders.delete(one);
    }
  }

  async makeFolder(path: string): Promise<void> {
    for (let one = path; one !== posix.dirname(one); one = posix.dirname(one)) {
      this.folders.add(one);
    }
  }

  async list(path: string): Promise<FolderEntry[]> {
    const inside = this.#below(path).filter((one) => one !== path);
    if (inside.length === 0 && !this.folders.has(path)) throw missing(path);
    const names = new Set(
      inside.map((one) => one.slice(below(path).length).split('/')[0] as string),
    );
    return [...names].sort().map((name) => {
      const isFile = this.names.has(posix.join(path, name));
      return { name, isFile, isFolder: !isFile };
    });
  }

  async stat(path: string): Promise<FileStat | undefined> {
    const file = this.names.get(path);
    if (file === undefined && this.#below(path).length === 0) return undefined;
    const isFile = file !== undefined;
    const bytes = this.inodes[file ?? -1]?.bytes.length ?? 0;
    return { isFile, isFolder: !isFile, bytes, createdAt: 0, modifiedAt: 0 };
  }

  async touch(path: string): Promise<void> {
    if (!this.names.has(path)) throw missing(path);
  }

  async realPath(path: string): Promise<string> {
    if (this.#below(path).length === 0) throw missing(path);
    return path;
  }

  async syncFolder(path: string): Promise<void> {
    this.record({ kind: 'sync-folder', path });
  }
}

export interface Survival {
  /** How much of what was not fsynced reached the disk all the same, 0 … 1, per file. */
  readonly unsyncedShare: number;
  /** Whether names that no folder fsync covered are there. */
  readonly areUnsyncedNamesKept: boolean;
}

/** The disk as a machine finds it that lost power after `count` steps. */
export function afterCrash(
  steps: readonly Step[],
  count: number,
  { unsyncedShare, areUnsyncedNamesKept }: Survival,
): { disk: MemoryDisk; promises: string[] } {
  const now = new Map<number, Buffer>();
  const safe = new Map<number, Buffer>();
  const names = new Map<string, number>();
  let safeNames = new Map<string, number>();
  const promises: string[] = [];
  for (const step of steps.slice(0, count)) {
    if (step.kind === 'write') {
      now.set(step.file, Buffer.concat([now.get(step.file) ?? Buffer.alloc(0), step.bytes]));
    } else if (step.kind === 'truncate') {
      now.set(step.file, (now.get(step.file) ?? Buffer.alloc(0)).subarray(0, step.size));
    } else if (step.kind === 'sync') {
      safe.set(step.file, now.get(step.file) ?? Buffer.alloc(0));
    } else if (step.kind === 'link') names.set(step.path, step.file);
    else if (step.kind === 'unlink') names.delete(step.path);
    else if (step.kind === 'move') move(names, step.from, step.to);
    else if (step.kind === 'sync-folder') safeNames = new Map(names);
    else promises.push(step.what);
  }
  const content: Record<string, Uint8Array> = {};
  for (const [path, file] of areUnsyncedNamesKept ? names : safeNames) {
    const synced = safe.get(file) ?? Buffer.alloc(0);
    const last = now.get(file) ?? Buffer.alloc(0);
    const extra = Math.floor(Math.max(0, last.length - synced.length) * unsyncedShare);
    const grew = last.subarray(0, synced.length).equals(synced);
    content[path] = grew ? last.subarray(0, synced.length + extra) : synced;
  }
  return { disk: new MemoryDisk(content), promises };
}

export const SURVIVALS: readonly Survival[] = [0, 0.3, 0.7, 1].flatMap((unsyncedShare) =>
  [true, false].map((areUnsyncedNamesKept) => ({ unsyncedShare, areUnsyncedNamesKept })),
);
