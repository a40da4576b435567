// All conversations of a store: the list in memory, the logs on disk, and what is done with them.
import { join } from 'node:path';
import { readFileBounded } from '../base/atomic-file.ts';
import type { Clock } from '../base/clock.ts';
import { AttuneError, reasonOf } from '../base/errors.ts';
import { type FileOps, type Folder, systemCode, systemFileOps } from '../base/file-ops.ts';
import type { Logger } from '../base/logger.ts';
import type { ConversationSummary, PendingDeletion } from '../protocol/conversation.ts';
import {
  afterCursor,
  type CatalogueEntry,
  ConversationIndex,
  cursorOf,
  DELETED_SUFFIX,
  entryOf,
  type FoundLogs,
  findLogs,
  logPath,
  readCatalogue,
  summaryIn,
  writeCatalogue,
} from './catalogue.ts';
import {
  type Alongside,
  type ImportedLog,
  type ImportPlan,
  logOf,
  missingLines,
  repliesIn,
} from './imported.ts';
import {
  exportLog,
  readLog,
  type SearchResult,
  searchLogs,
  stateIn,
  writeLog,
} from './log-file.ts';
import { assertFound, OpenLogs } from './open-logs.ts';
import {
  type Forget,
  openTombstones,
  PendingDeletions,
  type Tombstones,
} from './pending-deletions.ts';
import type { HeaderRecord, LogRecord } from './record.ts';
import type { ConversationState } from './state.ts';

export interface ConversationStoreOptions {
  /** The store; conversations lie in `conversations/` under it. */
  readonly folder: string;
  readonly logger: Logger;
  readonly openLogsMax: number;
  readonly conversationsMax: number;
  readonly conversationMessagesMax: number;
  readonly clock: Clock;
  readonly forget: Forget;
  readonly ops?: FileOps;
}

export interface Page {
  readonly conversations: readonly ConversationSummary[];
  readonly nextCursor: string | null;
  /** Deletions that have begun and are not finished, oldest first. */
  readonly deleting: readonly PendingDeletion[];
}

const READS_AT_ONCE = 16;

/** Opens a store; logs that changed since the list was last written are read again. */
export async function openConversationStore(
  options: ConversationStoreOptions,
): Promise<ConversationStore> {
  const { ops = systemFileOps } = options;
  const folder = { path: join(options.folder, 'conversations'), ops };
  await ops.makeFolder(folder.path);
  // A folder that is not on the disk takes everything in it along at a power cut.
  await ops.syncFolder(options.folder);
  const noted = await readCatalogue(cataloguePathIn(options.folder), ops);
  const { clock } = options;
  const tombstones = await openTombstones(join(options.folder, 'tombstones.json'), { clock, ops });
  const store = new ConversationStore(options, folder, tombstones);
  await store.load(noted, await findLogs(folder));
  return store;
}

interface FoundLog {
  readonly id: string;
  readonly bytes: number;
  /** Than it was when the list was last written. */
  readonly isShorter: boolean;
}

const cataloguePathIn = (folder: string): string => join(folder, 'catalogue.json');

function tooManyMessages(messages: number, conversationMessagesMax: number): AttuneError {
  const message = `This conversation is full (${messages} messages). Begin a new one.`;
  return new AttuneError('conversation-too-long', message, { messages, conversationMessagesMax });
}

/** A moment in the future means that the clock was ahead: it must not pin a conversation for good. */
function notAhead<T extends ConversationSummary>(entry: T, now: number): T {
  const { createdAt, updatedAt } = entry;
  return { ...entry, createdAt: Math.min(createdAt, now), updatedAt: Math.min(updatedAt, now) };
}

export class ConversationStore {
  readonly #options: ConversationStoreOptions;
  readonly #folder: Folder;
  readonly #cataloguePath: string;
  readonly #logs: OpenLogs;
  readonly #tombstones: Tombstones;
  readonly #index = new ConversationIndex();
  readonly #queues = new Map<string, Promise<unknown>>();
  readonly #pending: PendingDeletions;
  #isChanged = false;

  constructor(options: ConversationStoreOptions, folder: Folder, tombstones: Tombstones) {
    this.#options = options;
    this.#folder = folder;
    this.#cataloguePath = cataloguePathIn(options.folder);
    this.#tombstones = tombstones;
    const { logger, clock, forget, openLogsMax: openMax } = options;
    const forgetTitle = () => this.#forgetTitle();
    this.#pending = new PendingDeletions({ folder, logger, clock, forget, forgetTitle });
    this.#logs = new OpenLogs({ folder: folder.path, logger, openMax, ops: folder.ops });
  }

  /** Once, at opening. */
  async load(noted: ReadonlyMap<string, CatalogueEntry>, found: FoundLogs): Promise<void> {
    for (const id of found.others)
      this.damage.push(`The log of the conversation ${id} is no file.`);
    const changed: FoundLog[] = [];
    for (const log of found.logs) {
      const entry = noted.get(log.id);
      if (entry?.bytes === log.bytes) this.#index.set(notAhead(entry, this.#options.clock.now()));
      else changed.push({ ...log, isShorter: (entry?.bytes ?? 0) > log.bytes });
    }
    for (let from = 0; from < changed.length; from += READS_AT_ONCE) {
      await Promise.all(changed.slice(from, from + READS_AT_ONCE).map((log) => this.#rescan(log)));
    }
    this.#isChanged = changed.length > 0 || noted.size !== this.#index.size;
    for (const id of found.deleted) this.#pending.add(id, 'it was interrupted');
    this.#options.logger.info(
      { conversations: this.#index.size, readAgain: changed.length },
      'conversations opened',
    );
  }

  /** Logs that could not be read, a sentence each. */
  readonly damage: string[] = [];

  /** The log cannot be read. */
  noteDamage(id: string, error: unknown): void {
    const { logger } = this.#options;
    logger.error({ conversationId: id, error }, 'the log of this conversation cannot be read');
    const text = `The log of the conversation ${id} cannot be read: ${reasonOf(error)}`;
    if (!this.damage.includes(text)) this.damage.push(text);
  }

  get size(): number {
    return this.#index.size;
  }

  has(id: string): boolean {
    return this.#index.get(id) !== undefined;
  }

  /** Its deletion has begun and is not finished. */
  isDeleting(id: string): boolean {
    return this.#pending.has(id);
  }

  /** It was here once, and whoever says something in it has not heard of that. */
  isDeleted(id: string): boolean {
    return !this.has(id) && this.#tombstones.has(id);
  }

  /** @throws conversation-not-found */
  summary(id: string): ConversationSummary {
    return summaryIn(assertFound(this.#index.get(id), id));
  }

  /** Newest first. */
  list({ limit, cursor }: { limit: number; cursor?: string | undefined }): Page {
    const rest = afterCursor(this.#index.newestFirst(), cursor);
    const page = rest.slice(0, limit);
    const last = page.at(-1);
    return {
      conversations: page.map(summaryIn),
      nextCursor: rest.length > limit && last !== undefined ? cursorOf(last) : null,
      deleting: this.#pending.all,
    };
  }

  /** Those of which the person has not said whether nights may learn from them; newest first. */
  undecided(): ConversationSummary[] {
    return this.#index
      .newestFirst()
      .filter(({ isUndecided }) => isUndecided)
      .map(summaryIn);
  }

  ids(): string[] {
    return this.#index.all().map(({ id }) => id);
  }

  /** @throws conversation-not-found */
  async read(id: string): Promise<ConversationState> {
    assertFound(this.#index.get(id), id);
    return this.#logs.read(id);
  }

  /** A new conversation with its first records, on the disk. @throws as `import` */
  async create(header: HeaderRecord, first: readonly LogRecord[] = []): Promise<void> {
    const { id } = header;
    if (this.has(id)) {
      throw new AttuneError('conversation-exists', `Conversation ${id} exists already.`, { id });
    }
    await this.import(logOf([header, ...first]));
    // Opened meanwhile, so that the reply has only to be written.
    void this.#logs.read(id, true).catch(() => undefined);
  }

  /**
   * Adds a conversation as a whole: whatever happens, it is there with all of its messages or not
   * at all. One that is there gets the messages that it lacks, unless it went on here.
   * @returns the number of messages added
   * @throws conversations-limit, conversation-too-long, disk-full, store-failed
   */
  async import(log: ImportedLog, alongside: Alongside = (_, write) => write()): Promise<number> {
    const { bytes, entry, replies } = log;
    const { id } = entry;
    if (this.has(id)) return this.#complete(log, alongside);
    await this.#pending.assertDone(id);
    this.#assertRoom(entry);
    await alongside(this.#plan(id, replies, 1), async () => {
      await writeLog(this.#folder, id, bytes).catch(async (error: unknown) => {
        // What was refused must not appear at the next start.
        await this.#folder.ops.remove(logPath(this.#folder.path, id)).catch(() => undefined);
        throw error;
      });
    });
    this.#note(entry);
    await this.#tombstones.clear(id);
    return entry.messages;
  }

  async #complete(log: ImportedLog, alongside: Alongside): Promise<number> {
    const { id } = log.entry;
    const there = await this.#logs.read(id);
    const { entries, known } = there;
    const lines = missingLines(log, known);
    const own = new Set(log.messages.map((message) => message.id));
    if (lines.length === 0 || entries.some((entry) => !own.has(entry.id))) {
      await alongside(this.#plan(id, repliesIn(there), 0), async () => undefined);
      return 0;
    }
    const before = entries.length;
    await this.#logs.close(id);
    const path = logPath(this.#folder.path, id);
    const bytesMax = Number.POSITIVE_INFINITY;
    const written = await readFileBounded(path, { bytesMax, ops: this.#folder.ops });
    const bytes = Buffer.concat([written ?? new Uint8Array(), ...lines]);
    const plan = this.#plan(id, log.replies, bytes.length);
    await alongside(plan, () => writeLog(this.#folder, id, bytes));
    const state = await this.#logs.read(id);
    this.#note(entryOf(state, bytes.length));
    return state.entries.length - before;
  }

  #plan(id: string, replies: ImportPlan['replies'], logBytes: number): ImportPlan {
    const isWritten = async () => (await this.logBytesOf(id)) >= logBytes;
    return { replies, logBytes, isWritten };
  }

  #note(entry: CatalogueEntry): void {
    this.#index.set(notAhead(entry, this.#options.clock.now()));
    this.#isChanged = true;
  }

  #assertRoom({ messages }: CatalogueEntry): void {
    const { conversationsMax, conversationMessagesMax } = this.#options;
    if (messages > conversationMessagesMax)
      throw tooManyMessages(messages, conversationMessagesMax);
    if (this.#index.size >= conversationsMax) {
      const message =
        `The store holds ${conversationsMax} conversations already: delete some, or raise ` +
        'limits.conversationsMax.';
      throw new AttuneError('conversations-limit', message, { conversationsMax });
    }
  }

  /**
   * Resolves once the records are on the disk. To be called inside `exclusive`, which keeps it
   * apart from a deletion, and from others who decide by what is there (is this message new?).
   * @throws conversation-not-found, conversation-too-long, disk-full, store-failed
   */
  async append(id: string, ...records: LogRecord[]): Promise<ConversationState> {
    const entry = assertFound(this.#index.get(id), id);
    const { conversationMessagesMax } = this.#options;
    const isMessage = records.some((record) => record.type === 'message');
    // A reply still fits: nobody's answer is thrown away for a limit.
    if (isMessage && entry.messages >= conversationMessagesMax) {
      throw tooManyMessages(entry.messages, conversationMessagesMax);
    }
    return this.#append(id, records);
  }

  async #append(id: string, records: readonly LogRecord[]): Promise<ConversationState> {
    const { state, bytes } = await this.#logs.append(id, records);
    this.#note(entryOf(state, bytes));
    return state;
  }

  /** Runs actions on one conversation one after the other; other conversations go on meanwhile. */
  exclusive<T>(id: string, action: () => Promise<T>): Promise<T> {
    const before = this.#queues.get(id) ?? Promise.resolve();
    const result = before.then(action);
    const settled = result.catch(() => undefined);
    this.#queues.set(id, settled);
    void settled.then(() => {
      if (this.#queues.get(id) === settled) this.#queues.delete(id);
    });
    return result;
  }

  /** Tries all of them again; none keeps another from being tried. */
  async retryDeletions(): Promise<void> {
    for (const { conversationId: id } of this.#pending.all) {
      await this.exclusive(id, async () => void (await this.#pending.finish(id)));
    }
  }

  /**
   * Deletes the conversation and, through `forget`, what was made from it. The log is renamed
   * first: from then on the conversation is gone, and the deletion pending until all of it is done.
   * @returns the deletion if something of it is still to be done
   * @throws conversation-not-found, disk-full, store-failed; nothing was deleted then
   */
  delete(id: string): Promise<PendingDeletion | undefined> {
    return this.exclusive(id, async () => {
      if (!this.#pending.has(id)) await this.#beginDeletion(id);
      return this.#pending.finish(id);
    });
  }

  async #beginDeletion(id: string): Promise<void> {
    const entry = assertFound(this.#index.get(id), id);
    const { path: folder, ops } = this.#folder;
    const path = logPath(folder, id);
    // From here on nobody can open it.
    this.#index.delete(id);
    try {
      await this.#logs.close(id);
      await ops.rename(path, path + DELETED_SUFFIX).catch((error: unknown) => {
        // Somebody else removed it: the rest goes all the same.
        if (systemCode(error) !== 'ENOENT') throw error;
      });
    } catch (error) {
      this.#index.set(entry);
      throw error;
    }
    this.#pending.add(id, 'it has only begun');
    await this.#tombstones.add(id).catch((error: unknown) => {
      this.#options.logger.warn({ conversationId: id, error }, 'a deletion could not be noted');
    });
    // The list on disk holds its title.
    this.#isChanged = true;
  }

  /** The list is a cache: where it cannot be written again, it goes. */
  async #forgetTitle(): Promise<void> {
    await this.flush();
    if (this.#isChanged) await this.#folder.ops.remove(this.#cataloguePath);
  }

  search(options: { readonly query: string; readonly limit: number }): Promise<SearchResult> {
    return searchLogs(this.#folder, this.#index.newestFirst(), options);
  }

  /** The sound lines of the log, in pieces. @throws conversation-not-found */
  exportLog(id: string): AsyncGenerator<string> {
    assertFound(this.#index.get(id), id);
    return exportLog(this.#folder, id);
  }

  /** Size of its log, 0 when there is none, whether it can be read or not. */
  async logBytesOf(id: string): Promise<number> {
    const { path, ops } = this.#folder;
    return (await ops.stat(logPath(path, id)))?.bytes ?? 0;
  }

  /** The conversation in which exactly this was said, or asked and not yet followed. */
  findByFingerprint(key: 'asked' | 'said', fingerprint: string): string | undefined {
    return this.#index.find(key, fingerprint);
  }

  /** Which words are in which conversations. */
  get words(): Pick<ConversationIndex, 'sharing' | 'copiesOf'> {
    return this.#index;
  }

  /** Writes the list, if it changed. Losing it costs time at the next opening, nothing else. */
  async flush(): Promise<void> {
    if (!this.#isChanged) return;
    this.#isChanged = false;
    try {
      await writeCatalogue(this.#cataloguePath, this.#index.all(), this.#folder.ops);
    } catch (error) {
      this.#isChanged = true;
      this.#options.logger.warn({ error }, 'the list of conversations could not be written');
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#queues.values());
    await this.#logs.closeAll();
    await this.flush();
  }

  async #rescan({ id, bytes, isShorter }: FoundLog): Promise<void> {
    const { path: folder, ops } = this.#folder;
    let text: string;
    try {
      text = (await readLog(this.#folder, id)) ?? '';
    } catch (error) {
      return this.noteDamage(id, error);
    }
    const state = stateIn(id, text);
    const isEmpty = state.createdAt === 0 && state.entries.length === 0;
    // A torn end is cut off when it is opened.
    const torn = Buffer.byteLength(text.slice(text.lastIndexOf('\n') + 1));
    if (!isEmpty) this.#note(entryOf(state, bytes - torn));
    if (!isEmpty && isShorter && state.canLearn) await this.#askAgain(state);
    // Nothing whole was ever written, so nobody was ever told of this conversation.
    else if (bytes === 0) await ops.remove(logPath(folder, id));
  }

  /** What was cut off the log may have said that nights must not learn from it. */
  async #askAgain({ id, settings, updatedAt: at }: ConversationState): Promise<void> {
    const decision = { canLearn: false, isUndecided: true };
    const append = this.append(id, { type: 'settings', at, settings, ...decision });
    await append.catch((error: unknown) => {
      this.#index.set({ ...assertFound(this.#index.get(id), id), ...decision });
      this.damage.push(`The log of the conversation ${id} was cut: ${reasonOf(error)}`);
    });
  }
}
