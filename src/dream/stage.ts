// Plays a structured scene: the model fills its slots one by one, so spans are known.
import type { Random } from '../base/random.ts';
import { extractItems } from '../memory/extract.ts';
import type { Angle, DraftSpan, Role } from './draft.ts';
import type { Piece, Side } from './scene.ts';
import type { TurnWriter } from './writer.ts';

export interface Played {
  readonly messages: { role: Role; content: string }[];
  readonly spans: DraftSpan[];
  /** Texts that the model sampled. */
  readonly sampled: string[];
}

export interface StageOptions {
  readonly writer: TurnWriter;
  readonly random: Random;
  readonly angle: Angle;
  /** Slots that are filled already; the others are added as the model fills them. */
  readonly slots: Map<string, string>;
  /** Distractors of the pair's other side, to be used again; filled when empty. */
  readonly distractors: Exchange[];
  /** What the scene is about: distractors keep away from it. */
  readonly about?: readonly string[];
  /** Exchanges to fall back on when the model's own are no good. */
  readonly spare: readonly Exchange[];
  readonly retries: number;
}

export interface Exchange {
  readonly user: string;
  readonly assistant: string;
  readonly isSampled: boolean;
}

const SLOT_TOKENS_MAX = 12;
const SLOT_WORDS_MAX = 5;
const TURN_TOKENS_MAX = 32;

/** Behind one of these, a value has ended and the sentence goes on. */
const GOES_ON = /\s(?:for|in|on|at|to|with|and|or|of|is|from|because|please|so|then|now|as)\b/i;
/** No value begins with one of these. */
const NO_BEGINNING =
  /^(?:to|for|in|on|at|is|are|was|i|you|it|my|your|and|or|of|not|no|that|this|do|did|please)\b/i;

/** What the model wrote, up to where the slot ends; undefined if it is longer than a few words or no value. */
export function cutSlot(written: string, after: string): string | undefined {
  const next = after.trim().split(/\s+/)[0] ?? '';
  const words = written.split('\n')[0] ?? '';
  const ends = [GOES_ON.exec(words)?.index ?? words.length];
  if (/^\w+$/.test(next)) {
    const at = words.search(new RegExp(`\\s${next}\\b`, 'i'));
    if (at !== -1) ends.push(at);
  }
  const head = words.slice(0, Math.min(...ends));
  const slot = (/^[^.!?,;:"()]*/.exec(head)?.[0] ?? '').trim();
  const count = slot.split(/\s+/).filter(Boolean).length;
  if (count < 1 || count > SLOT_WORDS_MAX || !/^[\p{L}\p{N}]/u.test(slot)) return undefined;
  return NO_BEGINNING.test(slot) || /\ufffd|[<>[\]{}|]/.test(slot) ? undefined : slot;
}

function textAfter(pieces: readonly Piece[], index: number): string {
  const next = pieces.slice(index + 1).find((piece) => piece.kind === 'text');
  return next?.kind === 'text' ? next.text : '';
}

const isSame = (a: string, b: string): boolean => {
  const [x, y] = [a.toLowerCase(), b.toLowerCase()];
  return x.includes(y) || y.includes(x);
};

async function fillSlot(
  played: Played,
  turn: { readonly role: Role; readonly text: string; readonly after: string },
  { writer, random, slots, retries }: StageOptions,
): Promise<string | undefined> {
  for (let attempt = 0; attempt <= retries; attempt++) {
    const { text } = await writer.write({
      messages: played.messages,
      role: turn.role === 'assistant' ? 'assistant' : 'user',
      prefix: turn.text.trimEnd(),
      tokensMax: SLOT_TOKENS_MAX,
      seed: random.uint32(),
    });
    const slot = cutSlot(text, turn.after);
    if (slot !== undefined && ![...slots.values()].some((other) => isSame(other, slot))) {
      played.sampled.push(slot);
      return slot;
    }
  }
  return undefined;
}

/**
 * Adds a turn, slot by slot; turns of the same side in a row become one.
 * @returns why it could not be played, or undefined
 */
async function playTurn(
  played: Played,
  role: Role,
  pieces: readonly Piece[],
  options: StageOptions,
): Promise<string | undefined> {
  const last = played.messages.at(-1);
  const isContinued = last !== undefined && last.role === role;
  const message = isContinued ? played.messages.length - 1 : played.messages.length;
  if (isContinued) played.messages.pop();
  let content = isContinued ? `${last.content} ` : '';
  const open = new Map<string, number>();
  for (const [index, piece] of pieces.entries()) {
    if (piece.kind === 'text') content += piece.text;
    else if (piece.kind === 'open') open.set(piece.feature, content.length);
    else if (piece.kind === 'close') {
      const start = open.get(piece.feature) ?? content.length;
      played.spans.push({ feature: piece.feature, message, start, end: content.length });
    } else if (piece.kind === 'slot') {
      let value = options.slots.get(piece.name);
      if (value === undefined) {
        const turn = { role, text: content, after: textAfter(pieces, index) };
        value = await fillSlot(played, turn, options);
        if (value === undefined) return 'the model filled no slot';
        options.slots.set(piece.name, value);
      }
      content += content.trim() === '' ? value.charAt(0).toUpperCase() + value.slice(1) : value;
    }
  }
  played.messages.push({
    role,
    content: role === 'user' ? toned(content, options.angle) : content,
  });
  return undefined;
}

const FAREWELL =
  /\b(?:bye|goodbye|good night|have to go|that's all|that's everything|see you|talk later)\b/i;

/** Words of the person that end nothing, repeat nothing and direct nothing. */
function isDistraction(
  text: string,
  { messages }: Played,
  { slots, about = [] }: StageOptions,
): boolean {
  const items = extractItems({ id: '', role: 'user', text });
  if (items.some(({ kind, weight }) => kind === 'direction' && weight >= 0.6)) return false;
  if ([...slots.values(), ...about].some((matter) => isSame(text, matter))) return false;
  if (messages.some(({ content }) => content.includes(text))) return false;
  return text.length >= 2 && !FAREWELL.test(text);
}

/** An exchange about something else: short, and without a direction of its own. */
async function sampleExchange(
  played: Played,
  options: StageOptions,
): Promise<Exchange | undefined> {
  const { writer, random, slots, retries, about = [] } = options;
  for (let attempt = 0; attempt <= retries; attempt++) {
    const said = await writer.write({
      messages: played.messages,
      role: 'user',
      tokensMax: TURN_TOKENS_MAX,
      seed: random.uint32(),
    });
    if (!said.isEnded || !isDistraction(said.text, played, options)) continue;
    const user = { role: 'user' as const, content: said.text };
    const reply = await writer.write({
      messages: [...played.messages, user],
      role: 'assistant',
      tokensMax: TURN_TOKENS_MAX,
      seed: random.uint32(),
    });
    const isNear = [...slots.values(), ...about].some((slot) => isSame(reply.text, slot));
    if (!reply.isEnded || reply.text.length < 2 || isNear) continue;
    return { user: said.text, assistant: reply.text, isSampled: true };
  }
  return undefined;
}

/**
 * Adds exchanges about other things; the model's own where it finds any.
 * @returns why there were not enough, or undefined
 */
export async function addDistractors(
  played: Played,
  count: number,
  options: StageOptions,
): Promise<string | undefined> {
  // A direction right before wants its answer first.
  if (count > 0 && played.messages.at(-1)?.role === 'user') {
    played.messages.push({ role: 'assistant', content: 'Okay.' });
  }
  for (let index = 0; index < count; index++) {
    let exchange = options.distractors[index];
    if (exchange === undefined) {
      const unused = options.spare.filter((one) => !options.distractors.includes(one));
      const spare = unused.length === 0 ? undefined : options.random.pick(unused);
      exchange = (await sampleExchange(played, options)) ?? spare;
      if (exchange === undefined) return 'the model wrote no exchange';
      options.distractors.push(exchange);
    }
    played.messages.push({ role: 'user', content: exchange.user });
    played.messages.push({ role: 'assistant', content: exchange.assistant });
    if (exchange.isSampled) played.sampled.push(exchange.user, exchange.assistant);
  }
  return undefined;
}

/** @returns the scene as it was played, or why it could not be */
export async function playScene(side: Side, options: StageOptions): Promise<Played | string> {
  const played: Played = { messages: [], spans: [], sampled: [] };
  // The wording of a line is drawn from its place, so both sides of a pair say the same.
  for (const [index, line] of side.lines.entries()) {
    let problem: string | undefined;
    if (line.kind === 'distractors') {
      problem = await addDistractors(played, options.angle.distance, options);
    } else {
      const wording = Math.floor(options.random.uniformAt(index) * line.wordings.length);
      problem = await playTurn(played, line.role, line.wordings[wording] ?? [], options);
    }
    if (problem !== undefined) return problem;
  }
  return played;
}

/**
 * A candidate in the scene's own words; slots that stand nowhere else are filled by the model.
 * @returns the candidate, or why a slot could not be filled
 */
export async function playCandidate(
  played: Played,
  wordings: readonly Piece[][],
  options: StageOptions,
): Promise<{ text: string; sampled: string[] } | string> {
  const index = Math.floor(options.random.uniform() * wordings.length);
  const scratch: Played = { messages: [...played.messages], spans: [], sampled: [] };
  const problem = await playTurn(scratch, 'assistant', wordings[index] ?? [], options);
  if (problem !== undefined) return problem;
  return { text: scratch.messages.at(-1)?.content ?? '', sampled: scratch.sampled };
}

/** Spans stay where they are: only the case of the first letter changes. */
function toned(content: string, { tone }: Angle): string {
  return tone === 'casual' && /^\p{Lu}\p{Ll}/u.test(content)
    ? content.charAt(0).toLowerCase() + content.slice(1)
    : content;
}

interface Spoken {
  readonly text: string;
  readonly from: string;
}

/** Share of the characters that the model sampled, now or (what was really said) in the talk. */
export function shareOf(played: Played, ...candidates: readonly (Spoken | undefined)[]): number {
  const length = (texts: readonly string[]): number => texts.reduce((sum, t) => sum + t.length, 0);
  const spoken = candidates.filter((candidate) => candidate !== undefined);
  const own = spoken.filter(
    ({ from }) => from === 'guided' || from === 'unguided' || from === 'said',
  );
  const sampled = length(played.sampled) + length(own.map(({ text }) => text));
  const total =
    length(played.messages.map(({ content }) => content)) + length(spoken.map(({ text }) => text));
  return total === 0 ? 0 : Math.min(1, sampled / total);
}
