// Parts a reply that arrives in pieces into what it says and the tools that it calls, in the forms
// of Hermes and Qwen (<tool_call>), Mistral ([TOOL_CALLS]) and Llama 3 (JSON alone).

import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { parsedJson } from '../base/atomic-file.ts';
import type { ToolCall } from '../tokenizer/rendered-chat.ts';
import { heldBack } from './stop-strings.ts';

/** Control tokens that belong to a call: a reply that may call tools is read with them. */
export const TOOL_MARKS: readonly string[] = [
  ...['<tool_call>', '</tool_call>', '[TOOL_CALLS]', '[ARGS]', '[CALL_ID]', '<|python_tag|>'],
];
const OPEN = '<tool_call>';
const CLOSE = '</tool_call>';
/** After these everything is calls. */
const REST = ['[TOOL_CALLS]', '<|python_tag|>'];

export interface ToolParts {
  readonly text: string;
  readonly calls: readonly ToolCall[];
}

export interface ToolSplitter {
  /** What is new of each part. */
  push(piece: string): ToolParts;
  /** What was held back, once no more will come. */
  end(): ToolParts;
}

export interface Calling {
  /** Of the tools: JSON alone is a call only of one of these. */
  readonly names: readonly string[];
  /** One call at most: further ones are left out. */
  readonly isSingle: boolean;
}

export function createToolSplitter({ names, isSingle }: Calling): ToolSplitter {
  let made = 0;
  const allowed = (found: readonly ToolCall[]): readonly ToolCall[] => {
    const kept = isSingle ? found.slice(0, Math.max(0, 1 - made)) : found;
    made += kept.length;
    return kept;
  };
  let pending = '';
  let isBegun = false;
  let state: 'text' | 'call' | 'rest' | 'json' = 'text';

  function readText(): string {
    if (!isBegun && pending.trimStart() === '') return '';
    if (!isBegun && /^\s*[[{]/.test(pending) && !REST.some((mark) => begins(pending, mark))) {
      state = 'json';
      return '';
    }
    const marks = [OPEN, ...REST];
    const found = marks.map((mark) => pending.indexOf(mark)).filter((at) => at !== -1);
    const at = Math.min(...found, pending.length);
    const isFound = found.length > 0;
    const kept = isFound ? at : pending.length - heldBackWithBlanks(pending, marks);
    const text = pending.slice(0, kept);
    pending = pending.slice(kept);
    isBegun ||= text.trim() !== '';
    if (isFound) state = pending.startsWith(OPEN) ? 'call' : 'rest';
    return isFound ? text.trimEnd() : text;
  }

  function readCall(): ToolParts {
    const end = pending.indexOf(CLOSE);
    if (end === -1) return { text: '', calls: [] };
    const whole = pending.slice(0, end + CLOSE.length);
    const calls = callsIn(whole.slice(OPEN.length, end));
    pending = pending.slice(whole.length);
    if (calls !== undefined) pending = pending.trimStart();
    isBegun = true;
    state = 'text';
    return calls === undefined ? { text: whole, calls: [] } : { text: '', calls };
  }

  return {
    push(piece) {
      pending += piece;
      let text = '';
      const calls: ToolCall[] = [];
      for (let before = ''; before !== pending + state; ) {
        before = pending + state;
        if (state === 'text') text += readText();
        if (state !== 'call') continue;
        const read = readCall();
        text += read.text;
        calls.push(...read.calls);
      }
      return { text, calls: allowed(calls) };
    },
    end() {
      const rest = pending;
      pending = '';
      if (state === 'text') return { text: rest, calls: [] };
      const calls = callsIn(rest.replace(OPEN, ''));
      const isKnown = state !== 'json' || calls?.every(({ name }) => names.includes(name));
      return calls === undefined || !isKnown
        ? { text: rest, calls: [] }
        : { text: '', calls: allowed(calls) };
    },
  };
}

function begins(text: string, mark: string): boolean {
  const start = text.trimStart();
  return mark.startsWith(start) || start.startsWith(mark);
}

/** A call may come after blanks, which are then not part of what is said. */
function heldBackWithBlanks(text: string, marks: readonly string[]): number {
  const held = heldBack(text, marks);
  const before = text.slice(0, text.length - held);
  return held + before.length - before.trimEnd().length;
}

const Named = z.object({ name: z.string().min(1) });
const Call = z.union([
  z.object({ ...Named.shape, arguments: z.unknown() }).transform((call) => call),
  z
    .object({ ...Named.shape, parameters: z.unknown() })
    .transform(({ name, parameters }) => ({ name, arguments: parameters })),
]);
const Written = z.union([z.object({ function: Call }).transform((call) => call.function), Call]);

/** The calls of a text that holds nothing else; undefined: it holds something else. */
export function callsIn(text: string): ToolCall[] | undefined {
  // Mistral's newer form: the name before its arguments.
  const named = /^(?:\[TOOL_CALLS\])?\s*([\w.-]+)\s*(?:\[CALL_ID\]\w+)?(?:\[ARGS\])?\s*(?=\{)/;
  const calls: ToolCall[] = [];
  for (let rest = unfenced(text); rest !== ''; ) {
    const [whole = '', name] = named.exec(rest) ?? [];
    rest = rest.slice(whole.length).replace(/^(?:\[TOOL_CALLS\]|<\|python_tag\|>)\s*/, '');
    const length = jsonLength(rest);
    const value = parsedJson(rest.slice(0, length));
    if (value === undefined) return undefined;
    const list = name === undefined ? [value].flat() : [{ name, arguments: value }];
    for (const one of list) {
      const call = Written.safeParse(one);
      if (!call.success) return undefined;
      calls.push({ id: callId(), name: call.data.name, arguments: jsonOf(call.data.arguments) });
    }
    rest = rest.slice(length).replace(/^[\s;,]+/, '');
  }
  return calls.length === 0 ? undefined : calls;
}

function unfenced(text: string): string {
  const inner = text.trim();
  if (!inner.startsWith('```') || !inner.endsWith('```')) return inner;
  return inner.slice(3, -3).replace(/^json/, '').trim();
}

/** Some models write their arguments as a text that is JSON; clients parse them in any case. */
function jsonOf(value: unknown): string {
  if (typeof value === 'string' && parsedJson(value) !== undefined) return value;
  return JSON.stringify(value ?? {});
}

/** Characters of the JSON object or list with which a text begins. */
function jsonLength(text: string): number {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at] as string;
    if (character === '"') {
      for (at++; at < text.length && text[at] !== '"'; at++) if (text[at] === '\\') at++;
    } else if ('[{'.includes(character)) depth++;
    else if (']}'.includes(character)) depth--;
    if (depth === 0) return at + 1;
  }
  return text.length;
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789AB';

/** Nine letters and digits: Mistral's templates take no other id. */
function callId(): string {
  return Array.from(randomBytes(9), (byte) => ALPHABET[byte % ALPHABET.length]).join('');
}
