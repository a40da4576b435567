// Deletions that have begun, of which something may be left, and what tells that one was made.
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { AttuneError, reasonOf } from '../base/errors.ts';
import type { FileOps, Folder } from '../base/file-ops.ts';
import { sha256 } from '../base/hash.ts';
import { type JsonStore, openJsonStore } from '../base/json-store.ts';
import { DAMAGED_SUFFIX } from '../base/line-recovery.ts';
import type { Logger } from '../base/logger.ts';
import { type PendingDeletion, Timestamp } from '../protocol/conversation.ts';
import { DELETED_SUFFIX, logPath } from './catalogue.ts';

/**
 * Deletes what was made from a conversation (flags, gist, dreams). Called again where it failed or
 * was cut short.
 */
export type Forget = (conversationId: string) => Promise<void>;

export interface PendingDeletionsOptions {
  readonly folder: Folder;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly forget: Forget;
  /** Takes its title out of the list on the disk. */
  readonly forgetTitle: () => Promise<void>;
}

export class PendingDeletions {
  readonly #options: PendingDeletionsOptions;
  readonly #pending = new Map<string, PendingDeletion>();

  constructor(options: PendingDeletionsOptions) {
    this.#options = options;
  }

  /** Oldest first. */
  get all(): PendingDeletion[] {
    return [...this.#pending.values()];
  }

  has(id: string): boolean {
    return this.#pending.has(id);
  }

  add(id: string, reason: string): PendingDeletion {
    const since = this.#pending.get(id)?.since ?? this.#options.clock.now();
    const pending = { conversationId: id, since, reason };
    this.#pending.set(id, pending);
    return pending;
  }

  /** @returns the deletion if something of it is still to be done */
  async finish(id: string): Promise<PendingDeletion | undefined> {
    if (!this.#pending.has(id)) return undefined;
    const { folder, forget, forgetTitle, logger } = this.#options;
    const path = logPath(folder.path, id);
    const { ops } = folder;
    try {
      await ops.syncFolder(folder.path);
      await ops.removeTree(path + DAMAGED_SUFFIX);
      // What is rewritten below needs the room on a full disk.
      await empty(path + DELETED_SUFFIX, ops);
      await forget(id);
      await forgetTitle();
      await ops.removeTree(path + DELETED_SUFFIX);
      await ops.syncFolder(folder.path);
    } catch (error) {
      logger.error({ conversationId: id, error }, 'a deletion is pending');
      return this.add(id, reasonOf(error));
    }
    this.#pending.delete(id);
    return undefined;
  }

  /** What is made under the id must not be deleted with it. @throws deletion-pending */
  async assertDone(id: string): Promise<void> {
    const pending = await this.finish(id);
    if (pending === undefined) return;
    const message = `Conversation ${id} is still being deleted (${pending.reason}). Try later.`;
    throw new AttuneError('deletion-pending', message, { conversationId: id });
  }
}

async function empty(path: string, ops: FileOps): Promise<void> {
  if ((await ops.stat(path))?.isFile !== true) return;
  const file = await ops.open(path, 'append');
  try {
    await file.truncate(0);
  } finally {
    await file.close();
  }
}

// Which conversations were deleted, so that a client which has not heard of it brings none of them
// back. By the hash of their ids: a client may have named them after what was said.

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
