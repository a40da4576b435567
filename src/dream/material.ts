// What dreams are made of: the model itself writes openings, lists of things of one sort, questions
// and asides, line by line, and each line is checked for sense.
import { z } from 'zod';
import type { Random } from '../base/random.ts';
import { extractItems } from '../memory/extract.ts';
import { frontOf, type PromptFolder } from '../prompt/prompt.ts';
import { contentWords, wordsOf } from '../scenario/words.ts';
import type { Writer, Written } from './writer.ts';

const text = z.string().min(1);
const texts = z.array(text).min(1);
const frontSchema = z.strictObject({
  examples: z
    .array(z.strictObject({ opening: text, choice: text, things: texts, questions: texts }))
    .min(2),
  asides: z.array(text).min(2),
  /** They answer whatever is said beside the matter. */
  acknowledgements: z.array(text).min(2),
  feelings: texts,
  starts: z.strictObject({
    opening: texts,
    technical: texts,
    choice: texts,
    question: texts,
    aside: texts,
    feeling: texts,
  }),
});
type Front = z.infer<typeof frontSchema>;

/** A line that the model wrote, and its beginning that was given. */
export interface Piece {
  readonly text: string;
  readonly given: string;
}

/** What the person says beside the matter, and an acknowledgement of ours. */
export type Exchange = readonly [said: Piece, acknowledged: Piece];

export interface Material {
  readonly opening: Piece;
  /** An indirect question: `which cloth to take`. */
  readonly choice: Piece;
  /** At least three of one sort. */
  readonly things: readonly string[];
  /** They name no thing, and their answer depends on which it is. */
  readonly questions: readonly Piece[];
}

interface Bound {
  readonly words: readonly [least: number, most: number];
  readonly tokensMax: number;
  /** Least mean log-probability of a token. */
  readonly logprobMin: number;
  /** The writer's own where new domains come from; below it where a line is to be likely. */
  readonly temperature?: number;
}
type Sort = 'opening' | 'choice' | 'things' | 'question' | 'aside' | 'feeling';

/** What each sort of line may be. */
const BOUNDS: Readonly<Record<Sort, Bound>> = {
  opening: { words: [4, 14], tokensMax: 18, logprobMin: -2 },
  choice: { words: [4, 8], tokensMax: 12, logprobMin: -1.6, temperature: 0.6 },
  things: { words: [4, 40], tokensMax: 24, logprobMin: -2, temperature: 0.5 },
  question: { words: [4, 11], tokensMax: 16, logprobMin: -1.3, temperature: 0.6 },
  aside: { words: [4, 11], tokensMax: 16, logprobMin: -1.2, temperature: 0.5 },
  feeling: { words: [6, 14], tokensMax: 18, logprobMin: -2.2 },
};

const THINGS_MIN = 3;
const THINGS_MAX = 6;
const THING_WORDS_MAX = 3;
/** A thing is of its list when it came up in this many of the lists drawn. */
const LISTS = 3;
const LISTS_WITH_IT = 2;
const QUESTIONS_MIN = 2;
const QUESTIONS = 3;

const stemsOf = (line: string): string[] => contentWords(line).map((word) => word.text);

/** Whether two texts share a word that carries content. */
export function sharesWord(one: string, other: string): boolean {
  const words = new Set(stemsOf(one));
  return stemsOf(other).some((word) => words.has(word));
}

/** One sentence of plain words that does not go round in circles. */
export function isLine(line: string, [least, most]: readonly [number, number]): boolean {
  const words = wordsOf(line).map((word) => word.text);
  const stems = stemsOf(line);
  return (
    /^[\p{L}\p{N} ,'’-]+[.?]?$/u.test(line) &&
    words.length >= least &&
    words.length <= most &&
    new Set(stems).size === stems.length &&
    !words.some((word, at) => word === words[at - 1])
  );
}

/** Things of a list: short, told apart by their words, of one form, none of them named before. */
export function thingsOf(list: string, matter: string): string[] {
  const seen = new Set(stemsOf(matter));
  const things = itemsOf(list).filter((item) => {
    const own = stemsOf(item).filter((word) => !seen.has(word));
    const isFit =
      /^[\p{L}][\p{L} '’-]+$/u.test(item) &&
      own.length > 0 &&
      wordsOf(item).length <= THING_WORDS_MAX &&
      !stemsOf(item).some((word) => seen.has(word) && !stemsOf(matter).includes(word));
    if (isFit) for (const word of own) seen.add(word);
    return isFit;
  });
  return ofOneForm(things);
}

const itemsOf = (list: string): string[] =>
  list
    .replace(/\.$/, '')
    .split(',')
    .map((item) => item.trim().replace(/^(?:and|or) /, ''))
    .filter((item) => stemsOf(item).length > 0);

function ofOneForm(things: readonly string[]): string[] {
  const form = articleOf(things[0] ?? '');
  return things.filter((thing) => articleOf(thing) === form);
}

const articleOf = (thing: string): string => {
  const [, article = ''] = /^(an?|the) /i.exec(thing) ?? [];
  return article.toLowerCase().replace('an', 'a');
};

/** Those that several of the lists have, the most frequent first. */
export function agreedThings(lists: readonly (readonly string[])[]): string[] {
  const keyOf = (thing: string): string => stemsOf(thing).join(' ');
  const count = new Map<string, number>();
  for (const list of lists) {
    for (const key of new Set(list.map(keyOf))) count.set(key, (count.get(key) ?? 0) + 1);
  }
  const all = new Map(lists.flat().map((thing) => [keyOf(thing), thing]));
  const agreed = [...all].filter(([key]) => (count.get(key) ?? 0) >= LISTS_WITH_IT);
  const sorted = agreed.sort(([a], [b]) => (count.get(b) ?? 0) - (count.get(a) ?? 0));
  return ofOneForm(sorted.map(([, thing]) => thing)).slice(0, THINGS_MAX);
}

export interface MaterialOptions {
  readonly writer: Writer;
  readonly prompts: PromptFolder;
  /** How often a line is tried again. */
  readonly retries: number;
}

/** Draws, and the key under which the model's reading of the examples is kept. */
export interface Draw {
  readonly random: Random;
  readonly key: string;
}

interface Setting extends MaterialOptions {
  readonly starts: Front['starts'];
  /** Examples of whole domains, and of asides. */
  readonly sheet: string;
  readonly asides: string;
  readonly feelings: string;
  /** What the examples say: a copy of it is none of the model's own. */
  readonly copied: ReadonlySet<string>;
}

export interface MaterialWriter {
  /** @returns material of one domain, or why there is none */
  domain(draw: Draw, isTechnical: boolean): Promise<Material | string>;
  /** How they may begin: one of each is enough. */
  readonly asideStarts: readonly string[];
  aside(draw: Draw, start: string): Promise<Exchange | undefined>;
  feeling(draw: Draw): Promise<Piece | undefined>;
  /** What else could have been chosen in this situation; the likeliest first. */
  others(draw: Draw, situation: string, thing: string): Promise<readonly string[]>;
}

/** Writes material in the form of `prompts/dream/material.md`. @throws prompt-invalid */
export function createMaterialWriter(options: MaterialOptions): MaterialWriter {
  const front = frontOf(options.prompts.get('dream/material'), frontSchema);
  const setting: Setting = {
    ...options,
    starts: front.starts,
    sheet: front.examples.map((one) => `${sheetOf(one)}\n\n`).join(''),
    asides: front.asides.map((said) => `They say: ${said}\n`).join(''),
    feelings: front.feelings.map((one) => `They feel: ${one}\n`).join(''),
    copied: copiedFrom(front),
  };
  return {
    domain: (draw, isTechnical) => writeDomain(draw, isTechnical, setting),
    asideStarts: front.starts.aside,
    async aside(draw, start) {
      const asked = { sort: 'aside', before: `${setting.asides}They say:` } as const;
      const said = await writeLine({ ...asked, starts: [start], passes: isAside }, draw, setting);
      if (said === undefined) return undefined;
      const answer = draw.random.split('answer').pick(front.acknowledgements);
      return [said, { text: answer, given: answer }];
    },
    feeling: (draw) => {
      const asked = { sort: 'feeling', before: `${setting.feelings}They feel:` } as const;
      return writeLine({ ...asked, starts: setting.starts.feeling }, draw, setting);
    },
    async others(draw, situation, thing) {
      const said = { opening: situation, choice: thing };
      const toChoose = `${setting.sheet}Situation: ${situation}\nTo choose: which one to take`;
      return writeThings(`${toChoose}\nChoices: ${thing},`, said, draw, setting);
    },
  };
}

function limitsOf(sort: Sort): Pick<Bound, 'tokensMax' | 'temperature'> {
  const { words: _, logprobMin: __, ...limits } = BOUNDS[sort];
  return limits;
}

interface Line {
  readonly sort: Exclude<Sort, 'things'>;
  readonly before: string;
  readonly starts: readonly string[];
  readonly passes?: (whole: string) => boolean;
}

/** A line that begins with one of its starts and passes its checks; undefined when there is none. */
async function writeLine(
  { sort, before, starts, passes = () => true }: Line,
  { random, key }: Draw,
  { writer, retries, copied }: Setting,
): Promise<Piece | undefined> {
  const limits = limitsOf(sort);
  for (let attempt = 0; attempt <= retries; attempt++) {
    const given = random.pick(starts);
    const text = `${before} ${given}`;
    const written = await writer.line({ text, ...limits, seed: random.uint32(), key });
    if (writer.end !== undefined) return undefined;
    const whole = soundSentence(`${given} ${written.text}`, written, BOUNDS[sort]);
    if (whole !== undefined && !copied.has(whole) && passes(whole)) return { text: whole, given };
  }
  return undefined;
}

/** The first sentence of what was written, where it is whole, likely and plain. */
function soundSentence(
  all: string,
  { isEnded, logprob }: Written,
  { words, logprobMin }: Bound,
): string | undefined {
  const whole = firstSentence(all);
  const isCut = !isEnded && whole === all;
  return !isCut && logprob >= logprobMin && isLine(whole, words) ? whole : undefined;
}

/** Draws the list several times, and keeps what the lists agree on. */
async function writeThings(
  before: string,
  { opening, choice }: Readonly<Record<'opening' | 'choice', string>>,
  { random, key }: Draw,
  { writer, copied }: Setting,
  isChosen: (items: readonly string[]) => boolean = () => false,
): Promise<string[]> {
  const lists: string[][] = [];
  for (let at = 0; at < LISTS; at++) {
    const written = await writer.line({
      text: before,
      ...limitsOf('things'),
      seed: random.uint32(),
      key,
    });
    if (written.logprob < BOUNDS.things.logprobMin) continue;
    // The last of a list that was cut off may be half a word.
    const whole = written.isEnded ? written.text : written.text.replace(/,?[^,]*$/, '');
    if (isChosen(itemsOf(whole))) return [];
    lists.push(thingsOf(whole, `${opening} ${choice}`).filter((thing) => !copied.has(thing)));
  }
  return agreedThings(lists);
}

async function writeDomain(
  draw: Draw,
  isTechnical: boolean,
  setting: Setting,
): Promise<Material | string> {
  const { starts, sheet } = setting;
  const line = (one: Line): Promise<Piece | undefined> => writeLine(one, draw, setting);
  const before = `${sheet}Situation:`;
  const first = isTechnical ? starts.technical : starts.opening;
  const isOne = (whole: string): boolean => !whole.includes(',');
  const opening = await line({ sort: 'opening', before, starts: first, passes: isOne });
  if (opening === undefined) return 'no opening that makes sense';
  const toChoose = `${before} ${opening.text}\nTo choose:`;
  // One of them is chosen, and the line says of what sort.
  const isChoice = (whole: string): boolean =>
    /^which [\p{L} ]*(?<!s) to [\p{L} ]+(?<! it| them)$/u.test(whole) && stemsOf(whole).length > 1;
  const chosen = { before: toChoose, starts: starts.choice, passes: isChoice };
  const choice = await line({ ...chosen, sort: 'choice' });
  if (choice === undefined) return 'no choice that makes sense';
  const choices = `${toChoose} ${choice.text}\nChoices:`;
  const said = { opening: opening.text, choice: choice.text };
  const named = new Set(stemsOf(opening.text));
  // A thing that the opening names is chosen already.
  const isChosen = (items: readonly string[]): boolean =>
    items.some((item) => stemsOf(item).every((word) => named.has(word)));
  const things = await writeThings(choices, said, draw, setting, isChosen);
  if (things.length < THINGS_MIN) return 'no list of things of one sort';
  const dependsOnIt = (whole: string): boolean =>
    /\b(?:it|that|them)\b.*\?$/.test(whole) && !things.some((thing) => sharesWord(thing, whole));
  const questions: Piece[] = [];
  for (const start of draw.random.shuffle(starts.question)) {
    if (questions.length === QUESTIONS) break;
    const asked = { before: `${choices} ${things.join(', ')}\nThey ask:`, starts: [start] };
    const question = await line({ ...asked, sort: 'question', passes: dependsOnIt });
    if (question !== undefined) questions.push(question);
  }
  if (questions.length < QUESTIONS_MIN) return 'no questions that depend on the choice';
  return { opening, choice, things, questions };
}

/** It directs nothing, tells of no feeling, and asks nothing. */
export function isAside(whole: string): boolean {
  const items = extractItems({ role: 'user', text: whole });
  return items.length === 0 && whole.endsWith('.');
}

function firstSentence(line: string): string {
  return /^[^.?!]*[.?!]?/.exec(line)?.[0].trim() ?? '';
}

function sheetOf({ opening, choice, things, questions }: Front['examples'][number]): string {
  const asked = questions.map((question) => `They ask: ${question}`);
  return [
    `Situation: ${opening}`,
    `To choose: ${choice}`,
    `Choices: ${things.join(', ')}`,
    ...asked,
  ].join('\n');
}

/** Questions may be of any domain. */
function copiedFrom({ examples, asides, feelings }: Front): Set<string> {
  const own = examples.flatMap(({ opening, choice, things }) => [opening, choice, ...things]);
  return new Set([...own, ...asides, ...feelings]);
}
