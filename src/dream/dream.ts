// A night's dreaming: what was flagged, in its shape, in other domains and further on in its own
// conversation.
import { at } from '../base/at.ts';
import { eachAtOnce } from '../base/each.ts';
import { isAttuneError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import type { Config } from '../config/schema.ts';
import { extractItems } from '../memory/extract.ts';
import type { Remembered } from '../memory/memory.ts';
import type { PromptFolder } from '../prompt/prompt.ts';
import { mentions } from '../scenario/exchange.ts';
import type { FlaggedMoment } from '../scenario/moment.ts';
import { featureText } from '../scenario/span.ts';
import { thingOf } from '../scenario/thing.ts';
import { contentWords } from '../scenario/words.ts';
import { type Draft, SEED_FEATURES, type SeedFeature, type Shape } from './draft.ts';
import {
  createMaterialWriter,
  type Draw,
  type Exchange,
  type MaterialWriter,
  type Piece,
} from './material.ts';
import {
  playOwn,
  playSet,
  readScenes,
  SET_SIZE,
  type Seed,
  type SetOptions,
  type Stage,
} from './set.ts';
import { createWriter, type WriterOptions, type WritingEnd } from './writer.ts';

/*
 * The words of this folder:
 *
 * seed       what a dream starts from: a flagged moment, or the gist of a conversation (`memory`)
 * shape      who proposed what in it, and how and how many turns ago the person directed
 * material   what the model writes of one domain: an opening, things to choose from, questions
 * aside      an exchange about something else
 * scene      a prompt of `prompts/dream`: lines of ours into which material is put
 * distance   asides between the direction and the last message
 * set        the dreams that are made of one material: lessons and holds
 * draft      a dream as it was written, before the night looks for its teacher
 */

export interface DreamOptions extends Omit<WriterOptions, 'temperature' | 'topP' | 'budget'> {
  readonly prompts: PromptFolder;
  readonly settings: Config['dream'];
  /** Held-back flags and good moments may be among them; they are left out here. */
  readonly flagged: readonly FlaggedMoment[];
  /** Drawn for this night, e.g. by `memory.draw`. */
  readonly gists: readonly Remembered[];
  readonly budget: WriterOptions['budget'] & { readonly dreamsMax: number };
  /** Split by what is drawn for: one flag less changes no dream of another. */
  readonly random: Random;
  readonly onProgress?: (written: number, planned: number) => void;
}

export interface Dreamt {
  readonly drafts: readonly Draft[];
  /** Sets that could not be written, by reason. */
  readonly failed: readonly { readonly id: string; readonly reason: string }[];
  /** Tokens that were generated. */
  readonly tokens: number;
  readonly stop: 'done' | WritingEnd;
}

const TOP_P = 0.95;
const FEELINGS = 6;
/** How often a line is tried again. */
const RETRIES = 3;
/** Openings of a set that are tried: most fail at their list of things. */
const OPENINGS = 4;
/** Dreams about a moment's own matter. */
const OWN = 2;
/** Longer ones are no lines of a scene. */
const OWN_CHARACTERS_MAX = 240;

/**
 * Writes dreams until all are written or a budget is used up. The same seeds, weights and random
 * stream give the same dreams.
 * @throws AttuneError engine-failed, prompt-invalid and the like
 */
export async function dream(options: DreamOptions): Promise<Dreamt> {
  const { settings, prompts, random } = options;
  const writer = createWriter({ ...options, temperature: settings.temperature, topP: TOP_P });
  const material = createMaterialWriter({ writer, prompts, retries: RETRIES });
  // What a lane has read is read once: all sheets begin with the same examples.
  const lanes = Array.from({ length: settings.batchSize }, (_, at) => `dream-${at}`);
  const pool = async <A, T>(sort: string, list: readonly A[], write: Write<A, T>): Promise<T[]> => {
    const all = await eachAtOnce(list, lanes.length, (one, index, lane) =>
      write({ random: random.split(`${sort}-${index}`), key: at(lanes, lane) }, one),
    );
    return all.filter((one) => one !== undefined);
  };
  const feelings = Array.from({ length: Math.min(FEELINGS, options.budget.dreamsMax) });
  const stage: Stage = {
    scenes: readScenes(prompts),
    // The night's; each dream takes those that touch nothing of it.
    asides: unlike(await pool('aside', material.asideStarts, material.aside)),
    feelings: await pool('feeling', feelings, material.feeling),
  };
  const flags = flagsOf(options);
  const failed: { id: string; reason: string }[] = [];
  const own = await pool('own', flags, async (draw, { flag, seed }) => {
    const id = `dream-u-${seed.id}`;
    const set = { id, seed, number: 0, random: random.split(`own:${seed.id}`) };
    const matter = matterOf(flag);
    if (matter === undefined) return [];
    const { opening, thing, question } = matter;
    const [other] = await material.others({ ...draw, random: set.random }, opening, thing);
    const piece = (text: string): Piece => ({ text, given: '' });
    if (other === undefined) {
      if (writer.end === undefined) failed.push({ id, reason: 'nothing else of its sort' });
      return [];
    }
    const own = {
      ...{ opening: piece(opening), choice: piece('which one to take') },
      ...{ things: [thing, other], questions: [piece(question)] },
    };
    return playOwn(own, set, stage);
  });
  const sets = planSets(
    options,
    flags.map(({ seed }) => seed),
  );
  let done = 0;
  const written = await eachAtOnce(sets, lanes.length, async (set, _, lane): Promise<Draft[]> => {
    if (writer.end !== undefined) return [];
    const found = await write(material, set, at(lanes, lane));
    options.onProgress?.(++done, sets.length);
    if (typeof found !== 'string') return playSet(found, set, stage);
    // What a budget cut off has failed in nothing.
    if (writer.end === undefined) failed.push({ id: set.id, reason: found });
    return [];
  });
  for (const lane of lanes) await writer.forget(lane);
  const drafts = [...own.flat(), ...written.flat()].slice(0, options.budget.dreamsMax);
  return { drafts, failed, tokens: writer.tokens, stop: writer.end ?? 'done' };
}

/** One of each that are said in the same words. */
const unlike = (asides: readonly Exchange[]): Exchange[] => [
  ...new Map(asides.map((one) => [one[0].text, one])).values(),
];

type Write<A, T> = (draw: Draw, one: A) => Promise<T | undefined>;

/** Tries several openings. One whose sheet does not fit the window is passed over. */
async function write(material: MaterialWriter, { random, seed }: SetOptions, key: string) {
  const isTechnical = seed.features.includes('technical');
  let why = '';
  for (let opening = 0; opening < OPENINGS; opening++) {
    try {
      const found = await material.domain({ random: random.split(opening), key }, isTechnical);
      if (typeof found !== 'string') return found;
      why = found;
    } catch (error) {
      if (!isAttuneError(error, 'window-overflow')) throw error;
      why = 'it grew too long';
    }
  }
  return why;
}

interface Matter {
  readonly opening: string;
  readonly thing: string;
  readonly question: string;
}

/** How the person began, what they decided for and asked then; undefined: no scene can be made of it. */
function matterOf({ context }: FlaggedMoment): Matter | undefined {
  const said = context.messages.filter(({ role }) => role === 'user').map(({ content }) => content);
  const [opening = '', question = ''] = [said[0], said.at(-1)];
  const thing = thingOf(context);
  const isPlain = (text: string): boolean =>
    text.length <= OWN_CHARACTERS_MAX && thing !== undefined && !mentions(text, thing);
  return thing !== undefined && [opening, question].every(isPlain)
    ? { opening, thing, question }
    : undefined;
}

interface SeedFlag {
  readonly flag: FlaggedMoment;
  readonly seed: Seed;
}

/** Missed moments that may train, the strong ones first. */
function flagsOf({ flagged }: DreamOptions): SeedFlag[] {
  return flagged
    .filter((flag) => !flag.isHeldBack && flag.kind === 'missed')
    .sort((a, b) => b.strength - a.strength)
    .map((flag) => {
      const { flagId: id, context } = flag;
      const moment = { shape: shapeOf(flag), features: featuresOf(flag) };
      return { flag, seed: { origin: 'flag', id, cluster: context.source.cluster, ...moment } };
    });
}

/** A conversation that nobody marked has no shape of its own: one is drawn. */
function seedOfGist({ gist }: Remembered, random: Random): Seed {
  const own = random.split(`gist:${gist.id}`);
  const shape: Shape = {
    idea: own.pick(['once', 'pushed', 'after']),
    form: own.pick(['refusal', 'choice']),
    turnsAgo: own.pick([1, 2, 3, 5, 9]),
  };
  const isFelt = gist.items.some(({ kind }) => kind === 'feeling');
  const features: SeedFeature[] = isFelt ? ['emotion'] : [];
  return { origin: 'memory', id: gist.id, cluster: gist.conversationId, shape, features };
}

/** Sets in an order that may stop anywhere: each seed has its first before any has its second. */
function planSets(options: DreamOptions, flags: readonly Seed[]): SetOptions[] {
  const { settings, gists, budget, random } = options;
  const sets = Math.ceil(Math.max(0, budget.dreamsMax - OWN * flags.length) / SET_SIZE);
  const share = flags.length === 0 ? 0 : gists.length === 0 ? 1 : settings.directedShare;
  const perFlag = Math.ceil(settings.dreamsPerFlag / SET_SIZE);
  const directed = Math.min(flags.length * perFlag, Math.round(sets * share));
  // Few flags give few dreams, and memories keep their share beside them.
  const beside = share === 0 ? sets : Math.round((directed * (1 - share)) / share);
  const undirected = gists.length === 0 ? 0 : Math.min(sets - directed, beside);
  const deal = (seeds: readonly Seed[], count: number): SetOptions[] =>
    Array.from({ length: count }, (_, at) => {
      const seed = seeds[at % seeds.length] as Seed;
      const number = Math.floor(at / seeds.length);
      const id = `dream-${seed.origin === 'flag' ? 'f' : 'm'}-${seed.id}-${number}`;
      return { id, seed, number, random: random.split(`${seed.origin}:${seed.id}`).split(number) };
    });
  const memories = gists.map((one) => seedOfGist(one, random));
  return [...deal(flags, directed), ...deal(memories, undirected)];
}

// The shape of a flagged moment: who proposed what, and how and when the person directed. No words.

const REFUSAL = /\b(?:no|not|don't|do not|never|stop|without|instead|rather than|nothing)\b/i;
const TECHNICAL =
  /`|[a-z]\(\)|\b\w+\.(?:js|ts|py|json|md|txt|csv)\b|\b(?:code|function|script|server|database|software|program|install|compile|api|query|bug|laptop|router|config\w*)\b/i;
/** Number of exchanges before the direction from which a conversation has momentum. */
const MOMENTUM_TURNS = 3;

const wordsOf = (texts: readonly string[]): Set<string> =>
  new Set(contentWords(texts.join(' ')).map(({ text }) => text));

/** Where nothing is marked as the direction, it is the last message. */
const directionAt = ({ messages, spans }: FlaggedMoment['context']): number =>
  spans.findLast(({ feature }) => feature === 'direction')?.message ?? messages.length - 1;

export function shapeOf({ context, rejected }: FlaggedMoment): Shape {
  const { messages } = context;
  const at = directionAt(context);
  const marked = featureText(context, 'direction').join(' ');
  const direction = marked === '' ? (messages[at]?.content ?? '') : marked;
  return {
    idea: ideaOf(context, at, rejected),
    form: REFUSAL.test(direction.replaceAll('’', "'")) ? 'refusal' : 'choice',
    turnsAgo: messages.slice(at + 1).filter(({ role }) => role === 'user').length,
  };
}

/** By the words that the ignoring reply took from the model's own turns, not from the person's. */
function ideaOf(
  { messages, spans }: FlaggedMoment['context'],
  direction: number,
  rejected = '',
): Shape['idea'] {
  const marked = featureText({ messages, spans }, 'own-idea');
  const said = messages.filter(({ role }) => role === 'user').map(({ content }) => content);
  const persons = wordsOf(said);
  const drifted = [...wordsOf(marked.length > 0 ? marked : [rejected])];
  const idea = new Set(drifted.filter((word) => !persons.has(word)));
  const puts = messages.flatMap(({ role, content }, at) => {
    const own = role === 'assistant' ? [...wordsOf([content])] : [];
    return own.some((word) => idea.has(word)) ? [at] : [];
  });
  if (puts.some((at) => at > direction)) return 'after';
  return puts.length === 0 ? 'none' : puts.length === 1 ? 'once' : 'pushed';
}

/** Those that the moment has. */
export function featuresOf({ context }: FlaggedMoment): SeedFeature[] {
  const { messages } = context;
  const said = messages.filter(({ role }) => role === 'user').map(({ content }) => content);
  const before = messages.slice(0, directionAt(context)).filter(({ role }) => role === 'assistant');
  const isFelt = said.some((text) =>
    extractItems({ role: 'user', text }).some(({ kind }) => kind === 'feeling'),
  );
  const has: Record<SeedFeature, boolean> = {
    technical: said.some((text) => TECHNICAL.test(text)),
    emotion: isFelt,
    momentum: before.length >= MOMENTUM_TURNS,
  };
  return SEED_FEATURES.filter((feature) => has[feature]);
}
