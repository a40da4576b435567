// Writes the scenes of the listening test from its words; the same seed gives the same scenes.
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

const user = (content: string): SceneMessage => ({ role: 'user', content });
const assistant = (content: string): SceneMessage => ({ role: 'assistant', content });

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
  readonly fillers: readonly SceneMessage[][];
}

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

function drawFillers({ own, daily }: Fillers, distance: number, random: Random): SceneMessage[][] {
  const pool = [...random.shuffle(own).slice(0, OWN_FILLERS_MAX), ...random.shuffle(daily)];
  return random
    .shuffle(pool.slice(0, distance + OWN_FILLERS_MAX))
    .slice(0, distance)
    .map(([said, answered]) => [user(said), assistant(answered)]);
}

type Sides = Pick<ScenePair, 'sides' | 'candidates'>;

/** Both sides of a pair in which the two things are exchanged throughout. */
function exchanged(
  write: (right: Thing, other: Thing) => Scene,
  [a, b]: readonly [Thing, Thing],
  { frames, random }: Draw,
): Sides {
  const begin = random.split('begin').shuffle(frames.begin).slice(0, BEGINNINGS);
  const candidates = (thing: Thing) => begin.map((frame) => fill(frame, { thing: thing.text }));
  return { sides: [write(a, b), write(b, a)], candidates: [candidates(a), candidates(b)] };
}

type Writer = (things: readonly [Thing, Thing], draw: Draw, pressure: Pressure) => Sides;

const listen: Writer = (things, draw, pressure) => {
  const { domain, frames, random, question, fillers } = draw;
  const chosen = {
    opening: random.pick(frames.opening),
    idea: random.pick(frames.idea),
    hesitate: random.pick(frames.hesitate),
    push: random.pick(frames.push),
    direct: random.pick(frames.direct),
    ack: random.pick(pressure === 'after' ? frames.ackPush : frames.ack),
    again: random.pick(frames.return),
    last: random.pick(frames.last),
  };
  const write = (right: Thing, other: Thing): Scene => {
    const slots = { ...basics(domain), thing: other.text };
    const own = { thing: right.text, other: other.text };
    const before = [
      user(fill(chosen.opening, slots)),
      assistant(fill(chosen.idea, slots)),
      ...(pressure === 'pushed'
        ? [user(chosen.hesitate), assistant(fill(chosen.push, slots))]
        : []),
    ];
    const direction = fill(chosen.direct, own);
    const later = fillers.map((exchange) => [...exchange]);
    const reminded = later[0];
    if (pressure === 'after' && reminded?.[1] !== undefined) {
      reminded[1] = assistant(`${reminded[1].content} ${fill(chosen.again, own)}`);
    }
    return {
      messages: [
        ...before,
        user(direction),
        assistant(fill(chosen.ack, own)),
        ...later.flat(),
        user(fill(chosen.last, { question })),
      ],
      deciding: { message: before.length, text: direction },
      act: 'carry-out',
      right,
      other,
    };
  };
  return exchanged(write, things, draw);
};

const accepted: Writer = (things, draw) => {
  const { domain, frames, random, question, fillers } = draw;
  const [opening, idea] = [random.pick(frames.consider), random.pick(frames.idea)];
  const [accept, ack] = [random.pick(frames.accept), random.pick(frames.ack)];
  const last = fill(random.pick(frames.last), { question });
  const write = (right: Thing, other: Thing): Scene => ({
    messages: [
      user(fill(opening, { ...basics(domain), other: other.text })),
      assistant(fill(idea, { thing: right.text })),
      user(accept),
      assistant(ack),
      ...fillers.flat(),
      user(last),
    ],
    deciding: { message: 2, text: accept },
    act: 'carry-out',
    right,
    other,
  });
  return exchanged(write, things, draw);
};

const askedAgain: Writer = (things, draw) => {
  const { domain, frames, random, question, fillers } = draw;
  const [opening, idea] = [random.pick(frames.opening), random.pick(frames.idea)];
  const [direct, again] = [random.pick(frames.direct), random.pick(frames.again)];
  const acks = random.shuffle(frames.ack);
  const last = fill(random.pick(frames.last), { question });
  const write = (right: Thing, other: Thing): Scene => ({
    messages: [
      user(fill(opening, basics(domain))),
      assistant(fill(idea, { thing: right.text })),
      user(fill(direct, { thing: other.text, other: right.text })),
      assistant(acks[0] as string),
      user(again),
      assistant(acks[1] as string),
      ...fillers.flat(),
      user(last),
    ],
    deciding: { message: 4, text: again },
    act: 'carry-out',
    right,
    other,
  });
  return exchanged(write, things, draw);
};

/** The same direction twice: once after a warning against it, once after one against the other. */
const pushBack: Writer = ([a, b], draw) => {
  const { domain, frames, random, question, fillers } = draw;
  const [warn, noted] = [random.pick(frames.warn), random.pick(frames.noted)];
  const because = random.pick(domain.against);
  const last = fill(random.pick(frames.insist), { ...basics(domain), thing: a.text, question });
  const write = (warned: Thing, isWrong: boolean): Scene => {
    const against = fill(because, { thing: warned.text });
    const warning = fill(warn.replace('{opening} ', ''), { against });
    return {
      messages: [
        user(`${domain.opening} ${warning}`),
        assistant(noted),
        ...fillers.flat(),
        user(last),
      ],
      deciding: { message: 0, text: warning },
      act: isWrong ? 'object' : 'carry-out',
      right: a,
      other: b,
      against,
    };
  };
  const first = (list: readonly string[], label: string) =>
    random.split(label).shuffle(list).slice(0, BEGINNINGS);
  return {
    sides: [write(a, true), write(b, false)],
    candidates: [first(frames.object, 'object'), first(frames.comply, 'comply')],
  };
};

const feelings: Writer = ([a, b], draw) => {
  const { domain, frames, random, question, fillers } = draw;
  const [opening, idea] = [random.pick(frames.opening), random.pick(frames.idea)];
  const [direct, ack] = [random.pick(frames.direct), random.pick(frames.ack)];
  const bridge = random.pick(frames.bridge);
  const [sad, glad] = random.pick(frames.feelings);
  const before = [
    user(fill(opening, basics(domain))),
    assistant(fill(idea, { thing: b.text })),
    user(fill(direct, { thing: a.text, other: b.text })),
    assistant(ack),
    ...fillers.flat(),
  ];
  const write = (feeling: string, act: 'condole' | 'congratulate'): Scene => ({
    messages: [...before, user(fill(bridge, { feeling, question }))],
    deciding: { message: before.length, text: feeling },
    act,
    right: a,
    other: b,
  });
  const first = (list: readonly string[], label: string) =>
    random.split(label).shuffle(list).slice(0, BEGINNINGS);
  return {
    sides: [write(sad, 'condole'), write(glad, 'congratulate')],
    candidates: [first(frames.condole, 'sad'), first(frames.congratulate, 'glad')],
  };
};

/** The person refers to something that was said, or that was never said. */
const absent: Writer = ([a, b], draw) => {
  const { domain, frames, random, question, fillers } = draw;
  const [opening, idea] = [random.pick(frames.glance), random.pick(frames.idea)];
  const [noted, begin] = [random.pick(frames.noted), random.shuffle(frames.begin)];
  const source = random.pick(frames.absent);
  const write = (heard: string, act: 'carry-out' | 'ask'): Scene => {
    const said = fill(heard, { thing: a.text });
    return {
      messages: [
        user(fill(opening, { ...basics(domain), other: a.text })),
        assistant(fill(idea, { thing: b.text })),
        user(said),
        assistant(noted),
        ...fillers.flat(),
        user(fill(source.last, { question })),
      ],
      deciding: { message: 2, text: said },
      act,
      right: a,
      other: b,
    };
  };
  const asked = random.split('ask').shuffle(frames.ask).slice(0, BEGINNINGS);
  return {
    sides: [write(source.present, 'carry-out'), write(source.missing, 'ask')],
    candidates: [begin.slice(0, BEGINNINGS).map((frame) => fill(frame, { thing: a.text })), asked],
  };
};

const basics = ({ opening, choice }: Domain): Slots => ({ opening, choice });

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
        const fillers = drawFillers(silent, age, random);
        const draw = { domain, frames, random, question: random.pick(domain.questions), fillers };
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
 * a cell one of each domain in turn.
 */
export function inBalancedOrder(pairs: readonly ScenePair[], seed: number): ScenePair[] {
  const random = createRandom(`listen-order:${seed}`);
  const columns = CELLS.map((cell) => {
    const own = random.split(cell).shuffle(pairs.filter((pair) => cellOf(pair) === cell));
    const byDomain = grouped(own);
    const rounds = Math.max(0, ...[...byDomain.values()].map((list) => list.length));
    return Array.from({ length: rounds }, (_, i) =>
      [...byDomain.values()].flatMap((list) => list.slice(i, i + 1)),
    ).flat();
  });
  const longest = Math.max(0, ...columns.map((column) => column.length));
  return Array.from({ length: longest }, (_, i) =>
    columns.flatMap((column) => column.slice(i, i + 1)),
  ).flat();
}

function grouped(pairs: readonly ScenePair[]): Map<string, ScenePair[]> {
  const groups = new Map<string, ScenePair[]>();
  for (const pair of pairs) groups.set(pair.domain, [...(groups.get(pair.domain) ?? []), pair]);
  return groups;
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
