// Before a night's process starts: its plan, and what it learns from, written into its folder.
import { join } from 'node:path';
import { readJsonBounded, writeJsonAtomic } from '../base/atomic-file.ts';
import { isAttuneError } from '../base/errors.ts';
import type { Folder } from '../base/file-ops.ts';
import { sha256 } from '../base/hash.ts';
import { createRandom } from '../base/random.ts';
import { configHash } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import type { ConversationStore } from '../conversation/conversation-store.ts';
import type { ConversationState } from '../conversation/state.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { nightId } from '../ledger/manifest.ts';
import type { Remembered } from '../memory/memory.ts';
import { FILE, writeFlagged, writeGists, writeScenarios } from '../record/files.ts';
import { openJournal } from '../record/journal.ts';
import { type NightPlan, planSchema } from '../record/message.ts';
import { gatheredSchema } from '../record/phase-result.ts';
import { type Gathered, gather, type Talk } from './gather.ts';
import { rememberTalks } from './remember.ts';
import type { NightServiceOptions } from './service.ts';

export interface PreparedNight {
  readonly plan: NightPlan;
  readonly folder: Folder;
}

/** Everyday turns that a night may replay, cross and measure with. */
const EVERYDAY_MAX = 2048;
/** Of long talks fewer turns: the file is read whole. */
const EVERYDAY_CHARACTERS_MAX = 2 ** 23;

/** The night that was cut off, if its plan is still of this base and its parent still the last. */
export async function findUnfinished(
  options: NightServiceOptions,
): Promise<PreparedNight | undefined> {
  const { ledger } = options;
  const { parent } = await ledger.next();
  for (const night of await ledger.unfinished()) {
    const folder = await ledger.building(night);
    const { path, ops } = folder;
    const plan = await readJsonBounded(join(path, FILE.plan), planSchema, { ops }).catch(
      () => undefined,
    );
    const isSame =
      plan?.base === ledger.base &&
      plan.parent?.hash === parent?.hash &&
      plan.inForce.join() === ledger.head().inForce.join();
    if (plan !== undefined && isSame) return { plan, folder };
    await ledger.discard(night);
  }
  return undefined;
}

/** Makes the folder of a new night, with its plan and what it learns from. */
export async function beginNight(options: NightServiceOptions): Promise<PreparedNight> {
  const plan = await planNext(options);
  const folder = await options.ledger.building(plan.night);
  await writeGathered(options, plan, folder);
  return writePlan(plan, folder);
}

/** The plan last: a folder with a plan has everything that its night needs. */
export async function writePlan(plan: NightPlan, folder: Folder): Promise<PreparedNight> {
  await writeJsonAtomic(join(folder.path, FILE.plan), plan, folder.ops);
  return { plan, folder };
}

/** The next night of the ledger, from the weights in force now. */
export async function planNext(options: NightServiceOptions): Promise<NightPlan> {
  const { ledger, clock, config } = options;
  const { number, parent } = await ledger.next();
  const startedAt = new Date(clock.now()).toISOString();
  const day = localDay(clock.now(), config.night.timeZone);
  const night = nightId(number, day);
  const { inForce } = ledger.head();
  return planSchema.parse({
    night,
    number,
    day,
    startedAt,
    ledgerFolder: ledger.folder.path,
    modelDir: options.modelDir,
    cacheDir: options.cacheDir,
    suiteFolder: options.suiteFolder,
    promptsFolder: options.promptsFolder,
    base: ledger.base,
    parent,
    inForce,
    deltas: (await ledger.deltaFiles(inForce)).map(({ path }) => path),
    passedNights: await passedNights(options),
    seed: Number.parseInt(sha256(`${ledger.base}:${night}`).slice(0, 8), 16),
    config: withoutSecrets(config),
    sampling: options.sampling,
    configHash: configHash(config),
  } satisfies NightPlan);
}

/** YYYY-MM-DD where the person lives. */
export function localDay(at: number, timeZone: string): string {
  const zone = timeZone === '' ? {} : { timeZone };
  return new Intl.DateTimeFormat('sv-SE', { ...zone, dateStyle: 'short' }).format(at);
}

async function passedNights({ ledger }: NightServiceOptions): Promise<number[]> {
  return (await ledger.list()).filter((m) => m.gate?.passed === true).map((m) => m.number);
}

function withoutSecrets(config: Config): Config {
  return { ...config, server: { ...config.server, token: '' } };
}

async function writeGathered(
  options: NightServiceOptions,
  plan: NightPlan,
  folder: Folder,
): Promise<void> {
  const { flags, store, config, clock, ledger } = options;
  const journal = await openJournal(folder, clock);
  try {
    await journal.phase('gather', gatheredSchema, async () => {
      const talks = await readTalks(store);
      const standing = flags.list().filter((flag) => flag.withdrawnAt === null);
      const since = await lastNightAt(ledger);
      const gathered = gather({
        flags: standing,
        talks,
        ...config.flag,
        everydayMax: EVERYDAY_MAX,
        everydayCharactersMax: EVERYDAY_CHARACTERS_MAX,
        seed: plan.seed,
      });
      await writeGists(folder, await drawMemories(options, talks, gathered, plan));
      await writeFlagged(folder, gathered.flagged);
      await writeScenarios(folder, 'everyday', gathered.everyday);
      return {
        flagged: gathered.flagged.length,
        heldBack: gathered.flagged.filter((moment) => moment.isHeldBack).length,
        everyday: gathered.everyday.length,
        replies: [...talks.values()]
          .flatMap((talk) => talk.messages)
          .filter(({ role, at }) => role === 'assistant' && at > since).length,
        flagsNew: standing.filter((flag) => flag.createdAt > since && flag.kind === 'missed')
          .length,
      };
    });
  } finally {
    await journal.close();
  }
}

/** Rested talks are compressed first; then memories are drawn for the undirected dreams. */
async function drawMemories(
  { memory, config, clock, surpriseOf }: NightServiceOptions,
  talks: ReadonlyMap<string, Talk>,
  { flagged }: Gathered,
  plan: NightPlan,
): Promise<Remembered[]> {
  const { restMinutes } = config.memory;
  await rememberTalks(memory, talks, {
    flagged,
    now: clock.now(),
    restMinutes,
    ...(surpriseOf === undefined ? {} : { surpriseOf }),
  });
  const { directedShare, salienceShare } = config.dream;
  const share = flagged.length === 0 ? 1 : 1 - directedShare;
  const count = Math.ceil(config.night.dreamsMax * share);
  return memory.draw(count, createRandom(plan.seed).split('memory'), salienceShare);
}

/** When the last night began, ms since 1970; 0 before the first. */
async function lastNightAt(ledger: Ledger): Promise<number> {
  const last = (await ledger.list()).at(-1);
  return last === undefined ? 0 : Date.parse(last.startedAt);
}

async function readTalks(store: ConversationStore): Promise<Map<string, Talk>> {
  const talks = new Map<string, Talk>();
  for (const id of store.ids()) {
    if (!store.has(id) || !store.summary(id).canLearn) continue;
    const state = await store.read(id).catch((error: unknown) => {
      // Deleted meanwhile.
      if (isAttuneError(error, 'conversation-not-found')) return undefined;
      throw error;
    });
    if (state !== undefined) talks.set(id, talkOf(state));
  }
  return talks;
}

/** A talk without replies that were regenerated away, failed or stayed empty. */
export function talkOf(state: ConversationState): Talk {
  const messages = state.entries.flatMap((entry) => {
    if (entry.type === 'reply' && (entry.isSuperseded || entry.text === '')) return [];
    const role = entry.type === 'reply' ? ('assistant' as const) : ('user' as const);
    return [{ id: entry.id, role, content: entry.text, at: entry.at }];
  });
  const { systemPrompt } = state.settings;
  return {
    id: state.id,
    canLearn: state.canLearn,
    ...(systemPrompt === undefined ? {} : { systemPrompt }),
    messages,
  };
}
