// Sends replies as they grow, in whichever format an API has: the one writer of all of them.
import type { ServerResponse } from 'node:http';
import { AttuneError, codedError, isErrorCode } from '../../base/errors.ts';
import type { ReplyEnding } from '../../chat/event.ts';
import type { InFlight } from '../../chat/reply-runner.ts';
import type { RunningReply } from '../../chat/running-reply.ts';
import type { DecodedToken } from '../../engine/engine.ts';
import type { Reply } from '../../protocol/conversation.ts';
import type { ToolCall } from '../../tokenizer/rendered-chat.ts';
import { hasRoom, sendJson } from '../route.ts';

/** What came of a reply since the part before. */
export interface Part {
  readonly choice: number;
  readonly text: string;
  readonly thought: string;
  readonly calls: readonly ToolCall[];
  /** Of the text and the calls; only where log-probabilities are asked for. */
  readonly tokens: readonly DecodedToken[] | undefined;
}

/** A reply that has ended. */
export interface Done {
  readonly choice: number;
  readonly running: RunningReply;
  readonly reply: Reply;
}

/** How an API writes replies. What a stream has of them is text, ready to be sent. */
export interface Format {
  readonly contentType: string;
  /** Sent while nothing else is, so that nobody in between takes the stream for dead. */
  readonly keepAlive: string;
  whole(all: readonly Done[]): object;
  begin(): string;
  part(part: Part): string;
  /** One of the replies has ended. */
  end(done: Done): string;
  finish(all: readonly Done[]): string;
  fail(error: AttuneError): string;
}

interface Sending {
  readonly response: ServerResponse;
  /** Ends when the client goes away. */
  readonly signal: AbortSignal;
  readonly isStream: boolean;
  /** Of silence before a sign of life. */
  readonly keepAliveMs?: number;
}

const KEEP_ALIVE_MS = 5_000;

/** @throws with the code of what interrupted a reply, where nothing was sent yet */
export async function send(
  replies: readonly InFlight[],
  format: Format,
  sending: Sending,
): Promise<void> {
  const { response, signal, isStream } = sending;
  // Whoever asked over these APIs cannot come back for the rest: replies end with their request.
  const abort = (): void => {
    for (const { reply } of replies) reply.abort();
  };
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  try {
    if (isStream) return await stream(replies, format, sending);
    const all = await Promise.all(replies.map(done));
    if (!response.destroyed) sendJson(response, format.whole(all));
  } catch (error) {
    abort();
    throw error;
  }
}

/** @throws with the code of what interrupted the reply */
export async function done({ reply: running, ended }: InFlight, choice: number): Promise<Done> {
  const ending: ReplyEnding = await ended;
  if (ending.type === 'reply-end' && ending.error === null) {
    return { choice, running, reply: ending.reply };
  }
  const { code, message } = ending.error ?? { code: 'internal-error', message: '' };
  throw new AttuneError(isErrorCode(code) ? code : 'internal-error', message);
}

async function stream(
  replies: readonly InFlight[],
  format: Format,
  { response, keepAliveMs = KEEP_ALIVE_MS }: Sending,
): Promise<void> {
  response.writeHead(200, {
    'Content-Type': format.contentType,
    'Cache-Control': 'no-store',
    Connection: 'keep-alive',
  });
  let isQuiet = false;
  const write = (text: string): void => {
    isQuiet = false;
    if (text !== '' && !response.destroyed) response.write(text);
  };
  const timer = setInterval(() => {
    if (isQuiet) write(format.keepAlive);
    isQuiet = true;
  }, keepAliveMs);
  try {
    write(format.begin());
    const each = replies.map(async (inFlight, choice) => {
      await follow(inFlight, choice, { response, write: (part) => write(format.part(part)) });
      const one = await done(inFlight, choice);
      write(format.end(one));
      return one;
    });
    write(format.finish(await Promise.all(each)));
  } catch (error) {
    for (const { reply } of replies) reply.abort();
    write(format.fail(codedError(error)));
  } finally {
    clearInterval(timer);
    response.end();
  }
}

interface Following {
  readonly response: ServerResponse;
  readonly write: (part: Part) => void;
}

/** Until the reply has ended, or its reader is gone. */
async function follow(
  { reply, ended }: InFlight,
  choice: number,
  { response, write }: Following,
): Promise<void> {
  const next = growth(reply, choice);
  const writeNext = (): void => {
    const part = next();
    const isEmpty = part.text === '' && part.thought === '' && part.calls.length === 0;
    if (!isEmpty || (part.tokens?.length ?? 0) > 0) write(part);
  };
  let isEnded = false;
  const end = ended.then(() => {
    isEnded = true;
  });
  while (!isEnded) {
    await Promise.race([reply.grown(), end]);
    // A slow reader gets the words that came meanwhile as one part.
    if (!(await hasRoom(response))) {
      reply.abort();
      return;
    }
    writeNext();
  }
}

/** Each call gives what came since the last. */
function growth(reply: RunningReply, choice: number): () => Part {
  const at = { text: 0, thought: 0, calls: 0, tokens: 0 };
  return () => {
    const { text, thought, calls, tokens } = reply;
    const part: Part = {
      choice,
      text: text.slice(at.text),
      thought: thought.slice(at.thought),
      calls: calls.slice(at.calls),
      tokens: reply.head.keepTokens ? tokens.slice(at.tokens) : undefined,
    };
    at.text = text.length;
    at.thought = thought.length;
    at.calls = calls.length;
    at.tokens = tokens.length;
    return part;
  };
}

/** One server-sent event. */
export function event(data: object | string, name?: string): string {
  const head = name === undefined ? '' : `event: ${name}\n`;
  return `${head}data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;
}

export const EVENT_STREAM = {
  contentType: 'text/event-stream; charset=utf-8',
  keepAlive: ': keep-alive\n\n',
} as const;
