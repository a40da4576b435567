// What is remembered: gists on disk, what fades, what is forgotten on purpose and why.
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import type { FileOps } from '../base/file-ops.ts';
import { type JsonStore, openJsonStore } from '../base/json-store.ts';
import type { Random } from '../base/random.ts';
import type { Config } from '../config/schema.ts';
import { compress, fadedSalience, type Gist, gistSchema, type RestedConversation } from './gist.ts';

/** What is left of a forgotten gist: no words of it. */
const forgottenSchema = z.strictObject({
  id: z.string(),
  conversationId: z.string(),
  forgottenAt: z.number(),
  reason: z.enum(['faded', 'crowded-out']),
  salience: z.number(),
  turns: z.int(),
});
export type Forgotten = z.infer<typeof forgottenSchema>;

const fileSchema = z.strictObject({
  gists: z.array(gistSchema),
  forgotten: z.array(forgottenSchema),
});
type MemoryFile = z.infer<typeof fileSchema>;

export interface MemoryOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly settings: Config['memory'];
  readonly ops?: FileOps;
}

export interface Remembered {
  readonly gist: Gist;
  /** Now, after fading. */
  readonly salience: number;
}

export interface ForgettingReport {
  readonly kept: number;
  readonly forgotten: readonly Forgotten[];
}

export interface DrawOptions {
  readonly salienceShare: number;
  readonly canLearn: (conversationId: string) => boolean;
}

export interface Memory {
  /** All gists with their salience now, the most salient first. */
  list(): Remembered[];
  readonly forgotten: readonly Forgotten[];
  /** Names of files of gists that could not be read and were set aside. */
  readonly aside: readonly string[];
  /** True when the conversation has a gist of this very length: nothing new to compress. */
  isKnown(conversationId: string, turns: number): boolean;
  /** Compresses conversations and stores their gists, in one write; earlier gists are replaced. */
  remember(conversations: readonly RestedConversation[]): Promise<Gist[]>;
  /** Forgets what has faded below the floor, and the least salient beyond the limit. */
  forget(): Promise<ForgettingReport>;
  /** The conversation was deleted: nothing of it stays, not even that it was forgotten. */
  erase(conversationId: string): Promise<boolean>;
  /**
   * Draws gists to dream of, without repeats: a share by salience, the rest by chance alone. Those
   * of held-back flags are never drawn, nor those of conversations that may not be learnt from.
   */
  draw(count: number, random: Random, options: DrawOptions): Remembered[];
}

/** Beyond this many, the oldest traces of forgetting are dropped. */
const FORGOTTEN_MAX = 2_000;

/** @throws store-damaged, store-newer */
export async function openMemory(options: MemoryOptions): Promise<Memory> {
  const store = await openJsonStore<MemoryFile>({
    path: options.path,
    schemaVersion: 1,
    schema: fileSchema,
    initial: { gists: [], forgotten: [] },
    ops: options.ops,
  });
  return createMemory(store, options);
}

function createMemory(store: JsonStore<MemoryFile>, options: MemoryOptions): Memory {
  const { clock, settings } = options;
  const now = (gist: Gist): Remembered => ({
    gist,
    salience: fadedSalience(gist, clock.now(), settings),
  });
  const list = (): Remembered[] =>
    store.data.gists
      .map(now)
      .sort((a, b) => b.salience - a.salience || (a.gist.id < b.gist.id ? -1 : 1));

  return {
    list,
    get forgotten() {
      return store.data.forgotten;
    },
    aside: store.aside,
    isKnown: (conversationId, turns) =>
      store.data.gists.some(
        (gist) => gist.conversationId === conversationId && gist.turns === turns,
      ),
    async remember(conversations) {
      if (conversations.length === 0) return [];
      const gists: Gist[] = [];
      for (const conversation of conversations) gists.push(await compress(conversation, settings));
      const ids = new Set(gists.map((gist) => gist.id));
      await store.update((file) => {
        file.gists = [...file.gists.filter((gist) => !ids.has(gist.id)), ...gists];
        file.forgotten = file.forgotten.filter((trace) => !ids.has(trace.id));
      });
      return gists;
    },
    async forget() {
      const ranked = list();
      const fading = ranked.filter(({ salience }) => salience < settings.salienceFloor);
      const kept = ranked.filter(({ salience }) => salience >= settings.salienceFloor);
      const crowded = kept.slice(settings.gistsMax);
      const trace = ({ gist, salience }: Remembered, reason: Forgotten['reason']): Forgotten => ({
        id: gist.id,
        conversationId: gist.conversationId,
        forgottenAt: clock.now(),
        reason,
        salience,
        turns: gist.turns,
      });
      const forgotten = [
        ...fading.map((one) => trace(one, 'faded')),
        ...crowded.map((one) => trace(one, 'crowded-out')),
      ];
      if (forgotten.length > 0) {
        const gone = new Set(forgotten.map(({ id }) => id));
        await store.update((file) => {
          file.gists = file.gists.filter((gist) => !gone.has(gist.id));
          file.forgotten = [...file.forgotten, ...forgotten].slice(-FORGOTTEN_MAX);
        });
      }
      return { kept: store.data.gists.length, forgotten };
    },
    async erase(conversationId) {
      await store.removeCopies();
      const isTheirs = (one: { conversationId: string }): boolean =>
        one.conversationId === conversationId;
      if (!store.data.gists.some(isTheirs) && !store.data.forgotten.some(isTheirs)) return false;
      await store.update((file) => {
        file.gists = file.gists.filter((gist) => !isTheirs(gist));
        file.forgotten = file.forgotten.filter((trace) => !isTheirs(trace));
      });
      return true;
    },
    draw(count, random, { salienceShare, canLearn }) {
      const pool = list().filter(
        ({ gist }) => !gist.isHeldBack && gist.items.length > 0 && canLearn(gist.conversationId),
      );
      const drawn: Remembered[] = [];
      while (drawn.length < count && pool.length > 0) {
        const weights = pool.map(({ salience }) => salience);
        const bySalience = random.uniform() < salienceShare && weights.some((weight) => weight > 0);
        const index = bySalience ? random.weightedIndex(weights) : random.int(pool.length);
        drawn.push(...pool.splice(index, 1));
      }
      return drawn;
    },
  };
}
