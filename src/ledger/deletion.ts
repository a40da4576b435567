// Takes the texts of a deleted talk out of the nights that learnt from it; hashes stay behind.
import { join } from 'node:path';
import { z } from 'zod';
import {
  readJsonBounded,
  readTextBounded,
  writeFileAtomic,
  writeJsonAtomic,
} from '../base/atomic-file.ts';
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

/**
 * Empties the text files of every night that learnt from `sourceId` (a conversation's or flag's
 * id) of that source's lines. Names the nights. The weights stay as they are: what a night
 * learnt, it has learnt; `revert` takes it out.
 * @param isFrom says whether one line of a text file (parsed JSON) came from the source
 */
export async function deleteSource(
  ledger: Ledger,
  sourceId: string,
  { at, isFrom }: { at: string; isFrom: (line: unknown) => boolean },
): Promise<NightId[]> {
  const source = sha256(sourceId);
  const nights: NightId[] = [];
  for (const manifest of await ledger.list()) {
    if (!manifest.data.some((datum) => datum.source === source)) continue;
    nights.push(manifest.night);
    await emptyNight(ledger.folderOf(manifest.night), at, isFrom);
  }
  await deleteFromReviews(ledger, sourceId);
  return nights;
}

async function emptyNight(
  folder: string,
  at: string,
  isFrom: (line: unknown) => boolean,
): Promise<void> {
  const earlier = await readJsonBounded(join(folder, DELETED), deletionSchema);
  const files: Record<string, string | null> = { ...earlier?.files };
  for (const name of DELETABLE) {
    const text = await readTextBounded(join(folder, name));
    if (text === undefined) continue;
    const kept = name.endsWith('.jsonl') ? withoutLines(text, isFrom) : '';
    files[name] = sha256(kept);
    // The record first: a crash between the two leaves a finding, never an unexplained text.
    await writeJsonAtomic(join(folder, DELETED), { at, files });
    await writeFileAtomic(join(folder, name), kept);
  }
}

function withoutLines(text: string, isFrom: (line: unknown) => boolean): string {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '' && !isFrom(JSON.parse(line)))
    .map((line) => `${line}\n`)
    .join('');
}
