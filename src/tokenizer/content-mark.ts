// Finds contents in rendered text: renders again with marks around them and compares.
import { AttuneError } from '../base/errors.ts';
import { THOUGHT_END, THOUGHT_START } from './thought.ts';

export interface TemplateMessage {
  readonly role: string;
  readonly content: string;
  /** What templates know besides: `tool_calls`, `tool_call_id`. */
  readonly [name: string]: unknown;
}

/** Where a part of a content stands in the rendered text. */
export interface ContentPlace {
  readonly message: number;
  /** `[start, end)` in the rendered text. */
  readonly start: number;
  readonly end: number;
  /** The rendered part begins here in the message's content (templates trim). */
  readonly contentFrom: number;
}

/** For private use by the Unicode standard: marks are taken from there. */
const PRIVATE_PLANES = [0xf0000, 0x100000];
const PLANE_SIZE = 0xfffe;

/**
 * Where the contents of messages stand in what a template wrote.
 * @param text the template's rendering of the messages
 * @param write renders other messages in the same way
 * @param isPlain whether a text can spell no control token
 * @returns none for a system or tool's text that the template changes, if all of them are plain
 * @throws span-unaligned when the template changes a content by more than white space at its ends
 */
export function locateContents(
  text: string,
  messages: readonly TemplateMessage[],
  {
    write,
    isPlain,
  }: {
    readonly write: (messages: readonly TemplateMessage[]) => string;
    readonly isPlain: (text: string) => boolean;
  },
): ContentPlace[] {
  const isChanged = ({ role }: TemplateMessage): boolean => role === 'system' || role === 'tool';
  function locate(splitsThoughts: boolean, leavesChanged: boolean): ContentPlace[] {
    const regions = regionsOf(messages, splitsThoughts).filter(
      ({ message }) => !leavesChanged || !isChanged(messages[message] as TemplateMessage),
    );
    const first = chooseMarks(messages, regions.length);
    const { found, after } = readMarks(write(mark(messages, regions, first)), first, regions);
    for (const { region, content } of found) {
      const original = messages[region.message]?.content.slice(region.from, region.to);
      if (content !== original) throw unaligned(`message ${region.message} is rewritten`);
    }
    const places = place(text, found, after);
    if (places === undefined) throw unaligned('the template changes them');
    return places;
  }
  // Some templates drop the thought of an earlier reply, or write it elsewhere; some take words of
  // theirs out of the system text (SmolLM3: `/no_think`), or write what a tool answered as JSON.
  // Where that can spell no control token, it need not be found.
  const hasThought = messages.some(({ content }) => content.includes(THOUGHT_END));
  const changed = messages.filter(isChanged);
  const mayLeave = changed.length > 0 && changed.every(({ content }) => isPlain(content));
  const ways = [false, ...(mayLeave ? [true] : [])].flatMap((leavesChanged) =>
    [false, ...(hasThought ? [true] : [])].map((splits) => () => locate(splits, leavesChanged)),
  );
  return firstThatWorks(ways);
}

/** @throws what the last of them throws, and at once what is no AttuneError */
function firstThatWorks<Result>([way, ...others]: readonly (() => Result)[]): Result {
  if (way === undefined) throw new Error('there is no way left');
  try {
    return way();
  } catch (error) {
    if (others.length === 0 || !(error instanceof AttuneError)) throw error;
    return firstThatWorks(others);
  }
}

/** Part of a message's content that a template writes or drops as one. */
interface Region {
  readonly message: number;
  readonly from: number;
  readonly to: number;
}

/** The whole content; or, for replies of a thinking model, the thought and what follows it. */
function regionsOf(messages: readonly TemplateMessage[], splitsThoughts: boolean): Region[] {
  const regions = messages.flatMap(({ role, content }, message) => {
    const close = content.lastIndexOf(THOUGHT_END);
    if (!splitsThoughts || role !== 'assistant' || close === -1) {
      return [{ message, from: 0, to: content.length }];
    }
    const open = content.indexOf(THOUGHT_START);
    const thought = open === -1 || open > close ? 0 : open + THOUGHT_START.length;
    const rest = close + THOUGHT_END.length;
    return [
      { message, from: thought, to: close },
      { message, from: rest, to: content.length },
    ];
  });
  return regions.filter(({ from, to }) => to > from);
}

/** First of `2 * count` code points for private use that stand in no content. */
function chooseMarks(messages: readonly TemplateMessage[], count: number): number {
  const width = Math.max(2, 2 * count);
  for (const plane of PRIVATE_PLANES) {
    const taken = new Set<number>();
    for (const { content } of messages) {
      for (const [character] of content.matchAll(/[\u{f0000}-\u{10ffff}]/gu)) {
        taken.add(Math.floor(((character.codePointAt(0) ?? 0) - plane) / width));
      }
    }
    for (let stretch = 0; (stretch + 1) * width <= PLANE_SIZE; stretch++) {
      if (!taken.has(stretch)) return plane + stretch * width;
    }
  }
  throw unaligned('there are too many of them, or they use the characters that mark contents');
}

function unaligned(why: string): AttuneError {
  const message = `The messages cannot be found in what the chat template wrote: ${why}.`;
  return new AttuneError('span-unaligned', message, { why });
}

/** Puts an opening and a closing mark round each region. */
function mark(
  messages: readonly TemplateMessage[],
  regions: readonly Region[],
  first: number,
): TemplateMessage[] {
  const contents = messages.map(({ content }) => content);
  // From the last on, so that earlier places stay valid.
  for (const [index, { message, from, to }] of [...regions.entries()].reverse()) {
    const content = contents[message] ?? '';
    const open = String.fromCodePoint(first + 2 * index);
    const close = String.fromCodePoint(first + 2 * index + 1);
    contents[message] =
      content.slice(0, from) + open + content.slice(from, to) + close + content.slice(to);
  }
  return messages.map((message, index) => ({ ...message, content: contents[index] ?? '' }));
}

/** A region between two pieces of template text, as the marked rendering shows it. */
interface Marked {
  readonly region: Region;
  readonly before: string;
  readonly content: string;
}

/** Reads a marked rendering: regions in their order, and the template's text around them. */
function readMarks(
  text: string,
  first: number,
  regions: readonly Region[],
): { found: Marked[]; after: string } {
  const found: Marked[] = [];
  const seen = new Set<Region>();
  let rest = 0;
  for (let at = 0; at < text.length; ) {
    const code = text.codePointAt(at) ?? 0;
    const index = (code - first) >> 1;
    if (index < 0 || index >= regions.length) {
      at += code > 0xffff ? 2 : 1;
      continue;
    }
    const region = regions[index];
    const close = text.indexOf(String.fromCodePoint(first + 2 * index + 1), at + 2);
    if (region === undefined || (code - first) % 2 === 1 || close === -1) {
      throw unaligned(`message ${region?.message ?? '?'} is cut by the template`);
    }
    if (seen.has(region)) throw unaligned(`message ${region.message} is written twice`);
    seen.add(region);
    found.push({ region, before: text.slice(rest, at), content: text.slice(at + 2, close) });
    rest = close + 2;
    at = rest;
  }
  return { found, after: text.slice(rest) };
}

/** A content as it is, and as templates trim it: [cut at its start, cut at its end]. */
function trims(content: string): [number, number][] {
  const starts = [0, content.length - content.trimStart().length, /^\n*/.exec(content)?.[0].length];
  const ends = [0, content.length - content.trimEnd().length, newlinesAtEnd(content)];
  const pairs = starts.flatMap((start = 0) => ends.map((end = 0) => [start, end] as const));
  return pairs
    .filter(([start, end]) => start + end <= content.length)
    .sort((a, b) => a[0] + a[1] - (b[0] + b[1]))
    .filter(([s, e], index, all) => all.findIndex(([x, y]) => x === s && y === e) === index)
    .map(([start, end]) => [start, end]);
}

/** `/\n*$/` tries again from every newline, which takes minutes on a long run of them. */
function newlinesAtEnd(content: string): number {
  let start = content.length;
  while (content[start - 1] === '\n') start--;
  return content.length - start;
}

interface State {
  readonly at: number;
  readonly place: ContentPlace | undefined;
  readonly previous: State | undefined;
}

/** Lays the marked regions over the plain rendering; each may have lost white space at its ends. */
function place(text: string, found: readonly Marked[], after: string): ContentPlace[] | undefined {
  let states: State[] = [{ at: 0, place: undefined, previous: undefined }];
  for (const { region, before, content } of found) {
    const next = new Map<number, State>();
    for (const state of states) {
      if (!text.startsWith(before, state.at)) continue;
      const start = state.at + before.length;
      for (const [lead, trail] of trims(content)) {
        const visible = content.slice(lead, content.length - trail);
        const end = start + visible.length;
        if (next.has(end) || !text.startsWith(visible, start)) continue;
        const { message, from } = region;
        const spot = { message, start, end, contentFrom: from + lead };
        next.set(end, { at: end, place: spot, previous: state });
      }
    }
    states = [...next.values()];
  }
  const last = states.find(
    ({ at }) => text.startsWith(after, at) && at + after.length === text.length,
  );
  if (last === undefined) return undefined;
  const places: ContentPlace[] = [];
  for (let state: State | undefined = last; state?.place; state = state.previous) {
    places.push(state.place);
  }
  return places.reverse();
}
