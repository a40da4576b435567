// Deletions that have begun: the log was renamed, and something of the conversation may be left.
import type { Clock } from '../base/clock.ts';
import { AttuneError, reasonOf } from '../base/errors.ts';
import type { FileOps, Folder } from '../base/file-ops.ts';
import { DAMAGED_SUFFIX } from '../base/line-recovery.ts';
import type { Logger } from '../base/logger.ts';
import type { PendingDeletion } from '../protocol/conversation.ts';
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
