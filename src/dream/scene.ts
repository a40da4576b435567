// A structured scene: turns with named slots that the model fills, and marked features.

import { z } from 'zod';
import { AttuneError } from '../base/errors.ts';
import type { Prompt } from '../prompt/prompt.ts';
import { FEATURES, KINDS, type Kind } from '../scenario/kind.ts';

const frontSchema = z.strictObject({
  kind: z.enum(KINDS),
  /** Kind of the other side of the pair, whose lines are marked `@twin`. */
  twin: z.enum(KINDS).optional(),
  /** A listening reply names these slots or values. */
  needs: z.array(z.string()).default([]),
  needsTwin: z.array(z.string()).default([]),
  /** A listening reply names none of these. */
  avoids: z.array(z.string()).default([]),
  avoidsTwin: z.array(z.string()).default([]),
  /** A reply of the model counts as not listening only when it names one of these slots. */
  betrays: z.array(z.string()).default([]),
  betraysTwin: z.array(z.string()).default([]),
  /** Two slots; exchanged, they make the other side of a crossed pair. */
  cross: z.array(z.string()).max(2).default([]),
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
  readonly betrays: readonly string[];
}

export interface Scene {
  readonly name: string;
  readonly hash: string;
  readonly front: SceneFront;
  readonly sides: readonly Side[];
  /** Values that have to be given: `{{task}}`, `{{topic}}` … */
  readonly values: readonly string[];
}

const LINE = /^(system|user|assistant|chosen|rejected)(@twin)?: (.+)$/;
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
    if (role === 'chosen' || role === 'rejected') {
      // The twin's own line takes the place of the one before.
      side[role] = wordings;
    } else {
      const line: Line = { kind: 'turn', role: role as 'user', wordings };
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
 * Reads a scene for given values. The file is parsed anew for each dream, since values are text.
 * @throws prompt-invalid
 */
export function readScene(prompt: Prompt, values: Readonly<Record<string, string>>): Scene {
  const parsed = frontSchema.safeParse(prompt.frontMatter);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw invalid(prompt.name, `${issue?.path.join('.')}: ${issue?.message}.`);
  }
  const front = parsed.data;
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
  const sides: Side[] = [
    {
      kind: front.kind,
      ...first,
      needs: front.needs,
      avoids: front.avoids,
      betrays: front.betrays,
    },
  ];
  if (front.twin !== undefined) {
    const second = readSide(prompt.name, text, true);
    checkSide(prompt.name, second);
    sides.push({
      kind: front.twin,
      ...second,
      needs: front.needsTwin,
      avoids: front.avoidsTwin,
      betrays: front.betraysTwin,
    });
  }
  return { name: prompt.name, hash: prompt.hash, front, sides, values: prompt.slots };
}

/** What a listening reply has to name, and what it must not, once the slots are filled. */
export function factsOf(
  side: Side,
  slots: ReadonlyMap<string, string>,
): { needs?: string[][]; avoids?: string[] } | undefined {
  const inSlot = (name: string): string[] => [slots.get(name) ?? ''];
  const needs = side.needs.map(inSlot).filter((group) => group[0] !== '');
  const avoids = side.avoids.flatMap(inSlot).filter((value) => value !== '');
  if (needs.length === 0 && avoids.length === 0) return undefined;
  return { ...(needs.length === 0 ? {} : { needs }), ...(avoids.length === 0 ? {} : { avoids }) };
}
