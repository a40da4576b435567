// A conversation as token ids, with the map from messages and characters to tokens.
import { AttuneError } from '../base/errors.ts';
import { alignTokens, spell } from './align.ts';
import type { RenderedText } from './chat-template.ts';
import type { TextEncoderParts } from './encoder.ts';
import type { TokenBytes } from './token-bytes.ts';
import type { AddedToken } from './tokenizer-file.ts';

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
  /**
   * The tokens that the model sampled for this content, without the end-of-turn token. They are
   * kept as they are, since the same text may be cut into tokens in more than one way and a KV
   * cache belongs to tokens.
   */
  readonly ids?: readonly number[];
  /** Of a reply: the tools that it called after its content. */
  readonly toolCalls?: readonly ToolCall[];
  /** Of a tool's answer, whose role is `tool`: the call that it answers. */
  readonly toolCallId?: string;
}

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON, as the model wrote it. */
  readonly arguments: string;
}

/** Places in `ids`. Messages tile the ids in the order in which the template writes them. */
export interface MessageTokens {
  /** With the role's header … */
  readonly start: number;
  /** … and with the token that ends the turn, if the template writes one. */
  readonly end: number;
  /** Tokens that hold characters of the content. Equal when nothing of it was written. */
  readonly contentStart: number;
  readonly contentEnd: number;
  /** False when the template leaves this message out. */
  readonly isWritten: boolean;
}

export type TokenSpan = readonly [from: number, to: number];

export interface RenderedChat {
  readonly ids: number[];
  /** What the template wrote. */
  readonly text: string;
  readonly messages: readonly MessageTokens[];
  /**
   * The tokens that hold characters `[start, end)` (UTF-16) of a message's content, those that
   * share a character with the text around included. White space that the template trimmed off
   * the content belongs to no token.
   * @throws span-unaligned when nothing of the span was written
   */
  spanToTokens(message: number, start: number, end: number): TokenSpan;
}

export interface EncodeChatParts {
  readonly encoder: TextEncoderParts;
  readonly tokens: TokenBytes;
  readonly stopIds: readonly number[];
}

interface Row {
  readonly id: number;
  /** Characters in the text, `[start, end)`; equal for a token that stands for none. */
  readonly start: number;
  readonly end: number;
  readonly isControl: boolean;
}

/** Text between contents whose tokens were given. */
interface Stretch {
  readonly start: number;
  readonly end: number;
  readonly ids: readonly number[] | undefined;
}

function stretches(
  { text, places }: RenderedText,
  messages: readonly ChatMessage[],
  tokens: TokenBytes,
): Stretch[] {
  const list: Stretch[] = [];
  let at = 0;
  for (const { message, start, end, contentFrom } of places) {
    const given = messages[message];
    // Only a content that is written as a whole is the given tokens'.
    if (given?.ids === undefined || end === start) continue;
    const written = given.content.slice(contentFrom, contentFrom + end - start);
    if (written !== given.content.trim() && written !== given.content) continue;
    // SentencePiece: the first token holds the blank that the template writes before a past reply.
    const isBlankOurs = text[start - 1] === ' ' && spell(given.ids, tokens).text === ` ${written}`;
    const from = isBlankOurs ? start - 1 : start;
    if (from > at) list.push({ start: at, end: from, ids: undefined });
    list.push({ start: from, end, ids: given.ids });
    at = end;
  }
  if (at < text.length) list.push({ start: at, end: text.length, ids: undefined });
  return list;
}

/** Text is its author's: control tokens count only in what the template itself wrote. */
function permission(
  { places }: RenderedText,
  messages: readonly ChatMessage[],
): (token: AddedToken, start: number, end: number) => boolean {
  return (token, start, end) => {
    const place = places[firstWhere(places, (one) => one.end > start)];
    if (place === undefined || place.start >= end) return true;
    const isInside = place.start <= start && end <= place.end;
    if (!isInside || token.isControl) return false;
    return messages[place.message]?.role === 'assistant' || !token.isMarkup;
  };
}

function rowsOf(
  stretch: Stretch,
  rendered: RenderedText,
  messages: readonly ChatMessage[],
  { encoder, tokens }: EncodeChatParts,
): Row[] {
  const text = rendered.text.slice(stretch.start, stretch.end);
  if (stretch.ids !== undefined) {
    const { starts, ends } = align(text, stretch.ids, tokens, true);
    return stretch.ids.map((id, index) => ({
      id,
      start: stretch.start + (starts[index] ?? 0),
      end: stretch.start + (ends[index] ?? 0),
      isControl: false,
    }));
  }
  const mayUse = permission(rendered, messages);
  const pieces = encoder.encode(text, {
    mayUse: (token, start, end) => mayUse(token, start + stretch.start, end + stretch.start),
    isSequenceStart: stretch.start === 0,
  });
  return pieces.flatMap(({ ids, start, end, token }) => {
    const from = stretch.start + start;
    if (token !== undefined) {
      const { isControl } = token;
      return ids.map((id): Row => ({ id, start: from, end: stretch.start + end, isControl }));
    }
    const { starts, ends } = align(text.slice(start, end), ids, tokens, false);
    return ids.map((id, index): Row => {
      const place = { start: from + (starts[index] ?? 0), end: from + (ends[index] ?? 0) };
      return { id, ...place, isControl: false };
    });
  });
}

function align(text: string, ids: readonly number[], tokens: TokenBytes, isTrimmed: boolean) {
  const alignment = alignTokens(text, ids, tokens, { isTrimmed });
  if (alignment !== undefined) return alignment;
  const sample = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  const message =
    `The tokens of ${JSON.stringify(sample)} say something else than the text: this tokenizer ` +
    'loses characters, so spans cannot be placed.';
  throw new AttuneError('span-unaligned', message, { text: sample });
}

/** The first item of which it is so; items are in the order of the text, so it stays so. */
function firstWhere<Item>(items: readonly Item[], isSo: (item: Item) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isSo(items[middle] as Item)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * Tokens that share a character with `[start, end)` of the text. A control token never does, even
 * where it swallows white space of a content.
 */
function overlapping(rows: readonly Row[], start: number, end: number): TokenSpan {
  const isIn = (row: Row): boolean => !row.isControl && row.end > start && row.start < end;
  let from = firstWhere(rows, (row) => row.end > start);
  while (from < rows.length && (rows[from] as Row).start < end && !isIn(rows[from] as Row)) from++;
  if (from === rows.length || !isIn(rows[from] as Row)) {
    const next = firstWhere(rows, (row) => row.start >= start);
    return [next, next];
  }
  let to = from + 1;
  for (let at = to; at < rows.length && (rows[at] as Row).start < end; at++) {
    if (isIn(rows[at] as Row)) to = at + 1;
  }
  return [from, to];
}

/** Tiles the ids: a message ends behind the control token that closes its content. */
function tile(
  rendered: RenderedText,
  rows: readonly Row[],
  { count, stopIds }: { readonly count: number; readonly stopIds: readonly number[] },
): MessageTokens[] {
  const tiles: MessageTokens[] = [];
  let at = 0;
  for (const [index, { message, start, end }] of rendered.places.entries()) {
    const [contentStart, contentEnd] = overlapping(rows, start, end);
    const after = rendered.places[index + 1];
    const row = rows[contentEnd];
    const isClosed =
      row?.isControl === true &&
      after?.message !== message &&
      // Else it is the header of the next message.
      (stopIds.includes(row.id) || (after !== undefined && row.end < after.start));
    const tokensEnd = contentEnd + (isClosed ? 1 : 0);
    const before = tiles[message];
    tiles[message] = {
      start: before?.start ?? at,
      end: tokensEnd,
      contentStart: before?.contentStart ?? contentStart,
      contentEnd,
      isWritten: true,
    };
    at = tokensEnd;
  }
  for (let message = count - 1, next = at; message >= 0; message--) {
    const known = tiles[message];
    tiles[message] = known ?? {
      start: next,
      end: next,
      contentStart: next,
      contentEnd: next,
      isWritten: false,
    };
    next = (tiles[message] as MessageTokens).start;
  }
  return tiles;
}

/** Encodes what a template wrote. @throws span-unaligned */
export function encodeChat(
  rendered: RenderedText,
  messages: readonly ChatMessage[],
  parts: EncodeChatParts,
): RenderedChat {
  const rows = stretches(rendered, messages, parts.tokens).flatMap((stretch) =>
    rowsOf(stretch, rendered, messages, parts),
  );
  return {
    ids: rows.map((row) => row.id),
    text: rendered.text,
    messages: tile(rendered, rows, { count: messages.length, stopIds: parts.stopIds }),
    spanToTokens(message, start, end) {
      const spans = rendered.places
        .filter((place) => place.message === message)
        .map((place) => {
          const shift = place.start - place.contentFrom;
          const from = Math.max(place.start, start + shift);
          return [from, Math.min(place.end, end + shift)] as const;
        })
        .filter(([from, to]) => to > from)
        .map(([from, to]) => overlapping(rows, from, to));
      const first = spans[0];
      const last = spans.at(-1);
      if (first === undefined || last === undefined) {
        throw new AttuneError(
          'span-unaligned',
          `Characters ${start} to ${end} of message ${message} are not in the rendered chat.`,
          { message, start, end },
        );
      }
      return [first[0], last[1]];
    },
  };
}
