// The dreams of one material: lessons in the shape of a moment, and holds that look like them.

import type { Random } from '../base/random.ts';
import type { PromptFolder } from '../prompt/prompt.ts';
import type { FlaggedMoment } from '../scenario/moment.ts';
import type { Draft, SeedFeature, Shape } from './draft.ts';
import { type Exchange, type Material, type Piece, sharesWord } from './material.ts';
import { type Played, playScene, readScene, type Scene } from './scene.ts';

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

const SCENES = ['listen', 'accepted', 'push-back', 'invite', 'undercurrent', 'unfold'] as const;

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

/** Both sides of a pair: in the second one the two things are exchanged throughout. */
function playLessons(material: Material, set: SetOptions, stage: Stage, at: number): Draft[] {
  const { random, seed } = set;
  const { idea, form, turnsAgo } = seed.shape;
  const own = Math.min(DISTANCE_MAX, Math.max(0, turnsAgo - 1));
  const distance = at % 2 === 0 ? own : random.pick(DISTANCES);
  const isApart = at % 2 === 1 || turnsAgo > 0;
  const features = seed.features.filter((one) => one !== 'emotion' || stage.feelings.length > 0);
  const tags = [idea, form, ...features, ...(isApart ? ['apart', `apart-${idea}`] : [])];
  return (['a', 'b'] as const).map((side) => {
    const draft = played('listen', material, { ...set, tags, distance, features, side }, stage);
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
  return played(name, material, { ...set, tags: [], distance, features: [] }, stage);
}

/** The same direction after a warning against it, and after one against something else. */
function playPair(material: Material, set: SetOptions, stage: Stage): Draft[] {
  const { id, random } = set;
  const distance = random.pick(HOLD_DISTANCES);
  return (['a', 'b'] as const).map((side) => {
    const tags = [side === 'a' ? 'harmful' : 'harmless'];
    const draft = played('push-back', material, { ...set, tags, distance, features: [] }, stage);
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
  readonly features: readonly SeedFeature[];
  /** Of a pair of lessons; the first by default. */
  readonly side?: 'a' | 'b';
}

/** One scene with two things of the material; the same stream of draws gives the same wordings. */
function played(
  name: keyof Stage['scenes'],
  { opening, choice, things, questions }: Material,
  { id, seed, random, tags, distance, features, side }: Scripted,
  { scenes, asides, feelings }: Stage,
): Draft {
  const draws = random.split('cast');
  const two = draws.shuffle(things).slice(0, 2);
  const [thing = '', other = ''] = side === 'b' ? two.reverse() : two;
  const matter = [opening.text, choice.text, ...things].join(' ');
  const quiet = draws.shuffle(quietAbout(matter, asides));
  const feeling = feelings.length === 0 ? {} : { feeling: draws.pick(feelings) };
  const tone = draws.uniform() < CASUAL_SHARE ? 'casual' : 'plain';
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
    angle: { domain: choice.text, distance, tone },
    messages: tone === 'casual' ? one.messages.map(casual) : one.messages,
    features: [...features],
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
  { origin, id, cluster, shape }: Seed,
): Omit<Draft, 'id' | 'angle'> {
  return {
    role,
    kind,
    messages,
    spans,
    seed: { origin, id, cluster },
    isDirected: origin === 'flag',
    shape,
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
 * A moment further on in its own conversation: exchanges about something else between its direction
 * and its last message; where that directs itself, a last message that asks to go on.
 */
export function unfold(
  { context }: FlaggedMoment,
  { id, seed, random }: SetOptions,
  { scenes, asides }: Pick<Stage, 'scenes' | 'asides'>,
): Draft {
  const distance = random.pick(DISTANCES.slice(1));
  const matter = context.messages.map(({ content }) => content).join(' ');
  const later = random.shuffle(quietAbout(matter, asides)).slice(0, distance);
  const isNow = seed.shape.turnsAgo === 0;
  const scene = scenes.unfold;
  const cast = {
    slots: {},
    asides: later,
    before: [],
    tags: new Set(isNow ? ['now'] : []),
    random,
  };
  const more = playScene(scene, cast);
  const { messages, spans } = context;
  const at = isNow ? messages.length : messages.length - 1;
  const whole = [...messages.slice(0, at), ...more.messages, ...messages.slice(at)];
  const moved = spans.map((span) => {
    return span.message < at ? span : { ...span, message: span.message + more.messages.length };
  });
  return {
    ...draftOf({ ...more, messages: whole, spans: moved }, scene, seed),
    id,
    angle: { domain: context.source.domain, distance: later.length, tone: 'plain' },
    features: [...seed.features],
    ...(later.length === 0 ? { problem: 'too few asides' } : {}),
  };
}
