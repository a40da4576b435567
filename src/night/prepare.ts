// Before a night's process starts: its plan, and what it remembers and learns from, in its folder.
import { join } from 'node:path';
import { readJsonBounded, writeJsonAtomic } from '../base/atomic-file.ts';
import type { Clock } from '../base/clock.ts';
import { isAttuneError } from '../base/errors.ts';
import type { Folder } from '../base/file-ops.ts';
import { sha256, sha256Json } from '../base/hash.ts';
import { createRandom } from '../base/random.ts';
import { configHash } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import type { ConversationStore } from '../conversation/conversation-store.ts';
import { spoken } from '../conversation/spoken.ts';
import type { ConversationState } from '../conversation/state.ts';
import { CHARACTERS_PER_TOKEN_MAX } from '../conversation/window.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { type NightId, nightId } from '../ledger/manifest.ts';
import type { Turn } from '../memory/extract.ts';
import type { RestedConversation } from '../memory/gist.ts';
import type { Memory, Remembered } from '../memory/memory.ts';
import type { Sampling } from '../protocol/sampling.ts';
import { FILE, writeFlagged, writeGists, writeScenarios } from '../record/files.ts';
import { openJournal } from '../record/journal.ts';
import { type NightPlan, planSchema } from '../record/message.ts';
import { gatheredSchema } from '../record/phase-result.ts';
import type { FlaggedMoment } from '../scenario/moment.ts';
import type { Store } from '../store/store.ts';
import { loadableVersion } from '../swap/swap.ts';
import { THOUGHT_END } from '../tokenizer/thought.ts';
import { type Conversation, type ConversationMessage, type Gathered, gather } from './gather.ts';

/** Absolute; a night's process finds there what it works with. */
export type NightPaths = Pick<
  NightPlan,
  'modelDir' | 'cacheDir' | 'suiteFolder' | 'sceneFolder' | 'promptsFolder'
>;

/** What a plan is made from. */
export interface PlanParts {
  readonly ledger: Ledger;
  /** Of tokenizer and template: see `encodingHash`. */
  readonly encoding: string;
  readonly config: Config;
  readonly sampling: Sampling;
  readonly paths: NightPaths;
  readonly clock: Clock;
}

/** What a night is gathered from. */
export interface GatherParts {
  readonly store: Store;
  readonly config: Config;
  readonly surpriseOf: SurpriseOf;
  readonly clock: Clock;
}

export interface PreparedNight {
  readonly plan: NightPlan;
  readonly folder: Folder;
}

/** Everyday turns that a night may replay, cross and measure with. */
const EVERYDAY_MAX = 2048;
/** Of long conversations fewer turns: the file is read whole. */
const EVERYDAY_CHARACTERS_MAX = 2 ** 23;
/** Of very long or very many flagged conversations fewer moments. */
const FLAGGED_BYTES_MAX = 48 * 2 ** 20;

/**
 * The night that was cut off, if it still is the one that would begin now; any other is discarded.
 * Its paths are those of today: store and model may have moved.
 * @param onDiscard told of each, with the reason
 */
export async function findUnfinished(
  parts: PlanParts,
  onDiscard: (night: NightId, why: string) => void = () => undefined,
): Promise<PreparedNight | undefined> {
  const { ledger, paths } = parts;
  for (const night of await ledger.unfinished()) {
    const folder = await ledger.building(night);
    const { path, ops } = folder;
    const plan = await readJsonBounded(join(path, FILE.plan), planSchema, { ops }).catch(
      () => undefined,
    );
    const why = plan === undefined ? 'it has no plan that can be read' : await isOver(plan, parts);
    if (plan !== undefined && why === undefined) {
      return { plan: { ...plan, ...paths, ...(await ledgerPaths(ledger, plan.inForce)) }, folder };
    }
    await ledger.discard(night);
    onDiscard(night, why ?? '');
  }
  return undefined;
}

/** Why a night that was planned is not to be resumed; undefined: it is. */
async function isOver(
  plan: NightPlan,
  { ledger, encoding, config, sampling }: PlanParts,
): Promise<string | undefined> {
  const { parent } = await ledger.next();
  if (plan.base !== ledger.base) return 'it began with another base model';
  if ((plan.encoding ?? encoding) !== encoding) {
    return 'it began under another tokenizer or chat template';
  }
  if (plan.parent?.hash !== parent?.hash) return 'another night came before it';
  if (plan.inForce.join() !== inForceBeside(ledger, plan.review).join()) {
    return 'other weights are in use since it began';
  }
  const isSame = sha256Json(learning(plan)) === sha256Json(learning({ config, sampling }));
  return isSame ? undefined : 'the configuration was changed since it began';
}

/** The active nights, without the one that is trained again. */
export function inForceBeside(ledger: Ledger, review: NightPlan['review']): NightId[] {
  return ledger.head().inForce.filter((night) => night !== review?.of);
}

/** What of the configuration a night depends on: not where things are, nor who may talk to them. */
function learning({ config, sampling }: Pick<NightPlan, 'config' | 'sampling'>) {
  const { server: _server, store: _store, model: _model, logger: _logger, ...rest } = config;
  return { ...rest, sampling };
}

/** Makes the folder of a new night, with its plan and what it learns from. */
export async function beginNight(
  parts: GatherParts & Pick<PlanParts, 'encoding' | 'paths' | 'sampling'>,
): Promise<PreparedNight> {
  const { ledger } = parts.store;
  const plan = await planNext({ ...parts, ledger });
  const folder = await ledger.building(plan.night);
  await writeGathered(folder, plan, parts);
  return writePlan(plan, folder);
}

/** The plan last: a folder with a plan has everything that its night needs. */
export async function writePlan(plan: NightPlan, folder: Folder): Promise<PreparedNight> {
  await writeJsonAtomic(join(folder.path, FILE.plan), plan, folder.ops);
  return { plan, folder };
}

/**
 * The next night of the ledger, from the weights that are active now.
 * @param review the night that it trains again: it begins without that one's
 */
export async function planNext(
  { ledger, encoding, config, sampling, paths, clock }: PlanParts,
  review?: NightPlan['review'],
): Promise<NightPlan> {
  const { number, parent } = await ledger.next();
  const startedAt = new Date(clock.now()).toISOString();
  const day = localDay(clock.now(), config.night.timeZone);
  const night = nightId(number, day);
  const inForce = inForceBeside(ledger, review);
  return planSchema.parse({
    night,
    number,
    day,
    startedAt,
    ...paths,
    ...(await ledgerPaths(ledger, inForce)),
    base: ledger.base,
    encoding,
    parent,
    inForce,
    passedNights: await passedNights(ledger),
    seed: Number.parseInt(sha256(`${ledger.base}:${night}`).slice(0, 8), 16),
    config: withoutSecrets(config),
    sampling,
    configHash: configHash(config),
    ...(review === undefined ? {} : { review }),
  } satisfies NightPlan);
}

async function ledgerPaths(ledger: Ledger, inForce: readonly NightId[]) {
  const { deltas } = await loadableVersion(ledger, inForce);
  return { ledgerFolder: ledger.folder.path, deltas };
}

/** YYYY-MM-DD where the person lives. */
export function localDay(at: number, timeZone: string): string {
  const zone = timeZone === '' ? {} : { timeZone };
  return new Intl.DateTimeFormat('sv-SE', { ...zone, dateStyle: 'short' }).format(at);
}

async function passedNights(ledger: Ledger): Promise<number[]> {
  return (await ledger.list()).filter((m) => m.gate?.passed === true).map((m) => m.number);
}

function withoutSecrets(config: Config): Config {
  return { ...config, server: { ...config.server, token: '' } };
}

/** What training can render of a conversation at all. */
function contextCharactersMax({ train }: Config): number {
  return (train.contextTokensMax + train.replyTokensMax) * CHARACTERS_PER_TOKEN_MAX;
}

async function writeGathered(folder: Folder, plan: NightPlan, parts: GatherParts): Promise<void> {
  const { store, config, clock } = parts;
  const journal = await openJournal(folder, clock);
  try {
    await journal.phase('gather', gatheredSchema, async () => {
      const conversations = await readConversations(store.conversations, config.chat);
      const standing = store.flags.list().filter((flag) => flag.withdrawnAt === null);
      const since = await lastNightAt(store.ledger, clock.now());
      const gathered = gather({
        flags: standing,
        conversations,
        ...config.flag,
        everydayMax: EVERYDAY_MAX,
        everydayCharactersMax: EVERYDAY_CHARACTERS_MAX,
        contextCharactersMax: contextCharactersMax(config),
        flaggedBytesMax: FLAGGED_BYTES_MAX,
        seed: plan.seed,
      });
      await writeGists(
        folder,
        await drawMemories(conversations, gathered, { ...parts, seed: plan.seed }),
      );
      await writeFlagged(folder, gathered.flagged);
      await writeScenarios(folder, 'everyday', gathered.everyday);
      return {
        flagged: gathered.flagged.length,
        heldBack: gathered.flagged.filter((moment) => moment.isHeldBack).length,
        everyday: gathered.everyday.length,
        replies: [...conversations.values()]
          .flatMap((conversation) => conversation.messages)
          .filter(({ role, at }) => role === 'assistant' && at > since).length,
        flagsNew: standing.filter((flag) => flag.createdAt > since && flag.kind === 'missed')
          .length,
      };
    });
  } finally {
    await journal.close();
  }
}

/** Rested conversations are compressed first; then memories are drawn for the undirected dreams. */
async function drawMemories(
  conversations: ReadonlyMap<string, Conversation>,
  { flagged }: Gathered,
  { store, config, surpriseOf, clock, seed }: GatherParts & { readonly seed: number },
): Promise<Remembered[]> {
  const { restMinutes } = config.memory;
  const { memory } = store;
  await rememberConversations(memory, conversations, {
    flagged,
    now: clock.now(),
    restMinutes,
    surpriseOf,
  });
  const { directedShare, salienceShare } = config.dream;
  const share = flagged.length === 0 ? 1 : 1 - directedShare;
  const count = Math.ceil(config.night.dreamsMax * share);
  const canLearn = (id: string): boolean => conversations.has(id);
  return memory.draw(count, createRandom(seed).split('memory'), { salienceShare, canLearn });
}

/** When the last night began, ms since 1970; 0 before the first. One in the future is passed over. */
async function lastNightAt(ledger: Ledger, now: number): Promise<number> {
  const begun = (await ledger.list()).map(({ startedAt }) => Date.parse(startedAt));
  return begun.findLast((at) => at <= now) ?? 0;
}

async function readConversations(
  store: ConversationStore,
  chat: Pick<Config['chat'], 'systemPrompt'>,
): Promise<Map<string, Conversation>> {
  const conversations = new Map<string, Conversation>();
  for (const id of store.ids()) {
    if (!store.has(id) || !store.summary(id).canLearn) continue;
    const state = await store.read(id).catch((error: unknown) => {
      // Deleted meanwhile.
      if (isAttuneError(error, 'conversation-not-found')) return undefined;
      throw error;
    });
    if (state !== undefined) conversations.set(id, conversationOf(state, chat));
  }
  return conversations;
}

/**
 * A conversation without replies that failed or stayed empty; replaced ones are apart.
 * @param chat what is served where the conversation has no system prompt of its own
 */
export function conversationOf(
  state: ConversationState,
  chat: Pick<Config['chat'], 'systemPrompt'>,
): Conversation {
  const messages: ConversationMessage[] = [];
  const replaced: Pick<ConversationMessage, 'id' | 'content'>[] = [];
  for (const { id, text, at, ...entry } of state.entries) {
    // Replies of before thoughts were kept apart, and of other programs, have them in their text.
    const content = text.includes(THOUGHT_END) && entry.type === 'reply' ? spoken(text) : text;
    if (entry.type === 'message') messages.push({ id, role: 'user', content, at });
    else if (entry.isSuperseded) replaced.push({ id, content });
    else if (content !== '') messages.push({ id, role: 'assistant', content, at });
  }
  const { systemPrompt = chat.systemPrompt, templateVariables: variables = {} } = state.settings;
  return {
    id: state.id,
    canLearn: state.canLearn,
    rendering: { at: state.createdAt, variables },
    systemPrompt,
    messages,
    replaced,
  };
}

// Conversations that rest are compressed to gists, and what has faded is forgotten.

/** How little the model expected the person's words, nats a token; undefined: not measured. */
export type SurpriseOf = (turns: readonly Turn[]) => Promise<number | undefined>;

export interface RememberOptions {
  readonly flagged: readonly FlaggedMoment[];
  /** Ms since 1970. */
  readonly now: number;
  /** A conversation rests after this long without a message. */
  readonly restMinutes: number;
  readonly surpriseOf: SurpriseOf;
}

/** Conversations whose surprise is measured in one night; the rest are remembered without. */
const MEASURED_MAX = 64;

/** Compresses every conversation that rests and has grown since; one in full swing waits. */
export async function rememberConversations(
  memory: Memory,
  conversations: ReadonlyMap<string, Conversation>,
  { flagged, now, restMinutes, surpriseOf }: RememberOptions,
): Promise<void> {
  const rested = [...conversations.values()].filter(({ id, messages }) => {
    const lastAt = messages.at(-1)?.at ?? 0;
    const isResting = lastAt <= now - restMinutes * 60_000 || lastAt > now;
    return messages.length > 0 && isResting && !memory.isKnown(id, messages.length);
  });
  const compressed: RestedConversation[] = [];
  for (const [index, { id, messages }] of rested.entries()) {
    const turns = messages.map(({ role, content }): Turn => ({ role, text: content }));
    const surprise = index < MEASURED_MAX ? await surpriseOf(turns) : undefined;
    compressed.push({
      conversationId: id,
      restedAt: Math.min(messages.at(-1)?.at ?? now, now),
      turns,
      flags: flagged
        .filter((moment) => moment.context.source.cluster === id)
        .map(({ kind, strength, isHeldBack }) => ({ kind, strength, isHeldBack })),
      ...(surprise === undefined ? {} : { surprise }),
    });
  }
  await memory.remember(compressed);
  await memory.forget();
}
