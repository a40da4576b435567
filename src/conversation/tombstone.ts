// Which conversations were deleted, so that a client which has not heard of it brings none of them
// back. By the hash of their ids: a client may have named them after what was said.
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import type { FileOps } from '../base/file-ops.ts';
import { sha256 } from '../base/hash.ts';
import { type JsonStore, openJsonStore } from '../base/json-store.ts';
import { Timestamp } from '../protocol/conversation.ts';

const TombstoneFile = z.strictObject({
  deleted: z.array(z.strictObject({ idHash: z.string(), at: Timestamp })),
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

/** @throws store-newer */
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
  const known = new Set(store.data.deleted.map(({ idHash }) => idHash));
  return {
    has: (id) => known.has(sha256(id)),
    async add(id) {
      // Known at once, also where the disk is too full to keep it.
      const idHash = sha256(id);
      known.add(idHash);
      const at = clock.now();
      await store.update((file) => {
        const others = file.deleted.filter(
          (one) => one.idHash !== idHash && one.at > at - AGE_MAX_MS,
        );
        file.deleted = [...others, { idHash, at }].slice(-TOMBSTONES_MAX);
      });
    },
    async clear(id) {
      const idHash = sha256(id);
      if (!known.delete(idHash)) return;
      await store.update((file) => {
        file.deleted = file.deleted.filter((one) => one.idHash !== idHash);
      });
    },
  };
}
