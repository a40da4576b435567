// What it means that a person takes something back: excludes or deletes a conversation, withdraws
// or changes a flag. The one place from which every copy of the words is reached: gists, the texts
// of nights, reviews, blind answers, nights under way, conversations that began with a copy.
import { join } from 'node:path';
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import type { FileOps } from '../base/file-ops.ts';
import { openJsonStore } from '../base/json-store.ts';
import type { Logger } from '../base/logger.ts';
import type { ConversationStore } from '../conversation/conversation-store.ts';
import type { FlagStore } from '../flag/flag-store.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Memory } from '../memory/memory.ts';
import { forgetSource, type Source } from './deletion.ts';

export interface TakenBack extends Source {
  /** `left-out`: excluded before anything could be learnt from it. */
  readonly what: (typeof WHAT)[number];
}

const WHAT = ['deleted', 'excluded', 'left-out', 'withdrawn', 'changed'] as const;

export interface ConsentWatcher {
  /** In the ledger's turn, before anything is taken out: who holds something of it lets go. */
  readonly letGo?: (source: TakenBack) => Promise<void>;
  /** A conversation is not learnt from any more, because what it was copied from is not. */
  readonly copyExcluded?: (conversationId: string) => void;
}

export interface Consent {
  /**
   * Takes back what `decide` says, once it has said so durably. What cannot be done now is done
   * later: the decision holds all the same, for nothing is gathered from what is excluded.
   */
  takeBack<T>(source: TakenBack, decide: () => Promise<T>): Promise<T>;
  /** Of a conversation whose log is gone. Begun again after a failure, it ends the same. */
  forgetDeleted(conversationId: string): Promise<void>;
  /** Tries again what could not be done. */
  retry(): Promise<void>;
  watch(watcher: ConsentWatcher): void;
}

export interface ConsentParts {
  readonly conversations: ConversationStore;
  readonly flags: FlagStore;
  readonly memory: Memory;
  /** That of the base model that speaks; its turn is that of all. */
  readonly ledger: Ledger;
  readonly ledgers: readonly Ledger[];
  readonly clock: Clock;
  readonly logger: Logger;
}

const pendingSchema = z.strictObject({
  pending: z.array(
    z.strictObject({
      kind: z.enum(['conversation', 'flag']),
      id: z.string(),
      what: z.enum(WHAT),
    }),
  ),
});

/**
 * Opens it, and tries again what could not be done.
 * @param folder the store's; `taken-back.json` in it names what is not done yet
 */
export async function openConsent(
  folder: string,
  { ops, ...parts }: ConsentParts & { readonly ops: FileOps },
): Promise<Consent> {
  const path = join(folder, 'taken-back.json');
  let isUnknown = (await ops.stat(path)) === undefined;
  const file = await openJsonStore<z.infer<typeof pendingSchema>>({
    path,
    schemaVersion: 1,
    schema: pendingSchema,
    initial: { pending: [] },
    ops,
  });
  isUnknown ||= file.aside.length > 0;
  const { conversations, flags, logger } = parts;
  const pending = new Map(file.data.pending.map((one) => [keyOf(one), one]));
  /** At work on it. */
  const busy = new Set<string>();
  const watchers: ConsentWatcher[] = [];

  async function keep(): Promise<void> {
    const now = [...pending.values()];
    await file
      .update((data) => Object.assign(data, { pending: now }))
      .catch((error: unknown) => {
        logger.warn({ error }, 'what is being taken back could not be noted');
      });
  }

  async function carryOut(source: TakenBack): Promise<void> {
    try {
      await takeOut(source);
      pending.delete(keyOf(source));
    } catch (error) {
      logger.error({ ...source, error }, 'something that was taken back is still kept');
      pending.set(keyOf(source), source);
    }
    await keep();
  }

  async function takeBack<T>(source: TakenBack, decide: () => Promise<T>): Promise<T> {
    const key = keyOf(source);
    const before = pending.get(key);
    busy.add(key);
    try {
      pending.set(key, source);
      await keep();
      const decided = await decide().catch(async (error: unknown) => {
        if (before === undefined) pending.delete(key);
        await keep();
        throw error;
      });
      await carryOut(source);
      return decided;
    } finally {
      busy.delete(key);
    }
  }

  async function takeOut(source: TakenBack): Promise<void> {
    if (source.kind === 'conversation') {
      // Taken in again since.
      if (conversations.has(source.id) && conversations.summary(source.id).canLearn) return;
      for (const copy of conversations.words.copiesOf(source.id)) {
        if (!isOpen(conversations, copy)) continue;
        const what = conversations.summary(copy).isUndecided ? 'left-out' : 'excluded';
        await takeBack({ kind: 'conversation', id: copy, what }, () => exclude(copy, parts));
        for (const { copyExcluded } of watchers) copyExcluded?.(copy);
      }
    }
    if (source.what === 'left-out') return;
    await parts.ledger.turn(async () => {
      for (const { letGo } of watchers) await letGo?.(source);
      await forget(source, parts);
    });
  }

  async function retry(): Promise<void> {
    const waiting = [...pending.values()].filter((source) => !busy.has(keyOf(source)));
    for (const source of waiting) await carryOut(source);
  }

  await retry();
  if (isUnknown) {
    // Before 30 November 2026 what was excluded was kept where it had been learnt; or it is lost
    // what was pending. Later, so that nobody waits for it.
    const excluded = conversations.ids().filter((id) => !isOpen(conversations, id));
    const withdrawn = flags
      .list()
      .filter((flag) => flag.withdrawnAt !== null && flag.usedBy.length > 0);
    const all: TakenBack[] = [
      ...excluded.map((id) => ({ kind: 'conversation', id, what: 'excluded' }) as const),
      ...withdrawn.map(({ id }) => ({ kind: 'flag', id, what: 'withdrawn' }) as const),
    ];
    for (const source of all) pending.set(keyOf(source), source);
    await keep();
    // It names nothing that is not named now.
    await file.removeCopies();
  }
  return {
    takeBack,
    forgetDeleted: (id) => takeOut({ kind: 'conversation', id, what: 'deleted' }),
    retry,
    watch: (watcher) => void watchers.push(watcher),
  };
}

const keyOf = ({ kind, id }: Source): string => `${kind} ${id}`;

/** Nights learn from it, or would once they may. */
function isOpen(conversations: ConversationStore, id: string): boolean {
  if (!conversations.has(id)) return false;
  const { canLearn, isUndecided } = conversations.summary(id);
  return canLearn || isUndecided;
}

function exclude(id: string, { conversations, clock }: ConsentParts): Promise<void> {
  return conversations.exclusive(id, async () => {
    if (!isOpen(conversations, id)) return;
    const { settings } = await conversations.read(id);
    const decision = { canLearn: false, isUndecided: false };
    await conversations.append(id, { type: 'settings', at: clock.now(), settings, ...decision });
  });
}

async function forget(source: TakenBack, { flags, memory, ledgers }: ConsentParts): Promise<void> {
  const { kind, id } = source;
  if (kind === 'conversation') {
    const flagIds = flags.list(id).map((flag) => flag.id);
    await forgetSource({ memory, ledgers }, { kind, id, conversationId: id, flagIds });
    if (source.what === 'deleted') await flags.deleteOf(id);
    return;
  }
  const flag = flags.list().find((one) => one.id === id);
  // With its conversation it went, and all that was made from it.
  if (flag === undefined) return;
  const { conversationId } = flag;
  await forgetSource({ memory, ledgers }, { kind, id, conversationId, flagIds: [id] });
}
