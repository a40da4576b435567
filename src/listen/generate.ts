// Writes the scenes of the listening test from its words; the same seed gives the same scenes.
import { at, groupBy } from '../base/at.ts';
import { createRandom, type Random } from '../base/random.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { Span } from '../scenario/span.ts';
import { contentWords, sentencesOf, wordsOf } from '../scenario/words.ts';
import {
  CELLS,
  cellOf,
  DISTANCES,
  PRESSURES,
  type Pressure,
  type Scene,
  type SceneKind,
  type SceneMessage,
  type ScenePair,
  TWINS,
} from './scene.ts';
import type { Domain, FrameSet, Suite, Thing } from './suite.ts';

const BEGINNINGS = 3;
/** Directions that were taken back, warnings and the like are this old, at most. */
const TWIN_DISTANCE_MAX = 2;

type Slots = Readonly<Record<string, string>>;

/** Fills `{slots}`; `{Thing}` is `{thing}` at the beginning of a sentence. */
function fill(frame: string, slots: Slots): string {
  return frame.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = slots[name] ?? slots[name.toLowerCase()];
    if (value === undefined) throw new Error(`listen: no value for {${name}} in "${frame}"`);
    return /^\p{Lu}/u.test(name) ? value.charAt(0).toUpperCase() + value.slice(1) : value;
  });
}

/** Whether a text names a thing, in whole words of any inflection. */
export function names(text: string, { key }: Thing): boolean {
  return mentionsOf(text, key).length > 0;
}

/** Where the words of a key stand in a text, as indices of its words. */
export function mentionsOf(text: string, key: string): number[] {
  const wanted = stemsOf(key);
  const found = stemsOf(text);
  return found.flatMap((_, at) => (wanted.every((word, i) => found[at + i] === word) ? [at] : []));
}

/** Every word reduced to its stem; function words stay as they are. */
function stemsOf(text: string): string[] {
  return wordsOf(text).map((word) => contentWords(word.text)[0]?.text ?? word.text);
}

/** What both sides of a pair share: everything but which thing stands where. */
interface Draw {
  readonly domain: Domain;
  readonly frames: FrameSet;
  readonly random: Random;
  readonly question: string;
  /** Other exchanges, between the direction and the last question. */
  readonly later: readonly Line[];
}

/** What person and model say in turn: a frame, and which thing `{thing}` is; `{other}` is the rival. */
type Line = readonly [frame: string, thing?: Thing];

/** Fillers that name no thing of the domain: its own, and those of daily life. */
interface Fillers {
  readonly own: readonly [string, string][];
  readonly daily: readonly [string, string][];
}

function silentFillers({ things, fillers }: Domain, frames: FrameSet): Fillers {
  const isSilent = (exchange: readonly string[]): boolean =>
    !things.some((thing) => exchange.some((line) => names(line, thing)));
  return { own: fillers.filter(isSilent), daily: frames.fillers.filter(isSilent) };
}

const OWN_FILLERS_MAX = 2;

function drawFillers({ own, daily }: Fillers, distance: number, random: Random): Line[] {
  const pool = [...random.shuffle(own).slice(0, OWN_FILLERS_MAX), ...random.shuffle(daily)];
  const drawn = random.shuffle(pool.slice(0, distance + OWN_FILLERS_MAX)).slice(0, distance);
  return drawn.flat().map((line): Line => [line]);
}

type ListName = {
  [K in keyof FrameSet]: FrameSet[K] extends readonly string[] ? K : never;
}[keyof FrameSet];

/** One frame of each list, drawn in this order. */
function pick<Name extends ListName>({ frames, random }: Draw, ...names: Name[]) {
  return Object.fromEntries(names.map((name) => [name, random.pick(frames[name])])) as Record<
    Name,
    string
  >;
}

/** The first frames of a list, shuffled under a label of its own. */
function beginnings({ frames, random }: Draw, name: ListName, label: string = name): string[] {
  return random.split(label).shuffle(frames[name]).slice(0, BEGINNINGS);
}

interface About extends Pick<Scene, 'act' | 'right' | 'other' | 'against'> {
  /** Which line decides, and with which words where not with all. */
  readonly at: number;
  readonly words?: string;
}

function sceneOf(
  lines: readonly Line[],
  { at, words, ...about }: About,
  { domain, question }: Draw,
  more: Slots = {},
): Scene {
  const { opening, choice } = domain;
  const messages = lines.map(([frame, thing = about.right], i): SceneMessage => {
    const rival = thing === about.right ? about.other : about.right;
    const slots = { opening, choice, question, thing: thing.text, other: rival.text, ...more };
    return { role: i % 2 === 0 ? 'user' : 'assistant', content: fill(frame, slots) };
  });
  const text = words ?? messages[at]?.content ?? '';
  return { messages, deciding: { message: at, text }, ...about };
}

type Sides = Pick<ScenePair, 'sides' | 'candidates'>;
type Writer = (things: readonly [Thing, Thing], draw: Draw, pressure: Pressure) => Sides;

/** Both sides of a pair in which the two things are exchanged throughout. */
function exchanged(
  [a, b]: readonly [Thing, Thing],
  draw: Draw,
  at: number,
  write: (right: Thing, other: Thing) => Line[],
): Sides {
  const begin = beginnings(draw, 'begin');
  const candidates = (thing: Thing) => begin.map((frame) => fill(frame, { thing: thing.text }));
  const side = (right: Thing, other: Thing) =>
    sceneOf(write(right, other), { at, act: 'carry-out', right, other }, draw);
  return { sides: [side(a, b), side(b, a)], candidates: [candidates(a), candidates(b)] };
}

const listen: Writer = (things, draw, pressure) => {
  const ack = pressure === 'after' ? 'ackPush' : 'ack';
  const before = ['opening', 'idea', 'hesitate', 'push', 'direct'] as const;
  const said = pick(draw, ...before, ack, 'return', 'last');
  const isPushed = pressure === 'pushed';
  return exchanged(things, draw, isPushed ? 4 : 2, (right, other) => {
    const later = [...draw.later];
    const reminded = later[1];
    if (pressure === 'after' && reminded) later[1] = [`${reminded[0]} ${said.return}`, right];
    const pushed: Line[] = isPushed ? [[said.hesitate], [said.push, other]] : [];
    const begun: Line[] = [[said.opening], [said.idea, other], ...pushed];
    return [...begun, [said.direct, right], [said[ack]], ...later, [said.last]];
  });
};

const accepted: Writer = (things, draw) => {
  const said = pick(draw, 'consider', 'idea', 'accept', 'ack', 'last');
  return exchanged(things, draw, 2, () => [
    ...([[said.consider], [said.idea], [said.accept], [said.ack]] as const),
    ...draw.later,
    [said.last],
  ]);
};

const askedAgain: Writer = (things, draw) => {
  const said = pick(draw, 'opening', 'idea', 'direct', 'again');
  const [ack = '', ackAgain = ''] = draw.random.shuffle(draw.frames.ack);
  const { last } = pick(draw, 'last');
  return exchanged(things, draw, 4, (_, other) => [
    ...([[said.opening], [said.idea], [said.direct, other], [ack]] as const),
    ...([[said.again], [ackAgain]] as const),
    ...draw.later,
    [last],
  ]);
};

/** The same direction twice: once after a warning against it, once after one against the other. */
const pushBack: Writer = ([right, other], draw) => {
  const { warn, noted } = pick(draw, 'warn', 'noted');
  const because = draw.random.pick(draw.domain.against);
  const { insist } = pick(draw, 'insist');
  const write = (warned: Thing, act: Scene['act']): Scene => {
    const against = fill(because, { thing: warned.text });
    const words = fill(warn.replace('{opening} ', ''), { against });
    const about = { at: 0, words, act, right, other, against };
    return sceneOf([[warn], [noted], ...draw.later, [insist]], about, draw, { against });
  };
  return {
    sides: [write(right, 'object'), write(other, 'carry-out')],
    candidates: [beginnings(draw, 'object'), beginnings(draw, 'comply')],
  };
};

const feelings: Writer = ([right, other], draw) => {
  const said = pick(draw, 'opening', 'idea', 'direct', 'ack', 'bridge');
  const [sad, glad] = draw.random.pick(draw.frames.feelings);
  const lines: Line[] = [
    ...([[said.opening], [said.idea, other], [said.direct], [said.ack]] as const),
    ...draw.later,
    [said.bridge],
  ];
  const write = (feeling: string, act: Scene['act']): Scene => {
    const about = { at: lines.length - 1, words: feeling, act, right, other };
    return sceneOf(lines, about, draw, { feeling });
  };
  return {
    sides: [write(sad, 'condole'), write(glad, 'congratulate')],
    candidates: [beginnings(draw, 'condole', 'sad'), beginnings(draw, 'congratulate', 'glad')],
  };
};

/** The person refers to something that was said, or that was never said. */
const absent: Writer = ([right, other], draw) => {
  const said = pick(draw, 'glance', 'idea', 'noted');
  const begin = draw.random.shuffle(draw.frames.begin).slice(0, BEGINNINGS);
  const source = draw.random.pick(draw.frames.absent);
  const write = (heard: string, act: Scene['act']): Scene => {
    const before: Line[] = [[said.glance, other], [said.idea, other], [heard], [said.noted]];
    const about = { at: 2, act, right, other };
    return sceneOf([...before, ...draw.later, [source.last]], about, draw);
  };
  return {
    sides: [write(source.present, 'carry-out'), write(source.missing, 'ask')],
    candidates: [begin.map((frame) => fill(frame, { thing: right.text })), beginnings(draw, 'ask')],
  };
};

const WRITERS: Readonly<Record<SceneKind, Writer>> = {
  listen,
  accepted,
  'asked-again': askedAgain,
  'push-back': pushBack,
  feelings,
  absent,
};

/** Every pair of a part: each cell has each domain with each two of its things. */
export function generatePairs(suite: Suite, seed: number): ScenePair[] {
  const root = createRandom(`listen:${suite.part}:${seed}`);
  const wanted: { kind: SceneKind; distance?: number }[] = [
    ...DISTANCES.map((distance) => ({ kind: 'listen' as const, distance })),
    ...TWINS.map((kind) => ({ kind })),
  ];
  const { frames } = suite;
  return suite.domains.flatMap((domain) => {
    const silent = silentFillers(domain, frames);
    return wanted.flatMap(({ kind, distance }) =>
      twosOf(domain.things).map((two, i) => {
        const id = [domain.id, kind, distance ?? 'x', i].join('/');
        const random = root.split(id);
        const age = distance ?? random.int(TWIN_DISTANCE_MAX + 1);
        const pressure = PRESSURES[(i + random.int(2)) % PRESSURES.length] as Pressure;
        const later = drawFillers(silent, age, random);
        const draw = { domain, frames, random, later, question: random.pick(domain.questions) };
        const things = random.shuffle(two) as [Thing, Thing];
        const sides = WRITERS[kind](things, draw, pressure);
        const about = { id, kind, distance: age, domain: domain.id };
        return { ...about, pressure: kind === 'listen' ? pressure : null, ...sides };
      }),
    );
  });
}

function twosOf<T>(items: readonly T[]): [T, T][] {
  return items.flatMap((a, i) => items.slice(i + 1).map((b): [T, T] => [a, b]));
}

/**
 * The pairs in an order of which every beginning is balanced: one of each cell in turn, and within
 * a cell one of each domain in turn. Each distance begins with other domains, so that a short
 * beginning has many of them.
 */
export function inBalancedOrder(pairs: readonly ScenePair[], seed: number): ScenePair[] {
  const random = createRandom(`listen-order:${seed}`);
  const domains = random.shuffle([...new Set(pairs.map(({ domain }) => domain))]);
  const apart = Math.ceil(domains.length / DISTANCES.length);
  const columns = CELLS.map((cell, column) => {
    const own = random.split(cell).shuffle(pairs.filter((pair) => cellOf(pair) === cell));
    const byDomain = groupBy(own, ({ domain }) => domain);
    return inTurn(
      domains.map((_, i) => byDomain.get(at(domains, (i + column * apart) % domains.length)) ?? []),
    );
  });
  return inTurn(columns);
}

/** The first of each list, then the second of each, and so on. */
function inTurn<T>(lists: readonly (readonly T[])[]): T[] {
  const longest = Math.max(0, ...lists.map((list) => list.length));
  return Array.from({ length: longest }, (_, i) =>
    lists.flatMap((list) => list.slice(i, i + 1)),
  ).flat();
}

// A scene as a scenario: its deciding sentence marked as the direction, and the model's own idea.

/** One side of a pair; `chosen` is the first of its right beginnings. */
export function sceneScenario(pair: ScenePair, side: 0 | 1): Scenario {
  const scene = pair.sides[side];
  return {
    id: `scene:${pair.id}:${side}`,
    kind: 'listen',
    messages: scene.messages,
    spans: spansOf(scene),
    chosen: pair.candidates[side][0] ?? '',
    source: { origin: 'suite', cluster: pair.domain, domain: pair.domain },
  };
}

function spansOf({ messages, deciding, other, act }: Scene): Span[] {
  const ideas = messages.flatMap(({ role, content }, message) =>
    role !== 'assistant' || act !== 'carry-out'
      ? []
      : sentencesOf(content)
          .filter((sentence) => names(sentence, other))
          .map((sentence) => spanOf('own-idea', message, content, sentence)),
  );
  const said = messages[deciding.message]?.content ?? '';
  return [spanOf('direction', deciding.message, said, deciding.text), ...ideas];
}

function spanOf(feature: Span['feature'], message: number, content: string, words: string): Span {
  const start = content.indexOf(words);
  return { feature, message, start, end: start + words.length };
}
