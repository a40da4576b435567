// A structured scene: turns with named slots that the model fills, and marked features.
import { z } from 'zod';
import { AttuneError } from '../base/errors.ts';
import { frontOf, type Prompt } from '../prompt/prompt.ts';
import { KINDS, type Kind } from '../scenario/kind.ts';
import { FEATURES } from '../scenario/span.ts';

const frontSchema = z.strictObject({
  kind: z.enum(KINDS),
  /** Kind of the other side of a crossed pair, whose lines are marked `@twin`. */
  twin: z.enum(KINDS).optional(),
  /** Two slots that are exchanged on the other side; without `twin` they alone make it. */
  cross: z.array(z.string()).max(2).default([]),
  /** A listening reply names these slots. */
  needs: z.array(z.string()).default([]),
  needsTwin: z.array(z.string()).default([]),
  /** A listening reply names none of these slots … */
  avoids: z.array(z.string()).default([]),
  avoidsTwin: z.array(z.string()).default([]),
  /** … and on the other side has none of these words. */
  avoidsWordsTwin: z.array(z.string()).default([]),
  /** Slots that may be filled with a name or a number out of the memory. */
  remember: z.array(z.string()).default([]),
  /** What the memory must hold for this scene. */
  from: z.enum(['anything', 'feeling', 'direction', 'decline']).default('anything'),
});
export type SceneFront = z.infer<typeof frontSchema>;

type Feature = (typeof FEATURES)[number];

/** A piece of a turn, in order. */
export type Piece =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'slot'; readonly name: string }
  | { readonly kind: 'open' | 'close'; readonly feature: Feature };

export type Line =
  | {
      readonly kind: 'turn';
      readonly role: 'system' | 'user' | 'assistant';
      readonly wordings: readonly Piece[][];
    }
  /** Exchanges about other things: as many as the angle says. */
  | { readonly kind: 'distractors' };

export interface Side {
  readonly kind: Kind;
  readonly lines: readonly Line[];
  /** The scene's own words for the candidates, used where the model finds none. */
  readonly chosen: readonly Piece[][];
  readonly rejected: readonly Piece[][];
  readonly needs: readonly string[];
  readonly avoids: readonly string[];
  readonly avoidsWords: readonly string[];
  /** Slots that are exchanged on this side: none, or two. */
  readonly cross: readonly string[];
}

export interface Scene {
  readonly name: string;
  readonly hash: string;
  readonly front: SceneFront;
  /** As it stands, and the other side of the crossed pair where there is one. */
  readonly sides: readonly [Side] | readonly [Side, Side];
  /** Values that have to be given: `{{task}}`, `{{topic}}` … */
  readonly values: readonly string[];
}

const LINE = /^(system|user|assistant|chosen|rejected)(?:(?<!chosen|rejected)(@twin))?: (.+)$/;
const PIECE = /\[\[([a-z]+)\]\]|<(\/?)([a-z-]+)>/g;

function invalid(name: string, message: string): AttuneError {
  return new AttuneError('prompt-invalid', `Prompt ${name}: ${message}`, { name });
}

function parsePieces(name: string, text: string): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  const push = (to: number): void => {
    if (to > at) pieces.push({ kind: 'text', text: text.slice(at, to) });
  };
  for (const match of text.matchAll(PIECE)) {
    push(match.index);
    at = match.index + match[0].length;
    const [, slot, slash, tag] = match;
    if (slot !== undefined) pieces.push({ kind: 'slot', name: slot });
    else {
      const feature = FEATURES.find((one) => one === tag);
      if (feature === undefined) throw invalid(name, `<${tag}> is no feature.`);
      pieces.push({ kind: slash === '/' ? 'close' : 'open', feature });
    }
  }
  push(text.length);
  const depth = pieces.reduce(
    (open, piece) => open + (piece.kind === 'open' ? 1 : piece.kind === 'close' ? -1 : 0),
    0,
  );
  if (depth !== 0) throw invalid(name, `a feature is not closed in "${text}".`);
  return pieces;
}

/** Words that a person once said may hold anything; in a scene they are text and nothing else. */
export function asValue(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .replace(/\[\[|\]\]|\|\||<\/?[a-z-]+>/g, '')
    .trim();
}

interface Read {
  lines: Line[];
  chosen: Piece[][];
  rejected: Piece[][];
}

function readSide(name: string, text: string, isTwin: boolean): Read {
  const side: Read = { lines: [], chosen: [], rejected: [] };
  for (const row of text.split('\n').map((line) => line.trim())) {
    if (row === '') continue;
    if (row === '...') {
      side.lines.push({ kind: 'distractors' });
      continue;
    }
    const match = LINE.exec(row);
    if (match === null) throw invalid(name, `"${row}" is no line of a scene.`);
    const [, role, twin, words = ''] = match;
    if (twin !== undefined && !isTwin) continue;
    const wordings = words.split(' || ').map((wording) => parsePieces(name, wording));
    if (role === 'chosen' || role === 'rejected') side[role] = wordings;
    else {
      const line: Line = { kind: 'turn', role: role as 'user', wordings };
      // The twin's own line takes the place of the one before.
      if (twin === undefined) side.lines.push(line);
      else side.lines[side.lines.length - 1] = line;
    }
  }
  return side;
}

function checkSide(name: string, { lines }: Read): void {
  const last = lines.at(-1);
  if (last?.kind !== 'turn' || last.role !== 'user') {
    throw invalid(name, 'a scene ends with a turn of the person (user:).');
  }
}

/**
 * Reads a scene for given values. The file is parsed again for each dream, since values are text.
 * @throws prompt-invalid
 */
export function readScene(prompt: Prompt, values: Readonly<Record<string, string>>): Scene {
  const front = frontOf(prompt, frontSchema);
  const safe = Object.fromEntries(
    prompt.slots.map((slot) => {
      const value = values[slot];
      if (value === undefined) throw invalid(prompt.name, `no value for {{${slot}}}.`);
      return [slot, asValue(value)];
    }),
  );
  const text = prompt.fill(safe);
  const first = readSide(prompt.name, text, false);
  checkSide(prompt.name, first);
  const { kind, needs, avoids } = front;
  const side: Side = { kind, ...first, needs, avoids, avoidsWords: [], cross: [] };
  const twin = twinOf(prompt.name, text, side, front);
  return {
    name: prompt.name,
    hash: prompt.hash,
    front,
    sides: twin === undefined ? [side] : [side, twin],
    values: prompt.slots,
  };
}

/**
 * The other side: the same candidates, exchanged, in a context in which the other one is right.
 * Whoever does not read the context gets no such pair right, so none of it is a habit of speech.
 */
function twinOf(name: string, text: string, side: Side, front: SceneFront): Side | undefined {
  const { twin: kind, cross } = front;
  const candidates = { chosen: side.rejected, rejected: side.chosen };
  if (kind === undefined) return cross.length < 2 ? undefined : { ...side, ...candidates, cross };
  const read = readSide(name, text, true);
  checkSide(name, read);
  return {
    kind,
    lines: read.lines,
    ...candidates,
    needs: front.needsTwin,
    avoids: front.avoidsTwin,
    avoidsWords: front.avoidsWordsTwin,
    cross,
  };
}

/** What the slots of a scene hold on this side. */
export function slotsOf(
  { cross }: Side,
  slots: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const [one = '', other = ''] = cross;
  const [first, second] = [slots.get(one), slots.get(other)];
  if (first === undefined || second === undefined) return slots;
  return new Map(slots).set(one, second).set(other, first);
}

/** What a listening reply has to name on this side, and what it must not. @param all the slots */
export function factsOf(
  side: Side,
  all: ReadonlyMap<string, string>,
): { needs?: string[][]; avoids?: string[] } | undefined {
  const slots = slotsOf(side, all);
  const needs = side.needs.map((name) => [slots.get(name) ?? '']).filter(([value]) => value !== '');
  const named = side.avoids.flatMap((name) => slots.get(name) ?? '').filter((one) => one !== '');
  const avoids = [...named, ...side.avoidsWords];
  if (needs.length === 0 && avoids.length === 0) return undefined;
  return { ...(needs.length === 0 ? {} : { needs }), ...(avoids.length === 0 ? {} : { avoids }) };
}
