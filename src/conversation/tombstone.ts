// Ids of conversations that were deleted, so that a client which has not heard of it brings none of
// them back. They say when, and nothing of what was said.
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import type { FileOps } from '../base/file-ops.ts';
import { type JsonStore, openJsonStore } from '../base/json-store.ts';
import { Id, Timestamp } from '../protocol/conversation.ts';

const TombstoneFile = z.strictObject({
  deleted: z.array(z.strictObject({ id: Id, at: Timestamp })),
});
type TombstoneFile = z.infer<typeof TombstoneFile>;

/** The oldest leave first. */
const TOMBSTONES_MAX = 10_000;
const AGE_MAX_MS = 400 * 86_400_000;

export interface Tombstones {
  has(id: string): boolean;
  /** @throws disk-full, store-failed */
  add(id: string): Promise<void>;
  /** The id is in use again. */
  clear(id: string): Promise<void>;
}

/** @throws store-damaged, store-newer */
export async function openTombstones(
  path: string,
  { clock, ops }: { readonly clock: Clock; readonly ops: FileOps },
): Promise<Tombstones> {
  const store: JsonStore<TombstoneFile> = await openJsonStore({
    path,
    schemaVersion: 1,
    schema: TombstoneFile,
    initial: { deleted: [] },
    ops,
  });
  const ids = new Set(store.data.deleted.map(({ id }) => id));
  return {
    has: (id) => ids.has(id),
    async add(id) {
      // Known at once, also where the disk is too full to keep it.
      ids.add(id);
      const at = clock.now();
      await store.update((file) => {
        const others = file.deleted.filter((one) => one.id !== id && one.at > at - AGE_MAX_MS);
        file.deleted = [...others, { id, at }].slice(-TOMBSTONES_MAX);
      });
    },
    async clear(id) {
      if (!ids.delete(id)) return;
      await store.update((file) => {
        file.deleted = file.deleted.filter((one) => one.id !== id);
      });
    },
  };
}
