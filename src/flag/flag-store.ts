// All flags of a store: one small JSON file, checked, written atomically and synced.
import { z } from 'zod';
import { checkStored } from '../base/atomic-file.ts';
import type { Clock } from '../base/clock.ts';
import { AttuneError } from '../base/errors.ts';
import type { FileOps } from '../base/file-ops.ts';
import { sha256 } from '../base/hash.ts';
import { type Draft, type JsonStore, openJsonStore, type Upgrade } from '../base/json-store.ts';
import type { ImportedMark, ImportPlan } from '../conversation/imported.ts';
import { placeFlag, replyNotFound } from '../conversation/place-flag.ts';
import type { ConversationState } from '../conversation/state.ts';
import { Flag, type FlagDraft, type FlagPatch, type FlagUse } from '../protocol/flag.ts';

/** Flags that were written before the conversation that they come with. */
const Arrival = z.object({
  conversationId: z.string(),
  flagIds: z.array(z.string()),
  /** Where its log has as many, it was written, too. */
  logBytes: z.number(),
});

const FlagFile = z.object({ flags: z.array(Flag), arriving: z.array(Arrival).default([]) });
type FlagFile = z.infer<typeof FlagFile>;

/** An import with flags. */
export interface FlagImport extends ImportPlan {
  readonly conversationId: string;
  readonly drafts: readonly ImportedMark[];
}

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
    initial: { flags: [], arriving: [] },
    upgrades: [namingBases(options)],
    ops: options.ops,
  });
  return new FlagStore(store, options);
}

function sameDraft(flag: Flag, draft: FlagDraft): boolean {
  return flag.conversationId === draft.conversationId && flag.replyId === draft.replyId;
}

/** What was exported here has its times, and stays as it is now. */
function isChangedElsewhere(flag: Flag, draft: ImportedMark): boolean {
  const isUntouched = flag.updatedAt === flag.createdAt && flag.usedBy.length === 0;
  if (!isUntouched || draft.updatedAt !== undefined) return false;
  return (['kind', 'reason', 'betterWords', 'strength'] as const).some(
    (one) => flag[one] !== draft[one],
  );
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
  /** Ids of flags that nobody sees yet, by their conversation. */
  readonly #arriving: Map<string, ReadonlySet<string>>;

  constructor(store: JsonStore<FlagFile>, options: FlagStoreOptions) {
    this.#store = store;
    this.#options = options;
    const { arriving } = store.data;
    this.#arriving = new Map(arriving.map((one) => [one.conversationId, new Set(one.flagIds)]));
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
    const flags = this.#present(this.#store.data.flags);
    return conversationId === undefined
      ? flags
      : flags.filter((flag) => flag.conversationId === conversationId);
  }

  #present<T extends Readonly<Flag>>(flags: T[]): T[] {
    if (this.#arriving.size === 0) return flags;
    return flags.filter((flag) => !this.#arriving.get(flag.conversationId)?.has(flag.id));
  }

  #update<R>(change: (file: Draft<FlagFile>) => R): Promise<R> {
    return this.#store.update((file) => {
      const result = change(file);
      file.arriving = file.arriving.filter((one) => this.#arriving.has(one.conversationId));
      return result;
    });
  }

  /** @throws flag-not-found */
  get(id: string): Flag {
    return find(this.list(), id);
  }

  /** One that can still be changed. @throws flag-not-found, flag-used, flag-withdrawn */
  open(id: string): Flag {
    const flag = this.get(id);
    assertOpen(flag);
    return flag;
  }

  /**
   * Marks a reply. The same id again gives the flag that is there.
   * @throws reply-not-found, message-not-found, span-mismatch, flag-conflict, flags-limit
   */
  async add(draft: FlagDraft, conversation: ConversationState): Promise<Flag> {
    const messageId = placeFlag(draft, conversation);
    return this.#update((file) => {
      const there = file.flags.find(({ id }) => id === draft.id);
      if (there === undefined) return this.#push(file, draft, messageId);
      if (sameDraft(there, draft)) return there;
      const message = `The id ${draft.id} names another flag.`;
      throw new AttuneError('flag-conflict', message, { flagId: draft.id });
    });
  }

  /**
   * Flags that come with a conversation: they are there with it, or not at all. One that is there
   * takes what another program changed of it, unless the person or a night did so here. Programs
   * copy a conversation with the ids of its messages and marks: the marks of the copy get ids of
   * their own.
   * @param write makes the conversation durable
   * @returns how many were added or changed
   * @throws reply-not-found, flags-limit, and as `write`
   */
  async import(
    { conversationId, drafts, replies, logBytes, isWritten }: FlagImport,
    write: () => Promise<void>,
  ): Promise<number> {
    const placed = drafts.map((draft) => {
      const messageId = replies.get(draft.replyId);
      if (messageId === undefined) throw replyNotFound(draft.replyId);
      return { draft, messageId };
    });
    // What an import before could not take back.
    if (this.#arriving.has(conversationId)) await this.#drop([conversationId]);
    const added = new Set<string>();
    let changed = 0;
    this.#arriving.set(conversationId, added);
    try {
      if (placed.length > 0) {
        await this.#update((file) => {
          const known = new Map(file.flags.map((flag) => [flag.id, flag]));
          for (const { draft, messageId } of placed) {
            const owner = known.get(draft.id)?.conversationId ?? conversationId;
            const own = sha256(`${conversationId}\u0000${draft.id}`).slice(0, 32);
            const id = owner === conversationId ? draft.id : own;
            const there = known.get(id);
            if (there === undefined) {
              known.set(id, this.#push(file, { ...draft, id }, messageId));
              added.add(id);
            } else if (isChangedElsewhere(there, draft)) {
              const at = this.#options.clock.now();
              const { kind, reason, betterWords, strength } = draft;
              const marked = { kind, reason, betterWords, strength, createdAt: at, updatedAt: at };
              file.flags[file.flags.indexOf(there)] = { ...there, ...marked };
              changed += 1;
            }
          }
          const others = file.arriving.filter((one) => one.conversationId !== conversationId);
          file.arriving = [...others, { conversationId, flagIds: [...added], logBytes }];
        });
      }
      await write();
    } catch (error) {
      // It can fail and be written all the same. Where this fails, too, the next start decides.
      if (!(await isWritten())) await this.#drop([conversationId]).catch(() => undefined);
      else this.#arriving.delete(conversationId);
      throw error;
    }
    this.#arriving.delete(conversationId);
    return added.size + changed;
  }

  /**
   * At the start: imports that were cut before their conversation was written lose their flags.
   * @param logBytesOf a conversation; 0: it has no log
   */
  async settle(logBytesOf: (conversationId: string) => Promise<number>): Promise<void> {
    const lost: string[] = [];
    for (const { conversationId, logBytes } of this.#store.data.arriving) {
      if ((await logBytesOf(conversationId)) < logBytes) lost.push(conversationId);
      else this.#arriving.delete(conversationId);
    }
    // On a full disk a later start does it, and nobody sees them before.
    await this.#drop(lost).catch(() => undefined);
  }

  async #drop(conversationIds: readonly string[]): Promise<void> {
    const isStaying = ({ conversationId }: { readonly conversationId: string }): boolean =>
      this.#arriving.has(conversationId) && !conversationIds.includes(conversationId);
    if (!this.#store.data.arriving.every(isStaying)) {
      await this.#store.update((file) => {
        const isSeen = new Set(this.#present(file.flags));
        file.flags = file.flags.filter((flag) => isSeen.has(flag) || isStaying(flag));
        file.arriving = file.arriving.filter(isStaying);
      });
    }
    for (const id of conversationIds) this.#arriving.delete(id);
  }

  #push(file: Draft<FlagFile>, draft: ImportedMark, messageId: string): Flag {
    const { clock, flagsMax } = this.#options;
    if (file.flags.length >= flagsMax) {
      const message = `The store holds ${flagsMax} flags already.`;
      throw new AttuneError('flags-limit', message, { flagsMax });
    }
    const at = clock.now();
    const flag: Flag = {
      ...{ createdAt: at, updatedAt: at, withdrawnAt: null, ...draft, messageId, usedBy: [] },
    };
    file.flags.push(flag);
    return flag;
  }

  /** @throws flag-not-found, flag-used, flag-withdrawn, message-not-found, span-mismatch */
  async edit(id: string, patch: FlagPatch, conversation: ConversationState): Promise<Flag> {
    const present = Object.entries(patch).filter(([, value]) => value !== undefined);
    const change = Object.fromEntries(present);
    return this.#update(({ flags }) => {
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
    return this.#update(({ flags }) => {
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
    await this.#update((file) => {
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
    const isOf = (flag: Flag): boolean => flag.conversationId === conversationId;
    if (!this.#store.data.flags.some(isOf)) return;
    await this.#update((file) => {
      file.flags = file.flags.filter((flag) => !isOf(flag));
    });
    this.#arriving.delete(conversationId);
  }
}
