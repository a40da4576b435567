// The logs that are open for writing: each conversation's file and state, at most so many at once.
import { type AppendFile, openAppendFile } from '../base/append-file.ts';
import { AttuneError } from '../base/errors.ts';
import type { FileOps } from '../base/file-ops.ts';
import type { Logger } from '../base/logger.ts';
import { hashEntries, logPath } from './catalogue.ts';
import { type LogRecord, parseRecord } from './record.ts';
import {
  applyLoss,
  applyRecord,
  type ConversationState,
  emptyState,
  type MutableState,
} from './state.ts';

export interface OpenLogsOptions {
  readonly folder: string;
  readonly logger: Logger;
  /** Files held open; those that nobody uses are closed first, oldest use first. */
  readonly openMax: number;
  readonly ops: FileOps;
}

interface OpenLog {
  readonly file: AppendFile;
  readonly state: MutableState;
  bytes: number;
  isHashed: boolean;
}

interface Slot {
  readonly log: Promise<OpenLog>;
  /** How many are at work on it. */
  users: number;
  /** Its file failed: it is closed when the last user leaves, and opened (and mended) again. */
  isSpoilt: boolean;
}

export interface Appended {
  readonly state: ConversationState;
  /** Size of the log with these records. */
  readonly bytes: number;
}

export class OpenLogs {
  readonly #options: OpenLogsOptions;
  readonly #slots = new Map<string, Slot>();
  readonly #closing = new Map<string, Promise<void>>();

  constructor(options: OpenLogsOptions) {
    this.#options = options;
  }

  /**
   * The state as it is on the disk.
   * @param isOnDisk the log was written and synced just now @throws store-failed
   */
  async read(id: string, isOnDisk = false): Promise<ConversationState> {
    return this.#use(id, async ({ state }) => state, isOnDisk);
  }

  /** Resolves once the records are on the disk and in the state. @throws disk-full, store-failed */
  async append(id: string, records: readonly LogRecord[]): Promise<Appended> {
    return this.#use(id, async (log, slot) => {
      try {
        if (!log.isHashed) await hashEntries(log.state.entries);
        log.isHashed = true;
        const offset = await log.file.append(...records);
        log.bytes = offset;
        for (const record of records) {
          log.bytes += Buffer.byteLength(JSON.stringify(record)) + 1;
          applyRecord(log.state, record);
        }
      } catch (error) {
        slot.isSpoilt = true;
        throw error;
      }
      return { state: log.state, bytes: log.bytes };
    });
  }

  /** Waits for what is being written, then lets go of the file. */
  async close(id: string): Promise<void> {
    const slot = this.#slots.get(id);
    if (slot !== undefined) this.#drop(id, slot);
    await this.#closing.get(id);
  }

  async closeAll(): Promise<void> {
    for (const [id, slot] of this.#slots) this.#drop(id, slot);
    await Promise.all(this.#closing.values());
  }

  async #use<T>(
    id: string,
    action: (log: OpenLog, slot: Slot) => Promise<T>,
    isOnDisk = false,
  ): Promise<T> {
    const slot = this.#slot(id, isOnDisk);
    slot.users++;
    try {
      return await action(await slot.log, slot);
    } finally {
      slot.users--;
      if (slot.isSpoilt && slot.users === 0 && this.#slots.get(id) === slot) this.#drop(id, slot);
      this.#trim();
    }
  }

  #slot(id: string, isOnDisk: boolean): Slot {
    const found = this.#slots.get(id);
    if (found !== undefined && !found.isSpoilt) {
      this.#slots.delete(id);
      this.#slots.set(id, found);
      return found;
    }
    if (found !== undefined) this.#drop(id, found);
    const slot: Slot = { log: this.#open(id, isOnDisk), users: 0, isSpoilt: false };
    this.#slots.set(id, slot);
    slot.log.catch(() => {
      if (this.#slots.get(id) === slot) this.#slots.delete(id);
    });
    return slot;
  }

  async #open(id: string, isOnDisk: boolean): Promise<OpenLog> {
    // Two writers of one file would be the end of it: the one before has to be gone.
    await this.#closing.get(id);
    const { folder, logger, ops } = this.#options;
    const state = emptyState(id);
    const file = await openAppendFile(logPath(folder, id), {
      ...{ ops, isOnDisk },
      isSound: (line) => parseRecord(line) !== undefined,
      onRecord: (line, offset) => {
        const record = parseRecord(line);
        if (offset === 0 && record?.type !== 'conversation') applyLoss(state);
        if (record !== undefined) applyRecord(state, record);
      },
      onDamaged: () => applyLoss(state),
    });
    if (file.report.damaged.length > 0) {
      logger.warn(
        { conversationId: id, damaged: file.report.damaged },
        'lines of this log were damaged; they were set aside and everything else was kept',
      );
    }
    return { file, state, bytes: file.report.bytes, isHashed: false };
  }

  #drop(id: string, slot: Slot): void {
    this.#slots.delete(id);
    const closing = slot.log
      .then(({ file }) => file.close())
      .catch((error: unknown) => {
        this.#options.logger.warn({ conversationId: id, error }, 'a log did not close cleanly');
      })
      .then(() => {
        if (this.#closing.get(id) === closing) this.#closing.delete(id);
      });
    this.#closing.set(id, closing);
  }

  #trim(): void {
    for (const [id, slot] of this.#slots) {
      if (this.#slots.size <= this.#options.openMax) return;
      if (slot.users === 0) this.#drop(id, slot);
    }
  }
}

/** @throws conversation-not-found */
export function assertFound<T>(value: T | undefined, id: string): T {
  if (value !== undefined) return value;
  throw notFound(id);
}

export function notFound(id: string): AttuneError {
  return new AttuneError(
    'conversation-not-found',
    `Conversation ${id} was not found; it may have been deleted.`,
    {
      conversationId: id,
    },
  );
}
