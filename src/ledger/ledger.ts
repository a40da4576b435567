// The ledger: a folder a night, a hash chain through their manifests, and which deltas are in
// force. It knows files and hashes, never what the numbers in them mean.
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import {
  makeFolder,
  readJsonBounded,
  sweepTemporary,
  writeJsonAtomic,
} from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import { systemFileOps } from '../base/file-ops.ts';
import { sha256File } from '../base/hash.ts';
import {
  type Manifest,
  manifestHash,
  manifestSchema,
  type NightId,
  nightIdSchema,
} from './manifest.ts';

/** What became of a night's delta. */
const STATUSES = ['refused', 'empty', 'waiting', 'in-force', 'rejected', 'reverted'] as const;
export type NightStatus = (typeof STATUSES)[number];

const headSchema = z.strictObject({
  schema: z.literal(1),
  base: z.string(),
  /** Nights whose deltas make the current version, in order. */
  inForce: z.array(nightIdSchema),
  /** Decisions taken after the commit; a night without one has the status of its manifest. */
  nights: z.record(
    nightIdSchema,
    z.strictObject({ status: z.enum(STATUSES), at: z.iso.datetime(), why: z.string() }),
  ),
  /** The first nights in force whose deltas were added up into one file, and its sha256. */
  squashed: z
    .strictObject({ nights: z.array(nightIdSchema), file: z.string(), hash: z.string() })
    .nullable()
    .default(null),
});
export type Head = z.infer<typeof headSchema>;

export const MANIFEST = 'manifest.json';
export const JOURNAL = 'journal.jsonl';
/**
 * Texts that may change when a person deletes the talk they came from; see `verify`. A deletion
 * goes through them in this order: what only others say the source of comes before those.
 */
export const DELETABLE = [
  'probe.json',
  'replies.json',
  'training.json',
  'measures.json',
  'steps.jsonl',
  'summary.md',
  'summary.json',
  'dreams.jsonl',
  'easy.jsonl',
  'own.jsonl',
  'gists.json',
  'everyday.jsonl',
  'scenarios.jsonl',
  'flagged.json',
] as const;

export interface DeltaFile {
  /** Absolute. */
  readonly path: string;
  readonly sha256: string;
  readonly nights: readonly NightId[];
}

export interface Ledger {
  readonly folder: string;
  readonly base: string;
  head(): Head;
  /** Committed nights, oldest first. */
  list(): Promise<Manifest[]>;
  /** @throws night-unknown */
  read(id: NightId): Promise<Manifest>;
  /** Folder of a committed night. */
  folderOf(id: NightId): string;
  /** Folder of a night under way, there or not. */
  buildingOf(id: NightId): string;
  /** Folder of a night under way; made when it is not there. */
  building(id: NightId): Promise<string>;
  /** Ids of nights that were begun and not committed. */
  unfinished(): Promise<NightId[]>;
  discard(id: NightId): Promise<void>;
  /** Number of the next night and the parent it will name. */
  next(): Promise<{ number: number; parent: Manifest['parent'] }>;
  /**
   * Hashes the building folder, writes the manifest, reads all of it back and renames the folder:
   * the night is there whole or not at all.
   * @throws ledger-damaged when what was read back is not what was written
   */
  commit(draft: Omit<Manifest, 'files' | 'schema'>): Promise<Manifest>;
  /** What became of a committed night. */
  statusOf(manifest: Manifest): NightStatus;
  /** Moves the pointer: which deltas are in force, and what became of a night. */
  setHead(change: Partial<Omit<Head, 'schema' | 'base'>>): Promise<Head>;
  /**
   * The files that hold the deltas of these nights, in order, with the sha256 they must have.
   * @throws night-squashed when a squashed night would be left out or come in another order
   */
  deltaFiles(ids: readonly NightId[]): Promise<DeltaFile[]>;
}

/**
 * Opens (or begins) the ledger of one base model under `folder`.
 * @throws ledger-foreign when the ledger there belongs to another base model
 */
export async function openLedger(folder: string, base: string): Promise<Ledger> {
  const nights = join(folder, 'nights');
  const buildings = join(folder, 'building');
  await makeFolder(nights);
  await makeFolder(buildings);
  const headPath = join(folder, 'head.json');
  let head = (await readJsonBounded(headPath, headSchema)) ?? begin(base);
  if (head.base !== base) throw foreign(folder, head.base, base);

  const folderOf = (id: NightId): string => join(nights, nightIdSchema.parse(id));
  const buildingOf = (id: NightId): string => join(buildings, nightIdSchema.parse(id));

  async function read(id: NightId): Promise<Manifest> {
    const manifest = nightIdSchema.safeParse(id).success
      ? await readJsonBounded(join(folderOf(id), MANIFEST), manifestSchema)
      : undefined;
    if (manifest === undefined) {
      throw new AttuneError('night-unknown', `There is no night "${id}" in the ledger.`, { id });
    }
    return manifest;
  }

  async function list(): Promise<Manifest[]> {
    const all = await Promise.all((await nightFolders(nights)).map(read));
    return all.sort((a, b) => a.number - b.number);
  }

  async function setHead(change: Partial<Omit<Head, 'schema' | 'base'>>): Promise<Head> {
    const next: Head = { ...head, ...change, nights: { ...head.nights, ...change.nights } };
    await writeJsonAtomic(headPath, headSchema.parse(next));
    head = next;
    return head;
  }

  return {
    folder,
    base,
    head: () => head,
    list,
    read,
    folderOf,
    buildingOf,
    async building(id) {
      await mkdir(buildingOf(id), { recursive: true, mode: 0o700 });
      return buildingOf(id);
    },
    unfinished: () => nightFolders(buildings),
    discard: (id) => rm(buildingOf(id), { recursive: true, force: true }),
    async next() {
      const last = (await list()).at(-1);
      const parent = last === undefined ? null : { night: last.night, hash: manifestHash(last) };
      return { number: (last?.number ?? 0) + 1, parent };
    },
    async commit(draft) {
      const manifest = await seal(buildingOf(draft.night), draft);
      await rename(buildingOf(draft.night), folderOf(draft.night));
      await systemFileOps.syncFolder(nights);
      await systemFileOps.syncFolder(buildings);
      return manifest;
    },
    statusOf: (manifest) => head.nights[manifest.night]?.status ?? statusAtCommit(manifest),
    setHead,
    async deltaFiles(ids) {
      const { squashed } = head;
      const rest = squashed === null ? [...ids] : withoutSquashed(ids, squashed.nights);
      const manifests = await Promise.all(rest.map(read));
      const own = manifests.flatMap(({ night, delta, files }): DeltaFile[] => {
        if (delta === null) return [];
        const path = join(folderOf(night), delta.file);
        return [{ path, sha256: files[delta.file] ?? '', nights: [night] }];
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
    'they can only be in force together, before all others.';
  throw new AttuneError('night-squashed', message, { nights: squashed.join(' ') });
}

function statusAtCommit(manifest: Manifest): NightStatus {
  if (manifest.delta === null) return 'empty';
  return manifest.gate?.passed === true ? 'waiting' : 'refused';
}

function begin(base: string): Head {
  return { schema: 1, base, inForce: [], nights: {}, squashed: null };
}

async function nightFolders(folder: string): Promise<NightId[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory() && nightIdSchema.safeParse(entry.name).success)
    .map((entry) => entry.name)
    .sort();
}

/** sha256 of each file of a night but manifest and journal, by name. */
export async function hashNight(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isFile() && entry.name !== MANIFEST && entry.name !== JOURNAL)
    .map((entry) => entry.name)
    .sort();
  const files: Record<string, string> = {};
  for (const name of names) files[name] = await sha256File(join(folder, name));
  return files;
}

async function seal(folder: string, draft: Omit<Manifest, 'files' | 'schema'>): Promise<Manifest> {
  // Words in it would stay for good: no deletion knows its name.
  await sweepTemporary(folder);
  const files = await hashNight(folder);
  for (const name of Object.keys(files)) {
    const file = await systemFileOps.open(join(folder, name), 'read');
    await file.sync();
    await file.close();
  }
  const manifest = manifestSchema.parse({ schema: 1, ...draft, files });
  await writeJsonAtomic(join(folder, MANIFEST), manifest);
  const written = await readJsonBounded(join(folder, MANIFEST), manifestSchema);
  const again = await hashNight(folder);
  const isSame =
    written !== undefined &&
    manifestHash(written) === manifestHash(manifest) &&
    Object.keys(files).every((name) => files[name] === again[name]);
  if (!isSame) {
    throw new AttuneError('ledger-damaged', `${folder}: what was read back differs.`, { folder });
  }
  return manifest;
}

function foreign(folder: string, theirs: string, ours: string): AttuneError {
  return new AttuneError(
    'ledger-foreign',
    `${folder} belongs to the base model ${theirs.slice(0, 12)}, and ${ours.slice(0, 12)} is loaded. ` +
      'A ledger belongs to one base model: use another store, or load that model.',
    { folder, ledgerBase: theirs, modelBase: ours },
  );
}
