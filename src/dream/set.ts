// The dreams of one material: scenes, played as lessons in the shape of a moment and as holds that
// look like them.
import { z } from 'zod';
import type { Random } from '../base/random.ts';
import { frontOf, type Prompt, type PromptFolder } from '../prompt/prompt.ts';
import { KINDS } from '../scenario/kind.ts';
import { FEATURES, type Feature, type Span } from '../scenario/span.ts';
import { contentWords } from '../scenario/words.ts';
import type { Draft, SeedFeature, Shape } from './draft.ts';
import { type Exchange, type Material, type Piece, sharesWord } from './material.ts';
import type { Message } from './writer.ts';

export interface Seed {
  readonly origin: 'flag' | 'memory';
  readonly id: string;
  readonly cluster: string;
  readonly shape: Shape;
  readonly features: readonly SeedFeature[];
}

/** What all sets of a night are made with. */
export interface Stage {
  readonly scenes: Readonly<Record<(typeof SCENES)[number], Scene>>;
  readonly asides: readonly Exchange[];
  readonly feelings: readonly Piece[];
}

const SCENES = ['listen', 'accepted', 'push-back', 'invite', 'undercurrent'] as const;

/** @throws prompt-invalid */
export function readScenes(prompts: PromptFolder): Stage['scenes'] {
  const scenes = SCENES.map((name) => [name, readScene(prompts, name)]);
  return Object.fromEntries(scenes) as Stage['scenes'];
}

/** Asides between the direction and the last message: attention must last. */
const DISTANCES = [0, 1, 2, 4] as const;
const DISTANCE_MAX = 4;
/** Pairs of lessons; every second one has the distance of its moment. */
const LESSON_PAIRS = 4;
const HOLD_DISTANCES = [0, 0, 1, 2] as const;
/** Dreams of one set. */
export const SET_SIZE = 2 * LESSON_PAIRS + 4;
const CASUAL_SHARE = 0.25;
const MOMENTUM_ASIDES = 2;
/** A dream of which less is the model's own is refused. */
const SAMPLED_SHARE_MIN = 0.5;

const sampled = (text: string): Piece => ({ text, given: '' });

export interface SetOptions {
  readonly id: string;
  readonly seed: Seed;
  readonly random: Random;
  /** Which of its seed: invitations and feelings take turns. */
  readonly number: number;
}

/** All dreams that are made of one material. */
export function playSet(material: Material, options: SetOptions, stage: Stage): Draft[] {
  const { id, random, number } = options;
  const lessons = Array.from({ length: LESSON_PAIRS }, (_, at) =>
    playLessons(material, { ...options, id: `${id}-${at}`, random: random.split(at) }, stage, at),
  ).flat();
  const hold = (name: string): SetOptions => {
    return { ...options, id: `${id}-${name}`, random: random.split(name) };
  };
  const felt = number % 2 === 1 && stage.feelings.length > 0;
  return [
    ...lessons,
    playHold('accepted', material, hold('accepted'), stage),
    ...playPair(material, hold('push-back'), stage),
    playHold(felt ? 'undercurrent' : 'invite', material, hold('other'), stage),
  ];
}

/** Which pair of a set's lessons is about a decision that the person changed: the last one counts. */
const CHANGED_PAIR = 2;

/** Both sides of a pair: in the second one the two things are exchanged throughout. */
function playLessons(material: Material, set: SetOptions, stage: Stage, at: number): Draft[] {
  const { random, seed } = set;
  const { turnsAgo } = seed.shape;
  const isChanged = at === CHANGED_PAIR;
  const form = isChanged ? 'changed' : seed.shape.form;
  // What was chosen is told from what competes with it: every second pair has an idea.
  const shaped = seed.shape.idea === 'none' && at % 2 === 1 ? 'once' : seed.shape.idea;
  const idea = isChanged ? 'none' : shaped;
  const own = Math.min(DISTANCE_MAX, Math.max(0, turnsAgo - 1));
  const distance = at % 2 === 0 ? own : random.pick(DISTANCES);
  const isApart = at % 2 === 1 || turnsAgo > 0;
  const features = seed.features.filter((one) => one !== 'emotion' || stage.feelings.length > 0);
  const tags = [idea, form, ...features, ...(isApart ? ['apart', `apart-${idea}`] : [])];
  return (['a', 'b'] as const).map((side) => {
    const draft = played('listen', material, { ...set, tags, distance, side }, stage);
    const { id } = set;
    return { ...draft, id: side === 'a' ? id : `${id}-twin`, pair: { id, side } };
  });
}

function playHold(
  name: 'accepted' | 'invite' | 'undercurrent',
  material: Material,
  set: SetOptions,
  stage: Stage,
): Draft {
  const distance = set.random.pick(HOLD_DISTANCES);
  return played(name, material, { ...set, tags: [], distance }, stage);
}

/** The same direction after a warning against it, and after one against something else. */
function playPair(material: Material, set: SetOptions, stage: Stage): Draft[] {
  const { id, random } = set;
  const distance = random.pick(HOLD_DISTANCES);
  return (['a', 'b'] as const).map((side) => {
    const tags = [side === 'a' ? 'harmful' : 'harmless'];
    const draft = played('push-back', material, { ...set, tags, distance }, stage);
    const isTwin = side === 'b' && draft.kind === 'push-back';
    return {
      ...draft,
      id: side === 'a' ? id : `${id}-twin`,
      kind: isTwin ? 'listen' : draft.kind,
      pair: { id, side },
    };
  });
}

interface Scripted extends SetOptions {
  readonly tags: readonly string[];
  readonly distance: number;
  /** Of a pair of lessons; the first by default. */
  readonly side?: 'a' | 'b';
}

/** One scene with two things of the material; the same stream of draws gives the same wordings. */
function played(
  name: keyof Stage['scenes'],
  { opening, choice, things, questions }: Material,
  { id, seed, random, tags, distance, side }: Scripted,
  { scenes, asides, feelings }: Stage,
): Draft {
  const draws = random.split('cast');
  const two = draws.shuffle(things).slice(0, 2);
  const [thing = '', other = ''] = side === 'b' ? two.reverse() : two;
  const matter = [opening.text, choice.text, ...things].join(' ');
  const quiet = draws.shuffle(quietAbout(matter, asides));
  const feeling = feelings.length === 0 ? {} : { feeling: draws.pick(feelings) };
  const isCasual = draws.uniform() < CASUAL_SHARE;
  const scene = scenes[name];
  const cast = {
    slots: {
      opening,
      choice,
      question: draws.pick(questions),
      thing: sampled(thing),
      other: sampled(other),
      warned: sampled(tags.includes('harmless') ? other : thing),
      ...feeling,
    },
    // What stands before the direction is taken from the end.
    asides: quiet.slice(0, distance),
    before: quiet.slice(-MOMENTUM_ASIDES),
    tags: new Set(tags),
    random: draws.split('wording'),
  };
  const one = playScene(scene, cast);
  return {
    ...draftOf(one, scene, seed),
    id,
    angle: { domain: choice.text, distance },
    messages: isCasual ? one.messages.map(casual) : one.messages,
    ...(side === undefined ? {} : { facts: { needs: [[thing]] } }),
    ...(quiet.length < distance ? { problem: 'too few asides' } : {}),
  };
}

/** Asides that name nothing of the matter. */
const quietAbout = (matter: string, asides: readonly Exchange[]): Exchange[] =>
  asides.filter((exchange) => !exchange.some(({ text }) => sharesWord(matter, text)));

function draftOf(
  { messages, spans, sampledShare }: Played,
  { kind, role, prompt: { name, hash } }: Scene,
  { origin, id, cluster }: Seed,
): Omit<Draft, 'id' | 'angle'> {
  return {
    role,
    kind,
    messages,
    spans,
    seed: { origin, id, cluster },
    prompt: { name, hash },
    sampledShare,
    ...(sampledShare < SAMPLED_SHARE_MIN
      ? { problem: 'less than half of its words are the model’s own' }
      : {}),
  };
}

/** Spans stay where they are: only the case of the first letter changes. */
function casual<M extends Played['messages'][number]>(message: M): M {
  const { role, content } = message;
  const isSpoken = role === 'user' && /^\p{Lu}\p{Ll}/u.test(content);
  return isSpoken
    ? { ...message, content: content.charAt(0).toLowerCase() + content.slice(1) }
    : message;
}

/**
 * The person's own matter again, as a pair of lessons: what they decided for and something else of
 * its sort, asked with their own words, in another shape and further on.
 */
export function playOwn(material: Material, set: SetOptions, stage: Stage): Draft[] {
  return playLessons(material, set, stage, 1);
}

// Plays a scene from the lines of a prompt: wordings of ours, with what the model wrote in between.

/** `[tags] role feature: wording || wording`; one of the tags must hold. `...` are asides. */
const LINE = /^(?:\[([a-z -]+)\] )?(?:(user|assistant)(?: ([a-z-]+))?: (.+)|\.\.\.)$/;
const SLOT = /\{([a-z]+)\}/g;

const frontSchema = z.strictObject({ kind: z.enum(KINDS), role: z.enum(['lesson', 'hold']) });

interface Line {
  readonly tags: readonly string[];
  readonly said?: {
    readonly role: 'user' | 'assistant';
    readonly feature?: Feature;
    readonly wordings: readonly string[];
  };
}

interface Scene extends z.infer<typeof frontSchema> {
  readonly prompt: Prompt;
  readonly lines: readonly Line[];
}

/** @throws prompt-invalid from its front matter; Error for a line in no form */
function readScene(prompts: PromptFolder, name: string): Scene {
  const prompt = prompts.get(`dream/${name}`);
  const rows = prompt.fill({}).split('\n').filter(Boolean);
  return { ...frontOf(prompt, frontSchema), prompt, lines: rows.map(readLine) };
}

function readLine(row: string): Line {
  const [whole, tags = '', role, feature, wordings = ''] = LINE.exec(row) ?? [];
  const isFeature = feature === undefined || FEATURES.includes(feature as Feature);
  if (whole === undefined || !isFeature) throw new Error(`dream: a line has no known form: ${row}`);
  return {
    tags: tags.split(' ').filter(Boolean),
    ...(role !== undefined && {
      said: {
        role: role as 'user' | 'assistant',
        ...(feature !== undefined && { feature: feature as Feature }),
        wordings: wordings.split(' || '),
      },
    }),
  };
}

interface Played {
  readonly messages: Message[];
  readonly spans: Span[];
  /** Share of the content words that the model sampled. */
  readonly sampledShare: number;
}

interface Cast {
  /** What the model wrote, by slot. */
  readonly slots: Readonly<Record<string, Piece>>;
  /** What stands at `...`. */
  readonly asides: readonly Exchange[];
  /** What stands at `...` before the direction. */
  readonly before: readonly Exchange[];
  /** What holds of the moment and of this side of a pair. */
  readonly tags: ReadonlySet<string>;
  /** The same draws give both sides of a pair the same wordings. */
  readonly random: Random;
}

function playScene({ lines }: Scene, cast: Cast): Played {
  const messages: Message[] = [];
  const spans: Span[] = [];
  // Words that nobody sampled.
  let ours = '';
  const say = (role: 'user' | 'assistant', text: string, feature?: Feature): void => {
    const last = messages.at(-1);
    const before = last?.role === role ? `${last.content} ` : '';
    if (last?.role === role) messages.pop();
    const content = before + text;
    if (feature !== undefined) {
      spans.push({ feature, message: messages.length, start: before.length, end: content.length });
    }
    messages.push({ role, content });
  };
  for (const [at, { tags, said }] of lines.entries()) {
    if (tags.length > 0 && !tags.some((tag) => cast.tags.has(tag))) continue;
    if (said === undefined) {
      const isBefore = tags.includes('momentum');
      for (const exchange of isBefore ? cast.before : cast.asides) {
        for (const [side, piece] of exchange.entries()) {
          ours += ` ${piece.given}`;
          say(side === 0 ? 'user' : 'assistant', piece.text);
        }
      }
      continue;
    }
    const wording =
      said.wordings[Math.floor(cast.random.uniformAt(at) * said.wordings.length)] ?? '';
    ours += ` ${wording.replace(SLOT, (_, name: string) => slotOf(cast, name).given)}`;
    const filled = wording.replace(SLOT, (_, name: string) => slotOf(cast, name).text);
    say(said.role, withCapitals(filled), said.feature);
  }
  const total = contentWords(messages.map(({ content }) => content).join(' ')).length;
  const own = total - contentWords(ours).length;
  return { messages, spans, sampledShare: total === 0 ? 0 : Math.max(0, own / total) };
}

function slotOf({ slots }: Cast, name: string): Piece {
  const piece = slots[name];
  if (piece === undefined) throw new Error(`dream: no value for {${name}}`);
  return piece;
}

/** What was filled in may begin a sentence. */
function withCapitals(text: string): string {
  return text.replace(/(?:^|[.!?] )\p{Ll}/gu, (start) => start.toUpperCase());
}
