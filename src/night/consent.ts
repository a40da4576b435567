// Compares what a night holds with what the person allows now: before it trains, and before weights
// that learnt from it are used.
import type { Folder } from '../base/file-ops.ts';
import { hasLearntWithheld } from '../ledger/deletion.ts';
import { readFlagged, readGists, readScenarioFile } from '../record/files.ts';
import type { FlaggedMoment } from '../scenario/moment.ts';
import type { Store } from '../store/store.ts';

export type Allowed = Pick<Store, 'conversations' | 'flags'>;

/** Whether the flag still says what the night took from it. */
export function isStanding({ flagId, updatedAt }: FlaggedMoment, { flags }: Allowed): boolean {
  const flag = flags.list().find(({ id }) => id === flagId);
  if (flag === undefined || flag.withdrawnAt !== null) return false;
  return updatedAt === undefined || updatedAt === flag.updatedAt;
}

/** Whether a night's folder still holds something that the person has taken back since. */
export async function holdsTakenBack(folder: Folder, allowed: Allowed): Promise<boolean> {
  const { conversations } = allowed;
  const flagged = await readFlagged(folder).catch(() => []);
  const gists = await readGists(folder).catch(() => []);
  const files = ['scenarios', 'everyday', 'easy'] as const;
  const scenarios = await Promise.all(files.map((file) => readScenarioFile(folder, file)));
  const from = new Set([
    ...flagged.map(({ context }) => context.source.cluster),
    ...gists.map(({ gist }) => gist.conversationId),
    ...scenarios.flat().map(({ source }) => source.cluster),
  ]);
  const canLearn = (id: string): boolean =>
    conversations.has(id) && conversations.summary(id).canLearn;
  return !flagged.every((moment) => isStanding(moment, allowed)) || ![...from].every(canLearn);
}

/** Whether the weights of a committed night bear what was taken back. */
export async function hasLearntTakenBack(folder: Folder, allowed: Allowed): Promise<boolean> {
  return (await hasLearntWithheld(folder)) || (await holdsTakenBack(folder, allowed));
}
