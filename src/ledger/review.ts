// What a person changed of a night's dreams: single ones dropped, replies reworded. It lies beside
// the sealed nights, and counts when the night is trained again.
import { join } from 'node:path';
import { z } from 'zod';
import { readJsonBounded, writeJsonAtomic } from '../base/atomic-file.ts';
import { isDamage } from '../base/set-aside.ts';
import type { Ledger } from './ledger.ts';
import { type NightId, nightIdSchema } from './manifest.ts';

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
export async function deleteFromReview(
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
