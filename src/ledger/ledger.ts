// The ledger: a folder a night, a hash chain through their manifests, and which deltas are
// active. It knows files and hashes, never what the numbers in them mean.
import { join } from 'node:path';
import { readJsonBounded, sweepTemporary, writeJsonAtomic } from '../base/atomic-file.ts';
import { AttuneError, isAttuneError, reasonOf } from '../base/errors.ts';
import { type FileOps, type Folder, systemFileOps } from '../base/file-ops.ts';
import { sha256File } from '../base/hash.ts';
import { DAMAGED_SUFFIX } from '../base/line-recovery.ts';
import { createQueue, type Queue } from '../base/queue.ts';
import { type Head, type HeadChange, type NightStatus, openHead } from './head.ts';
import {
  type Manifest,
  manifestHash,
  manifestSchema,
  type NightId,
  nightIdSchema,
  nightNumber,
} from './manifest.ts';

export const MANIFEST = 'manifest.json';
export const JOURNAL = 'journal.jsonl';
/** The files of a night's folder by name. One that is in neither list is refused at the commit. */
export interface NightFiles {
  /**
   * They hold words of a person, or name what does, and may change when the conversation that they
   * came from is deleted; see `verify`. A deletion goes through them in this order: files whose
   * source only others name come before those others.
   */
  readonly withWords: readonly string[];
  readonly withoutWords: readonly string[];
}

export interface DeltaFile {
  /** Absolute. */
  readonly path: string;
  readonly sha256: string;
  readonly nights: readonly NightId[];
}

export interface LedgerOptions {
  /** Identity of the base model. */
  readonly base: string;
  readonly files: NightFiles;
  readonly ops?: FileOps;
  /** Shared with whatever else must keep out of a decision's way; its own by default. */
  readonly queue?: Queue;
  /** Nothing is made, set aside or upgraded. */
  readonly isReadOnly?: boolean;
}

/** A night whose manifest cannot be read, and why. */
export interface DamagedNight {
  readonly night: NightId;
  readonly text: string;
}

export interface Scan {
  readonly manifests: readonly Manifest[];
  readonly damaged: readonly DamagedNight[];
}

export interface Ledger {
  readonly folder: Folder;
  readonly base: string;
  readonly files: NightFiles;
  /**
   * The turn of one writer. Whoever reads something of the ledger, decides and writes does all of
   * it inside one; nothing here takes a turn by itself.
   */
  readonly turn: Queue;
  head(): Head;
  /** What is wrong with the pointer, a sentence each. */
  readonly damage: readonly string[];
  /** False: nothing was ever decided here, or the pointer is gone. */
  isHeadWritten(): boolean;
  /** Committed nights that can be read, oldest first, and those that cannot. */
  scan(): Promise<Scan>;
  /** Committed nights that can be read, oldest first. */
  list(): Promise<readonly Manifest[]>;
  /** @throws night-unknown, store-damaged, ledger-damaged */
  read(id: NightId): Promise<Manifest>;
  /** Folder of a committed night. */
  folderOf(id: NightId): Folder;
  /** All that stand where nights do, by name, whatever is in them. */
  folders(): Promise<{ readonly name: string; readonly folder: Folder }[]>;
  /** Folder of a night under way, there or not. */
  buildingOf(id: NightId): Folder;
  /** Folder of a night under way; made when it is not there. */
  building(id: NightId): Promise<Folder>;
  /** Ids of nights that were begun and not committed. */
  unfinished(): Promise<NightId[]>;
  discard(id: NightId): Promise<void>;
  /** Number of the next night and the parent it will name. */
  next(): Promise<{ number: number; parent: Manifest['parent'] }>;
  /**
   * Hashes the building folder, writes the manifest, reads all of it back and renames the folder:
   * the night is there whole or not at all.
   * @throws night-file-unknown when a deletion would not know something in it, ledger-damaged when
   * what was read back is not what was written
   */
  commit(draft: Omit<Manifest, 'files' | 'schema'>): Promise<Manifest>;
  /** What became of a committed night. */
  statusOf(manifest: Manifest): NightStatus;
  /** Moves the pointer: which deltas are active, and what became of a night. */
  setHead(change: HeadChange): Promise<Head>;
  /** Notes the newest night, so that it cannot be changed or removed unseen. */
  seal(manifest: Manifest): Promise<void>;
  /**
   * The files that hold the deltas of these nights, in order, with the sha256 they must have.
   * @throws night-squashed when a squashed night would be left out or come in another order
   */
  deltaFiles(ids: readonly NightId[]): Promise<DeltaFile[]>;
}

/**
 * Opens (or begins) the ledger of one base model in `folder`. What cannot be read of it is set
 * aside or passed over, and named in `damage` and by `scan`.
 */
export async function openLedger(
  folder: string,
  { base, files, ops = systemFileOps, queue = createQueue(), isReadOnly = false }: LedgerOptions,
): Promise<Ledger> {
  const nights = { path: join(folder, 'nights'), ops };
  const buildings = { path: join(folder, 'building'), ops };
  if (!isReadOnly) {
    await ops.makeFolder(nights.path);
    await ops.makeFolder(buildings.path);
  }
  const head = await openHead({ path: folder, ops }, base, isReadOnly);

  const inFolder = ({ path }: Folder, id: NightId): Folder => {
    return { path: join(path, nightIdSchema.parse(id)), ops };
  };
  const folderOf = (id: NightId): Folder => inFolder(nights, id);
  const buildingOf = (id: NightId): Folder => inFolder(buildings, id);

  async function read(id: NightId): Promise<Manifest> {
    const manifest = nightIdSchema.safeParse(id).success
      ? await readJsonBounded(join(folderOf(id).path, MANIFEST), manifestSchema, { ops })
      : undefined;
    if (manifest === undefined) {
      throw new AttuneError('night-unknown', `There is no night "${id}" in the ledger.`, { id });
    }
    if (manifest.night === id) return manifest;
    const message = `${folderOf(id).path} holds the manifest of ${manifest.night}.`;
    throw new AttuneError('ledger-damaged', message, { id });
  }

  async function scan(): Promise<Scan> {
    const found = await Promise.all(
      (await nightFolders(nights)).map((night) =>
        read(night).catch(
          (error: unknown): DamagedNight => ({ night, text: whyUnreadable(error) }),
        ),
      ),
    );
    const manifests = found.filter((one) => 'number' in one);
    return {
      manifests: manifests.sort((a, b) => a.number - b.number),
      damaged: found.filter((one) => 'text' in one),
    };
  }

  return {
    folder: { path: folder, ops },
    base,
    files,
    turn: queue,
    head: () => head.value,
    damage: head.damage,
    isHeadWritten: () => head.isWritten,
    scan,
    list: async () => (await scan()).manifests,
    read,
    folderOf,
    async folders() {
      const all = (await ops.list(nights.path)).filter(({ isFolder }) => isFolder);
      return all.map(({ name }) => ({ name, folder: { path: join(nights.path, name), ops } }));
    },
    buildingOf,
    async building(id) {
      const made = buildingOf(id);
      await ops.makeFolder(made.path);
      return made;
    },
    unfinished: () => nightFolders(buildings),
    discard: (id) => ops.removeTree(buildingOf(id).path),
    async next() {
      const { manifests, damaged } = await scan();
      const newest = manifests.at(-1);
      const { last } = head.value;
      const sealed = last !== null && last.number > (newest?.number ?? 0) ? last : sealOf(newest);
      const parent = sealed === null ? null : { night: sealed.night, hash: sealed.hash };
      const taken = damaged.map(({ night }) => nightNumber(night));
      return { number: Math.max(sealed?.number ?? 0, ...taken) + 1, parent };
    },
    async commit(draft) {
      const built = buildingOf(draft.night);
      const manifest = await seal(built, files, draft);
      await ops.rename(built.path, folderOf(draft.night).path);
      await ops.syncFolder(nights.path);
      await ops.syncFolder(buildings.path);
      return manifest;
    },
    statusOf: ({ night, ...rest }) => head.value.nights[night]?.status ?? statusAtCommit(rest),
    setHead: head.change,
    async seal(manifest) {
      const isNewer = manifest.number > (head.value.last?.number ?? 0);
      if (isNewer) await head.change({ last: sealOf(manifest) });
    },
    async deltaFiles(ids) {
      const { squashed } = head.value;
      const rest = squashed === null ? [...ids] : withoutSquashed(ids, squashed.nights);
      const manifests = await Promise.all(rest.map(read));
      const own = manifests.flatMap(({ night, delta, files: hashes }): DeltaFile[] => {
        if (delta === null) return [];
        const path = join(folderOf(night).path, delta.file);
        return [{ path, sha256: hashes[delta.file] ?? '', nights: [night] }];
      });
      if (squashed === null || rest.length === ids.length) return own;
      const { file, hash, nights: summed } = squashed;
      return [{ path: join(folder, file), sha256: hash, nights: summed }, ...own];
    },
  };
}

/** The nights after the squashed ones; all of them when none of the squashed is asked for. */
function withoutSquashed(ids: readonly NightId[], squashed: readonly NightId[]): NightId[] {
  if (!ids.some((id) => squashed.includes(id))) return [...ids];
  if (squashed.every((id, at) => ids[at] === id)) return ids.slice(squashed.length);
  const message =
    `${squashed.join(', ')} were added up into one delta to save space; ` +
    'they can only be active together, before all others.';
  throw new AttuneError('night-squashed', message, { nights: squashed.join(' ') });
}

function statusAtCommit({ delta, gate }: Pick<Manifest, 'delta' | 'gate'>): NightStatus {
  if (delta === null) return 'empty';
  return gate?.passed === true || gate?.offered === true ? 'waiting' : 'refused';
}

function sealOf(manifest: Manifest | undefined): Head['last'] {
  if (manifest === undefined) return null;
  const { night, number } = manifest;
  return { night, number, hash: manifestHash(manifest) };
}

function whyUnreadable(error: unknown): string {
  if (isAttuneError(error, 'night-unknown')) return 'it has no manifest';
  return reasonOf(error);
}

async function nightFolders({ path, ops }: Folder): Promise<NightId[]> {
  if ((await ops.stat(path)) === undefined) return [];
  return (await ops.list(path))
    .filter(({ name, isFolder }) => isFolder && nightIdSchema.safeParse(name).success)
    .map(({ name }) => name);
}

/** sha256 of each file of a night but manifest and journal, by name. */
export async function hashNight({ path, ops }: Folder): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const { name, isFile } of await ops.list(path)) {
    const isSealed = isFile && name !== MANIFEST && name !== JOURNAL;
    if (isSealed) files[name] = await sha256File(join(path, name), ops);
  }
  return files;
}

async function seal(
  folder: Folder,
  known: NightFiles,
  draft: Omit<Manifest, 'files' | 'schema'>,
): Promise<Manifest> {
  const { path, ops } = folder;
  await sweepFragments(folder);
  await refuseUnknown(folder, known);
  const files = await hashNight(folder);
  for (const name of Object.keys(files)) {
    const file = await ops.open(join(path, name), 'append');
    await file.sync();
    await file.close();
  }
  const manifest = manifestSchema.parse({ schema: 1, ...draft, files });
  await writeJsonAtomic(join(path, MANIFEST), manifest, ops);
  const written = await readJsonBounded(join(path, MANIFEST), manifestSchema, { ops });
  const again = await hashNight(folder);
  const isSame =
    written !== undefined &&
    manifestHash(written) === manifestHash(manifest) &&
    Object.keys(files).every((name) => files[name] === again[name]);
  if (!isSame) {
    throw new AttuneError('ledger-damaged', `${path}: what was read back differs.`, { path });
  }
  return manifest;
}

/** Half-written files and torn lines: words in them would stay for good, in a form nobody searches. */
async function sweepFragments({ path, ops }: Folder): Promise<void> {
  await sweepTemporary(path, { ops });
  for (const { name } of await ops.list(path)) {
    if (name.endsWith(DAMAGED_SUFFIX)) await ops.remove(join(path, name));
  }
}

async function refuseUnknown({ path, ops }: Folder, files: NightFiles): Promise<void> {
  const known = [...files.withWords, ...files.withoutWords, MANIFEST, JOURNAL];
  const unknown = (await ops.list(path)).find(({ name }) => !known.includes(name));
  if (unknown === undefined) return;
  const { name } = unknown;
  const message =
    `${join(path, name)} is not in the table of a night's files: a deletion would not search it. ` +
    'Nothing was committed. Remove it; the next night then continues here.';
  throw new AttuneError('night-file-unknown', message, { path, file: name });
}
