// Takes what came from a deleted talk out of the nights' texts; hashes stay behind. It knows which
// files may change and keeps a record of it, never what the texts say.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import {
  readJsonBounded,
  readTextBounded,
  writeFileAtomic,
  writeJsonAtomic,
} from '../base/atomic-file.ts';
import { systemFileOps } from '../base/file-ops.ts';
import { sha256 } from '../base/hash.ts';
import { DELETABLE, type Ledger } from './ledger.ts';
import type { NightId } from './manifest.ts';
import { deleteFromReviews } from './review.ts';

export const DELETED = 'deleted.json';

/** What was taken out of a night: when, and the hash of each file after it (null = removed). */
export const deletionSchema = z.strictObject({
  at: z.iso.datetime(),
  files: z.record(z.string(), z.string().nullable()),
});

/** Texts of a night by file name; null: the file goes. */
export type NightTexts = ReadonlyMap<string, string>;
export type TextsLeft = ReadonlyMap<string, string | null>;

export interface Deletion {
  readonly at: string;
  /** What is left of the texts that hold something of the source, in the order of writing. */
  readonly left: (texts: NightTexts) => TextsLeft;
}

/**
 * Takes what came from `sourceId` (a talk's id) out of every committed night, whether it trained,
 * measured or was only read, and discards nights under way that name it. Names the committed ones.
 * The weights stay as they are: what a night learnt, it has learnt; `revert` takes it out. Begun
 * anew after a crash, it ends as if there had been none.
 */
export async function deleteSource(
  ledger: Ledger,
  sourceId: string,
  { at, left }: Deletion,
): Promise<NightId[]> {
  for (const night of await ledger.unfinished()) {
    if (await isNamedIn(ledger.buildingOf(night), sourceId)) await ledger.discard(night);
  }
  const nights: NightId[] = [];
  for (const { night } of await ledger.list()) {
    const folder = ledger.folderOf(night);
    if (!(await isNamedIn(folder, sourceId))) continue;
    nights.push(night);
    await rewrite(folder, at, left(await textsIn(folder)));
  }
  await deleteFromReviews(ledger, sourceId);
  return nights;
}

/** True when a text of the folder names the source. */
export async function isNamedIn(folder: string, sourceId: string): Promise<boolean> {
  const names = (await readdir(folder)).filter((name) => /\.jsonl?$/.test(name));
  for (const name of names) {
    if ((await readFile(join(folder, name))).includes(`"${sourceId}"`)) return true;
  }
  return false;
}

async function textsIn(folder: string): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const name of DELETABLE) {
    const text = await readTextBounded(join(folder, name));
    if (text !== undefined) texts.set(name, text);
  }
  return texts;
}

async function rewrite(folder: string, at: string, left: TextsLeft): Promise<void> {
  const earlier = await readJsonBounded(join(folder, DELETED), deletionSchema);
  const files: Record<string, string | null> = { ...earlier?.files };
  for (const [name, text] of left) {
    files[name] = text === null ? null : sha256(text);
    // The record first: a crash between the two leaves a finding, never an unexplained text.
    await writeJsonAtomic(join(folder, DELETED), { at, files });
    if (text !== null) await writeFileAtomic(join(folder, name), text);
    else await systemFileOps.remove(join(folder, name));
  }
  await systemFileOps.syncFolder(folder);
}
