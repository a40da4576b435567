// Operations on whole conversations and their flags, the same for WebSocket and HTTP.
import type { Clock } from '../base/clock.ts';
import type { Config } from '../config/schema.ts';
import type { Page } from '../conversation/conversation-store.ts';
import type { ImportedLog, ImportedMark } from '../conversation/imported.ts';
import { LOG_SCHEMA_VERSION, type LogRecord } from '../conversation/record.ts';
import {
  type ConversationState,
  type HistoryRequest,
  patchSettings,
} from '../conversation/state.ts';
import type { Engine } from '../engine/engine.ts';
import type { ClientMessageOf } from '../protocol/client-message.ts';
import type { ConversationSummary, PendingDeletion } from '../protocol/conversation.ts';
import type { Flag, FlagDraft, FlagPatch } from '../protocol/flag.ts';
import type { ConversationImported, ConversationPatch } from '../protocol/http.ts';
import type { NightList, OfferedDecision } from '../protocol/summary.ts';
import type { Consent } from '../store/consent.ts';
import { type ToldOptions, ToldReplies } from './told.ts';

export interface ConversationsOptions extends ToldOptions {
  readonly consent: Consent;
  readonly engine: Engine;
  readonly clock: Clock;
  readonly limits: Config['server']['limits'];
}

type NewConversation = Omit<ClientMessageOf<'conversation-create'>, 'type'>;

/** More are offered once these are decided. */
const OFFERED_MAX = 20;

export class Conversations {
  /** "Hear me now". */
  readonly told: ToldReplies;
  readonly #options: ConversationsOptions;

  constructor(options: ConversationsOptions) {
    this.#options = options;
    this.told = new ToldReplies(options);
    const { consent, events, store } = options;
    consent.watch({
      copyExcluded: (id) => {
        if (store.has(id)) events.conversationChanged('updated', store.summary(id));
      },
    });
  }

  list(request: { readonly limit: number; readonly cursor?: string | undefined }): Page {
    const { store, limits } = this.#options;
    return store.list({ ...request, limit: Math.min(request.limit, limits.conversationPageMax) });
  }

  search(request: { readonly query: string; readonly limit: number }) {
    const { store, limits } = this.#options;
    return store.search({ ...request, limit: Math.min(request.limit, limits.searchResultsMax) });
  }

  /** The live state of a conversation: it changes with the conversation. @throws conversation-not-found */
  read(id: string): Promise<ConversationState> {
    return this.#options.store.read(id);
  }

  /** The messages of a conversation that one answer holds. */
  pageRequest({ limit, before }: { limit: number; before?: string }): HistoryRequest {
    const { historyPageMax, historyPageCharactersMax: charactersMax } = this.#options.limits;
    return { before, messagesMax: Math.min(limit, historyPageMax), charactersMax };
  }

  /** An id that exists already gives that conversation unchanged. @throws conversations-limit */
  create(wanted: NewConversation): Promise<ConversationSummary> {
    const { store, clock, events } = this.#options;
    const { conversationId: id } = wanted;
    return store.exclusive(id, async () => {
      if (store.has(id)) return store.summary(id);
      await store.create({
        type: 'conversation',
        schemaVersion: LOG_SCHEMA_VERSION,
        id,
        at: clock.now(),
        origin: wanted.origin ?? 'live',
        title: wanted.title ?? '',
        settings: wanted.settings ?? {},
        canLearn: wanted.canLearn ?? true,
      });
      const summary = store.summary(id);
      events.conversationChanged('created', summary);
      return summary;
    });
  }

  /** Title, settings, "do not learn from this conversation". @throws conversation-not-found */
  change(id: string, patch: ConversationPatch): Promise<ConversationSummary> {
    const { store, consent } = this.#options;
    const change = () => this.#change(id, patch);
    if (patch.canLearn !== false) return change();
    const isNew = store.has(id) && store.summary(id).isUndecided;
    const what = isNew ? 'left-out' : 'excluded';
    return consent.takeBack({ kind: 'conversation', id, what }, change);
  }

  /** What came over the API and waits for the person's word. */
  offered(): NightList['offered'] {
    const undecided = this.#options.store.undecided();
    return { total: undecided.length, conversations: undecided.slice(0, OFFERED_MAX) };
  }

  /** Whether nights may learn from what is offered. @returns how many that was said of */
  async decide({ canLearn, conversationIds }: OfferedDecision): Promise<number> {
    const offered = this.#options.store.undecided().map(({ id }) => id);
    const wanted = new Set(conversationIds ?? offered);
    const decided = offered.filter((id) => wanted.has(id));
    for (const id of decided) {
      const { store } = this.#options;
      // Deleted or decided meanwhile.
      if (store.has(id) && store.summary(id).isUndecided) await this.change(id, { canLearn });
    }
    return decided.length;
  }

  #change(id: string, patch: ConversationPatch): Promise<ConversationSummary> {
    const { store, clock, events } = this.#options;
    return store.exclusive(id, async () => {
      const state = await store.read(id);
      const at = clock.now();
      const records: LogRecord[] = [];
      if (patch.title !== undefined) records.push({ type: 'title', at, title: patch.title });
      if (patch.settings !== undefined || patch.canLearn !== undefined) {
        const settings = patchSettings(state.settings, patch.settings ?? {});
        const { canLearn = state.canLearn } = patch;
        const isUndecided = patch.canLearn === undefined && state.isUndecided;
        records.push({ type: 'settings', at, settings, canLearn, isUndecided });
      }
      if (records.length > 0) await store.append(id, ...records);
      const summary = store.summary(id);
      if (records.length > 0) events.conversationChanged('updated', summary);
      return summary;
    });
  }

  /**
   * Deletes the conversation and all that was made from it; tries those again that are pending.
   * @returns the deletion if something of it is still to be done
   * @throws conversation-not-found
   */
  async delete(id: string): Promise<PendingDeletion | undefined> {
    const { store, chat, engine, events } = this.#options;
    this.told.dropOf(id);
    await chat.quiet(id);
    const pending = await store.delete(id);
    events.conversationDeleted(id);
    // A dead engine has no cache left to forget.
    await engine.forget(id).catch(() => undefined);
    if (pending === undefined) await store.retryDeletions();
    return pending;
  }

  /**
   * One JSON object a line, in pieces: the log's records, then the flags.
   * @throws conversation-not-found
   */
  export(id: string): AsyncGenerator<string> {
    return this.#export(this.#options.store.exportLog(id), id);
  }

  async *#export(log: AsyncIterable<string>, id: string): AsyncGenerator<string> {
    yield* log;
    for (const flag of this.flags(id)) yield `${JSON.stringify({ type: 'flag', ...flag })}\n`;
  }

  /** Every conversation, oldest first. */
  async *exportAll(): AsyncGenerator<string> {
    for (const id of this.#options.store.ids()) {
      // Deleted meanwhile: then there is nothing to export.
      const { store } = this.#options;
      if (!store.has(id)) continue;
      try {
        yield* this.export(id);
      } catch (error) {
        // The others are exported all the same, and the nights page names this one.
        if (store.has(id)) store.noteDamage(id, error);
      }
    }
  }

  /**
   * Adds a conversation from elsewhere with its flags, or nothing. The same id again adds what is
   * missing.
   * @throws reply-not-found, flags-limit, and as `ConversationStore.import`
   */
  import(log: ImportedLog, drafts: readonly ImportedMark[]): Promise<ConversationImported> {
    const { store, flags, events } = this.#options;
    const { id } = log.entry;
    return store.exclusive(id, async () => {
      const isDuplicate = store.has(id);
      let added = 0;
      const messages = await store.import(log, async (plan, write) => {
        added = await flags.import({ ...plan, conversationId: id, drafts }, write);
      });
      if (messages > 0) {
        events.conversationChanged(isDuplicate ? 'updated' : 'created', store.summary(id));
      }
      return { conversationId: id, isDuplicate, messages, flags: added };
    });
  }

  /** @throws flag-not-found */
  flag(id: string): Flag {
    return this.#options.flags.get(id);
  }

  flags(conversationId?: string): readonly Flag[] {
    const { flags, store } = this.#options;
    return flags.list(conversationId).filter((flag) => !store.isDeleting(flag.conversationId));
  }

  /** @throws conversation-not-found, reply-not-found, span-mismatch, flags-limit … */
  addFlag(draft: FlagDraft): Promise<Flag> {
    const { flags, store, events } = this.#options;
    // Never during a deletion: no flag may outlive its conversation.
    return store.exclusive(draft.conversationId, async () => {
      const flag = await flags.add(draft, await store.read(draft.conversationId));
      events.flagChanged('added', flag);
      return flag;
    });
  }

  /** @throws flag-not-found, flag-used, flag-withdrawn, span-mismatch */
  async editFlag(id: string, patch: FlagPatch): Promise<Flag> {
    const { flags, store, events, consent } = this.#options;
    const { conversationId } = flags.get(id);
    const edit = () =>
      store.exclusive(conversationId, async () => {
        const flag = await flags.edit(id, patch, await store.read(conversationId));
        this.told.drop(id);
        events.flagChanged('edited', flag);
        return flag;
      });
    return consent.takeBack({ kind: 'flag', id, what: 'changed' }, edit);
  }

  /**
   * A told reply that listens: it becomes the flag's better words, and the reply where the
   * conversation has not gone on.
   * @throws flag-not-found, flag-used, flag-withdrawn, reply-not-found, reply-running
   */
  async keepTold(
    flagId: string,
    replyId: string,
  ): Promise<{ readonly conversationId: string; readonly isPlaced: boolean }> {
    const { flags, chat } = this.#options;
    const { conversationId } = flags.open(flagId);
    const record = this.told.record(flagId, replyId);
    const isPlaced = await chat.place(conversationId, record);
    await this.editFlag(flagId, { betterWords: record.text, told: 'kept' });
    return { conversationId, isPlaced };
  }

  /** @throws flag-not-found */
  withdrawFlag(id: string): Promise<Flag> {
    const { flags, events, consent } = this.#options;
    const withdraw = async () => {
      const flag = await flags.withdraw(id);
      this.told.drop(id);
      events.flagChanged('withdrawn', flag);
      return flag;
    };
    return consent.takeBack({ kind: 'flag', id, what: 'withdrawn' }, withdraw);
  }
}
