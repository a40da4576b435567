// Finds a teacher for each moment: who carries out what the person asked for, and what they say.
import { mentions } from '../scenario/exchange.ts';
import { brokenness } from '../scenario/kind.ts';
import { parseScenario, type Scenario, type TeacherWay } from '../scenario/scenario.ts';
import { thingOf } from '../scenario/thing.ts';
import { carriesOut } from './carried-out.ts';
import { crossLesson, isCrossed, withTwin } from './cross.ts';
import { directionOf, lastMessage, placeboMessage, type Told } from './teacher.ts';

/** A moment that may become a lesson, or is to be held as it is. */
export interface Candidate extends Told {
  /** `chosen` is of no account: it is what is looked for. */
  readonly scenario: Scenario;
  /** What was really said, where the person marked it as having missed the direction. */
  readonly said?: string | undefined;
}

export interface TeachOptions {
  /**
   * A reply of tonight's start to this conversation: its likeliest, or for a `draw` from 1 one of
   * those that it may give, the same for the same draw. @throws when the night is stopped
   */
  readonly say: (
    messages: Scenario['messages'],
    rendering: Scenario['rendering'],
    draw?: number,
  ) => Promise<string>;
  /** What the person could have chosen in this moment in the place of a thing, the best first. */
  readonly others?: (moment: Scenario, thing: string) => Promise<readonly string[]>;
}

/** Replies that a teacher may draw where its likeliest does not carry the direction out. */
const DRAWS = 3;

/** Why a moment teaches nothing. */
export const NOT_TAUGHT = {
  nobody: 'no teacher carries the direction out',
  already: 'the model does it already',
  undirected: 'it marks no direction',
  broken: 'the reply is empty or loops',
} as const;
type Why = (typeof NOT_TAUGHT)[keyof typeof NOT_TAUGHT];

export type Taught = { readonly lesson: Scenario } | { readonly why: Why; readonly reply: string };

type Ask = (last: string, draw?: number) => Promise<string>;

/**
 * The first of these that carries the direction out: the person's better words; the direction
 * restated; a hint that also names what was not asked for, and why. A teacher that does not carry
 * it out in its likeliest reply may draw a few others: what it knows stands in its distribution.
 */
export async function teach(candidate: Candidate, options: TeachOptions): Promise<Taught> {
  const { scenario, better, said } = candidate;
  const { messages, rendering } = scenario;
  if (directionOf(scenario) === '') return { why: NOT_TAUGHT.undirected, reply: '' };
  const ask: Ask = (last, draw) =>
    options.say([...messages.slice(0, -1), { role: 'user', content: last }], rendering, draw);
  const isRight = (reply: string): boolean => reply !== said && carriesOut(scenario, reply);
  const lesson = async (way: TeacherWay, chosen: string): Promise<Taught> => {
    const last = lastMessage(scenario, way, candidate);
    const placebo = await placeboOf(scenario, ask);
    const { rejected: _, ...rest } = scenario;
    const rejected = said === undefined || said === chosen ? {} : { rejected: said };
    const written = { ...rest, chosen, ...rejected, teacher: { way, last } };
    return { lesson: parseScenario({ ...written, ...(placebo && { placebo }) }, scenario.id) };
  };
  if (better !== undefined) return lesson('better', better);
  const untold = await ask(messages.at(-1)?.content ?? '');
  // Where the reply that was given missed it, one that would not miss it today is luck of a draw.
  if (said === undefined && isRight(untold)) return { why: NOT_TAUGHT.already, reply: untold };
  for (const way of ['restated', 'hint'] as const) {
    const last = lastMessage(scenario, way, candidate);
    for (let draw = 0; draw <= DRAWS; draw++) {
      const reply = await ask(last, draw);
      if (!isRight(reply)) continue;
      if (reply === untold) return { why: NOT_TAUGHT.already, reply: untold };
      return lesson(way, reply);
    }
  }
  return { why: NOT_TAUGHT.nobody, reply: untold };
}

/**
 * A moment, or both sides of a crossed pair: one teacher is enough for them. The second side is
 * only taught where the first one's reply cannot be exchanged. A moment alone gets another side
 * where its reply names what was chosen, and something else of that sort was named, too.
 */
export async function teachSides(
  sides: readonly Candidate[],
  options: TeachOptions,
): Promise<readonly Taught[]> {
  const found: Taught[] = [];
  for (const [at, side] of sides.entries()) {
    const taught = await teach(side, options);
    const twin = sides[1 - at]?.scenario;
    const both = twin && 'lesson' in taught ? crossLesson(taught.lesson, twin) : undefined;
    if (both !== undefined) return both.map((lesson) => ({ lesson }));
    found.push(taught);
  }
  const [only] = found;
  if (sides.length > 1 || only === undefined || !('lesson' in only)) return found;
  const both = await crossAlone(only.lesson, options);
  return both === undefined ? found : both.map((lesson) => ({ lesson }));
}

async function crossAlone(
  lesson: Scenario,
  { others }: TeachOptions,
): Promise<readonly Scenario[] | undefined> {
  const thing = thingOf(lesson, (phrase) => mentions(lesson.chosen, phrase));
  if (thing === undefined || others === undefined) return undefined;
  const said = lesson.messages.map(({ content }) => content).join('\n');
  for (const other of await others(lesson, thing)) {
    // To tell what was chosen from what was never named teaches nothing.
    if (!mentions(said, other) || mentions(lesson.chosen, other)) continue;
    const both = crossLesson(...withTwin(lesson, thing, other));
    if (both !== undefined) return both;
  }
  return undefined;
}

async function placeboOf(scenario: Scenario, ask: Ask): Promise<Scenario['placebo']> {
  const last = placeboMessage(scenario);
  if (last === undefined) return undefined;
  const reply = await ask(last);
  return reply === '' ? undefined : { last, reply };
}

/** A moment with the reply of tonight's start, to be held; undefined where that is no reply. */
export async function hold(
  { scenario }: Candidate,
  options: TeachOptions,
): Promise<Scenario | undefined> {
  const chosen = await options.say(scenario.messages, scenario.rendering);
  if (brokenness(chosen) !== undefined) return undefined;
  const { rejected: _, ...rest } = scenario;
  return parseScenario({ ...rest, chosen }, scenario.id);
}

/**
 * The lessons of the placebo: the same contexts, of which the teacher was told another sentence. A
 * crossed one has the same two replies. Those in which nothing else was said are left out.
 */
export function placeboLessons(lessons: readonly Scenario[]): Scenario[] {
  return lessons.flatMap((lesson) => {
    const { placebo, ...rest } = lesson;
    if (placebo === undefined) return [];
    const teacher = { way: 'restated' as const, last: placebo.last };
    if (isCrossed(lesson)) return [{ ...rest, teacher }];
    const { rejected: _, ...scenario } = rest;
    return [{ ...scenario, chosen: placebo.reply, teacher }];
  });
}
