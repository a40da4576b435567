// Takes what came from a deleted conversation out of the nights' texts; hashes stay. It knows which
// files may change and keeps a record of it, never what the texts say.
import { join } from 'node:path';
import { z } from 'zod';
import {
  readFileBounded,
  readJsonBounded,
  readTextBounded,
  writeFileAtomic,
  writeJsonAtomic,
} from '../base/atomic-file.ts';
import type { Folder } from '../base/file-ops.ts';
import { sha256 } from '../base/hash.ts';
import { isDamage } from '../base/set-aside.ts';
import type { Ledger } from './ledger.ts';
import { type NightId, nightIdSchema } from './manifest.ts';

export const DELETED = 'deleted.json';

/** What was taken out of a night: when, and the hash of each file after it (null = removed). */
export const deletionSchema = z.strictObject({
  at: z.iso.datetime(),
  files: z.record(z.string(), z.string().nullable()),
  /** Something of it had trained: the weights have learnt it. Absent in earlier records. */
  hasTrained: z.boolean().optional(),
});

/** Texts of a night by file name; null: the file goes. */
export type NightTexts = ReadonlyMap<string, string>;
export type TextsLeft = ReadonlyMap<string, string | null>;

/** A night's texts without something. */
export interface Left {
  /** Those that change, in the order of writing. */
  readonly texts: TextsLeft;
  /** What was taken out had trained. */
  readonly hasTrained: boolean;
  /** Ids of the scenarios and flags that were taken out. */
  readonly ids: ReadonlySet<string>;
}

export interface Deletion {
  readonly at: string;
  readonly left: (texts: NightTexts) => Left;
}

/**
 * Takes what came from `sourceId` (the id of a conversation or of a flag) out of every committed
 * night, whether it trained, measured or was only read, and discards nights under way that name it.
 * Names the committed ones. The weights stay as they are: what a night learnt, it has learnt;
 * `revert` takes it out. Begun again after a crash, it ends as if there had been none.
 */
export async function deleteSource(
  ledger: Ledger,
  sourceId: string,
  { at, left }: Deletion,
): Promise<string[]> {
  for (const night of await ledger.unfinished()) {
    if (await isNamedIn(ledger.buildingOf(night), sourceId)) await ledger.discard(night);
  }
  const nights: string[] = [];
  // After those under way: one that is committed meanwhile is among these. Folders, not manifests:
  // a night whose manifest cannot be read has texts all the same.
  for (const { name, folder } of await ledger.folders()) {
    if (!(await isNamedIn(folder, sourceId))) continue;
    nights.push(name);
    const rest = left(await textsIn(folder, ledger.files.withWords));
    // Before the texts, which alone say whose the changed dreams are.
    await deleteFromReview(ledger, name, ({ id }) => rest.ids.has(id));
    await rewrite(folder, at, rest);
  }
  await deleteFromReviews(ledger, ({ cluster }) => cluster === sourceId);
  return nights;
}

/** True when a text of the folder names the source. */
export async function isNamedIn({ path, ops }: Folder, sourceId: string): Promise<boolean> {
  if ((await ops.stat(path)) === undefined) return false;
  for (const { name, isFile } of await ops.list(path)) {
    if (!isFile || !/\.jsonl?$/.test(name)) continue;
    const bytesMax = Number.POSITIVE_INFINITY;
    const bytes = await readFileBounded(join(path, name), { bytesMax, ops });
    if (Buffer.from(bytes ?? []).includes(`"${sourceId}"`)) return true;
  }
  return false;
}

/** A file that is too large or is not text is there as one that nobody can read. */
async function textsIn(
  { path, ops }: Folder,
  names: readonly string[],
): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const name of names) {
    const text = await readTextBounded(join(path, name), { ops }).catch((error: unknown) => {
      if (!isDamage(error)) throw error;
      return UNREADABLE;
    });
    if (text !== undefined) texts.set(name, text);
  }
  return texts;
}

/** Neither JSON nor lines of it. */
const UNREADABLE = '\0';

async function rewrite({ path, ops }: Folder, at: string, left: Left): Promise<void> {
  // Where the record of earlier deletions is damaged, `verify` names the texts that they changed.
  const earlier = await readJsonBounded(join(path, DELETED), deletionSchema, { ops }).catch(
    (error: unknown) => {
      if (!isDamage(error)) throw error;
    },
  );
  const files: Record<string, string | null> = { ...earlier?.files };
  const hasTrained = left.hasTrained || earlier?.hasTrained;
  for (const [name, text] of left.texts) {
    files[name] = text === null ? null : sha256(text);
    // The record first: a crash between the two leaves a finding, never an unexplained text.
    const record = { at, files, ...(hasTrained === undefined ? {} : { hasTrained }) };
    await writeJsonAtomic(join(path, DELETED), record, ops);
    const file = join(path, name);
    if (text === null || (await ops.stat(file))?.isFolder === true) await ops.removeTree(file);
    if (text !== null) await writeFileAtomic(file, text, ops);
  }
  await ops.syncFolder(path);
}

/**
 * Whether a committed night has learnt from what was taken out of its texts since: its weights bear
 * something that the person took back.
 */
export async function hasLearntWithheld({ path, ops }: Folder): Promise<boolean> {
  const record = await readJsonBounded(join(path, DELETED), deletionSchema, { ops }).catch(
    () => undefined,
  );
  return record?.hasTrained ?? record?.files['scenarios.jsonl'] !== undefined;
}

// What a person changed of a night's dreams: single ones dropped, replies reworded. It lies beside
// the sealed nights, and counts when the night is trained again.

const changeSchema = z.strictObject({
  /** Scenario that is changed, and the conversation it came from. */
  id: z.string().min(1),
  cluster: z.string(),
  at: z.iso.datetime(),
  isDropped: z.boolean(),
  /** The person's own words for `chosen`; null: as it was. */
  chosen: z.string().min(1).nullable(),
});
/** One dream as the person wants it. */
export type ReviewChange = z.infer<typeof changeSchema>;

const reviewSchema = z.strictObject({ schema: z.literal(1), changes: z.array(changeSchema) });

const folderOf = ({ folder }: Ledger): string => join(folder.path, 'reviews');
const pathOf = (ledger: Ledger, night: NightId): string =>
  join(folderOf(ledger), `${nightIdSchema.parse(night)}.json`);

/** The changes to a night's dreams so far, one a dream. */
export async function readReview(ledger: Ledger, night: NightId): Promise<ReviewChange[]> {
  const { ops } = ledger.folder;
  return (await readJsonBounded(pathOf(ledger, night), reviewSchema, { ops }))?.changes ?? [];
}

/** Keeps the changes; what changes nothing any more is left out. */
export async function writeReview(
  ledger: Ledger,
  night: NightId,
  changes: readonly ReviewChange[],
): Promise<void> {
  const { ops } = ledger.folder;
  await ops.makeFolder(folderOf(ledger));
  const kept = changes.filter(({ isDropped, chosen }) => isDropped || chosen !== null);
  await writeJsonAtomic(pathOf(ledger, night), { schema: 1, changes: kept }, ops);
}

/** Takes changes to dreams out of the reviews of all nights. */
export async function deleteFromReviews(
  ledger: Ledger,
  isOwn: (change: ReviewChange) => boolean,
): Promise<void> {
  const { ops } = ledger.folder;
  if ((await ops.stat(folderOf(ledger))) === undefined) return;
  for (const { name } of await ops.list(folderOf(ledger))) {
    await deleteFromReview(ledger, name.replace(/\.json$/, ''), isOwn);
  }
}

/** Of one night; nothing where it has none. */
async function deleteFromReview(
  ledger: Ledger,
  night: string,
  isOwn: (change: ReviewChange) => boolean,
): Promise<void> {
  if (!nightIdSchema.safeParse(night).success) return;
  const { ops } = ledger.folder;
  if ((await ops.stat(pathOf(ledger, night))) === undefined) return;
  const changes = await readReview(ledger, night).catch((error: unknown) => {
    if (!isDamage(error)) throw error;
    // Nobody can tell whose words are in it.
    return [];
  });
  const kept = changes.filter((change) => !isOwn(change));
  if (kept.length === 0) await ops.removeTree(pathOf(ledger, night));
  else if (kept.length < changes.length) await writeReview(ledger, night, kept);
}
