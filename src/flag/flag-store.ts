// All flags of a store: one small JSON file, checked, written atomically and synced.
import { z } from 'zod';
import { checkStored } from '../base/atomic-file.ts';
import type { Clock } from '../base/clock.ts';
import { AttuneError } from '../base/errors.ts';
import type { FileOps } from '../base/file-ops.ts';
import { sha256 } from '../base/hash.ts';
import { type JsonStore, openJsonStore, type Upgrade } from '../base/json-store.ts';
import type { ConversationState } from '../conversation/state.ts';
import { Flag, type FlagDraft, type FlagPatch, type FlagUse } from '../protocol/flag.ts';
import { placeFlag } from './place.ts';

const FlagFile = z.object({ flags: z.array(Flag) });
type FlagFile = z.infer<typeof FlagFile>;

export interface FlagStoreOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly flagsMax: number;
  /** The base model in whose ledger a night is; asked where an earlier release did not say. */
  readonly baseOf: (night: string) => Promise<string>;
  readonly ops?: FileOps;
}

const earlierFile = z.object({ flags: z.array(z.looseObject({ usedBy: z.array(z.string()) })) });

function namingBases({ path, baseOf }: FlagStoreOptions): Upgrade {
  return {
    from: 1,
    says: 'a night that used a flag is named with its base model',
    async upgrade(data) {
      const { flags } = checkStored(path, earlierFile, data);
      const nights = [...new Set(flags.flatMap(({ usedBy }) => usedBy))];
      const bases = new Map(
        await Promise.all(nights.map(async (n) => [n, await baseOf(n)] as const)),
      );
      const use = (night: string) => ({ night, base: bases.get(night) });
      return { flags: flags.map((flag) => ({ ...flag, usedBy: flag.usedBy.map(use) })) };
    },
  };
}

/** @throws store-damaged, store-newer */
export async function openFlagStore(options: FlagStoreOptions): Promise<FlagStore> {
  const store = await openJsonStore<FlagFile>({
    path: options.path,
    schemaVersion: 2,
    schema: FlagFile,
    initial: { flags: [] },
    upgrades: [namingBases(options)],
    ops: options.ops,
  });
  return new FlagStore(store, options);
}

function sameDraft(flag: Flag, draft: FlagDraft): boolean {
  return flag.conversationId === draft.conversationId && flag.replyId === draft.replyId;
}

function find(flags: readonly Flag[], id: string): Flag {
  const flag = flags.find((one) => one.id === id);
  if (flag !== undefined) return flag;
  throw new AttuneError('flag-not-found', `There is no flag ${id}.`, { flagId: id });
}

/** From the first night that used a flag on, it stays as that night saw it. */
function assertOpen(flag: Flag): void {
  const [use] = flag.usedBy;
  if (use !== undefined) {
    const message = `Night ${use.night} has learnt from this flag; it can no longer be changed.`;
    throw new AttuneError('flag-used', message, { flagId: flag.id, nightId: use.night });
  }
  if (flag.withdrawnAt !== null) {
    const message = 'This flag was withdrawn; flag the reply again.';
    throw new AttuneError('flag-withdrawn', message, { flagId: flag.id });
  }
}

export class FlagStore {
  readonly #store: JsonStore<FlagFile>;
  readonly #options: FlagStoreOptions;

  constructor(store: JsonStore<FlagFile>, options: FlagStoreOptions) {
    this.#store = store;
    this.#options = options;
  }

  /** What upgrades did at opening. */
  get upgraded(): readonly string[] {
    return this.#store.upgraded;
  }

  /** Names of files of flags that could not be read and were set aside. */
  get aside(): readonly string[] {
    return this.#store.aside;
  }

  /** Oldest first, withdrawn ones among them. */
  list(conversationId?: string): readonly Flag[] {
    const { flags } = this.#store.data;
    return conversationId === undefined
      ? flags
      : flags.filter((flag) => flag.conversationId === conversationId);
  }

  /** @throws flag-not-found */
  get(id: string): Flag {
    return find(this.#store.data.flags, id);
  }

  /**
   * Marks a reply. The same id again gives the flag that is there.
   * @throws reply-not-found, message-not-found, span-mismatch, flag-conflict, flags-limit
   */
  async add(draft: FlagDraft, conversation: ConversationState): Promise<Flag> {
    const [flag] = await this.#addAll([draft], conversation, ({ id }) => id);
    return flag as Flag;
  }

  /**
   * Flags that come with a conversation, in one write. Programs copy a conversation with the ids of
   * its messages and marks: the marks of the copy get ids of their own.
   * @throws as `add`, but flag-conflict
   */
  addImported(drafts: readonly FlagDraft[], conversation: ConversationState): Promise<Flag[]> {
    return this.#addAll(drafts, conversation, ({ id, conversationId }, there) => {
      const isTaken = there !== undefined && there.conversationId !== conversationId;
      return isTaken ? sha256(`${conversationId}\u0000${id}`).slice(0, 32) : id;
    });
  }

  async #addAll(
    drafts: readonly FlagDraft[],
    conversation: ConversationState,
    idOf: (draft: FlagDraft, there: Flag | undefined) => string,
  ): Promise<Flag[]> {
    const { clock, flagsMax } = this.#options;
    const placed = drafts.map((draft) => ({ draft, messageId: placeFlag(draft, conversation) }));
    return this.#store.update((file) => {
      const known = new Map(file.flags.map((flag) => [flag.id, flag]));
      return placed.map(({ draft, messageId }) => {
        const id = idOf(draft, known.get(draft.id));
        const there = known.get(id);
        if (there !== undefined) {
          if (sameDraft(there, draft)) return there;
          const message = `The id ${draft.id} names another flag.`;
          throw new AttuneError('flag-conflict', message, { flagId: draft.id });
        }
        if (file.flags.length >= flagsMax) {
          const message = `The store holds ${flagsMax} flags already.`;
          throw new AttuneError('flags-limit', message, { flagsMax });
        }
        const at = clock.now();
        const flag = { ...draft, id, messageId, createdAt: at, updatedAt: at };
        const whole: Flag = { ...flag, withdrawnAt: null, usedBy: [] };
        file.flags.push(whole);
        known.set(whole.id, whole);
        return whole;
      });
    });
  }

  /** @throws flag-not-found, flag-used, flag-withdrawn, message-not-found, span-mismatch */
  async edit(id: string, patch: FlagPatch, conversation: ConversationState): Promise<Flag> {
    const present = Object.entries(patch).filter(([, value]) => value !== undefined);
    const change = Object.fromEntries(present);
    return this.#store.update(({ flags }) => {
      const flag = find(flags, id);
      assertOpen(flag);
      const edited: Flag = { ...flag, ...change, updatedAt: this.#options.clock.now() };
      placeFlag(edited, conversation);
      flags[flags.indexOf(flag)] = edited;
      return edited;
    });
  }

  /**
   * It stays in the file, marked; nights pass it over, also where one has learnt from it.
   * @throws flag-not-found
   */
  async withdraw(id: string): Promise<Flag> {
    return this.#store.update(({ flags }) => {
      const flag = find(flags, id);
      if (flag.withdrawnAt !== null) return flag;
      const at = this.#options.clock.now();
      const withdrawn: Flag = { ...flag, withdrawnAt: at, updatedAt: at };
      flags[flags.indexOf(flag)] = withdrawn;
      return withdrawn;
    });
  }

  /** A night has learnt from these; asked twice, noted once. */
  async markUsed(ids: readonly string[], { night, base }: FlagUse): Promise<void> {
    const wanted = new Set(ids);
    await this.#store.update((file) => {
      file.flags = file.flags.map((flag) => {
        const isNoted = flag.usedBy.some((use) => use.night === night && use.base === base);
        if (!wanted.has(flag.id) || isNoted) return flag;
        return { ...flag, usedBy: [...flag.usedBy, { night, base }] };
      });
    });
  }

  /** With its conversation a flag goes, words and all. */
  async deleteOf(conversationId: string): Promise<void> {
    await this.#store.removeCopies();
    if (this.list(conversationId).length === 0) return;
    await this.#store.update((file) => {
      file.flags = file.flags.filter((flag) => flag.conversationId !== conversationId);
    });
  }
}
