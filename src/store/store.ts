// All that is kept of one person, in one folder: conversations, flags, memory and the ledgers.
import { dirname, join, resolve } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { type FileOps, systemFileOps } from '../base/file-ops.ts';
import type { Logger } from '../base/logger.ts';
import type { Config } from '../config/schema.ts';
import {
  type ConversationStore,
  openConversationStore,
} from '../conversation/conversation-store.ts';
import type { Forget } from '../conversation/pending-deletions.ts';
import { type FlagStore, openFlagStore } from '../flag/flag-store.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { openLedgers } from '../ledger/ledgers.ts';
import { type Memory, openMemory } from '../memory/memory.ts';
import { NIGHT_FILES } from '../record/files.ts';
import { type Consent, openConsent } from './consent.ts';

export interface StoreOptions {
  readonly memory: Config['memory'];
  readonly limits: Config['server']['limits'];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Hash of the base model that speaks; it may be known later than the rest is open. */
  readonly base: string | Promise<string>;
  readonly ops?: FileOps;
}

export interface Store {
  readonly conversations: ConversationStore;
  readonly flags: FlagStore;
  readonly memory: Memory;
  /** The nights of the base model that speaks. */
  readonly ledger: Ledger;
  /** Those of every base model that has ever spoken here. */
  readonly ledgers: readonly Ledger[];
  /** What could not be read of it, a sentence each. */
  damage(): Promise<string[]>;
  /** Through which a person takes back what was said. */
  readonly consent: Consent;
  close(): Promise<void>;
}

/** How often the list is written, and a pending deletion tried again. */
const TIDY_INTERVAL_MS = 30_000;

/**
 * Opens everything at once, then finishes deletions that are pending, as far as can be.
 * @throws store-damaged, store-newer, ledger-damaged, and whatever `base` rejects with
 */
export async function openStore(folder: string, options: StoreOptions): Promise<Store> {
  const { clock } = options;
  const forget: Forget = (conversationId) => consent.forgetDeleted(conversationId);
  const { conversations, flags, memory, ledgers } = await openParts(folder, options, forget);
  const { ops = systemFileOps, logger } = options;
  const kept = { conversations, flags, memory, ledger: ledgers.speaking, ledgers: ledgers.all };
  const consent = await openConsent(folder, { ...kept, clock, logger, ops });
  await conversations.retryDeletions();

  let timer = clock.setTimeout(tidy, TIDY_INTERVAL_MS, { unref: true });
  function tidy(): void {
    void consent
      .retry()
      .then(() => conversations.retryDeletions())
      .then(() => conversations.flush());
    timer = clock.setTimeout(tidy, TIDY_INTERVAL_MS, { unref: true });
  }
  return {
    ...kept,
    consent,
    damage: () => damageOf({ conversations, flags, memory, ledgers: ledgers.all }),
    async close() {
      timer.cancel();
      await conversations.close();
    },
  };
}

async function damageOf({
  conversations,
  flags,
  memory,
  ledgers,
}: Pick<Store, 'conversations' | 'flags' | 'memory' | 'ledgers'>): Promise<string[]> {
  const aside = [...flags.aside, ...memory.aside].map(
    (name) => `${name} holds what could not be read; it was begun again without it.`,
  );
  const inLedgers = await Promise.all(
    ledgers.map(async (ledger) => {
      const { damaged } = await ledger.scan();
      const nights = damaged.map(({ night, text }) => `${night} cannot be read: ${text}`);
      return [...ledger.damage, ...nights];
    }),
  );
  return [...conversations.damage, ...aside, ...inLedgers.flat()];
}

async function openParts(
  folder: string,
  { memory, limits, clock, logger, base, ops = systemFileOps }: StoreOptions,
  forget: Forget,
) {
  const made = ops.makeFolder(folder).then(() => ops.syncFolder(dirname(resolve(folder))));
  const ledgersOpen = made.then(() =>
    openLedgers(join(folder, 'ledger'), { base, files: NIGHT_FILES, ops }),
  );
  const { flagsMax } = limits;
  const flagsPath = join(folder, 'flags.json');
  const baseOf = async (night: string) => (await ledgersOpen).baseOf(night);
  const opening = [
    made.then(() => openConversationStore({ folder, logger, ...limits, clock, forget, ops })),
    made.then(() => openFlagStore({ path: flagsPath, clock, flagsMax, baseOf, ops })),
    made.then(() =>
      openMemory({ path: join(folder, 'memory.json'), clock, settings: memory, ops }),
    ),
    ledgersOpen,
  ] as const;
  // The others are waited for, so that nothing goes on behind a failure.
  await Promise.allSettled([base, ...opening]);
  const [conversations, flags, gists, ledgers] = await Promise.all(opening);
  await flags.settle((id) => conversations.logBytesOf(id));
  for (const says of [ledgers.upgraded, ...flags.upgraded]) {
    if (says !== undefined) logger.info({ folder }, `the store was upgraded: ${says}`);
  }
  return { conversations, flags, memory: gists, ledgers };
}
