// What both kinds of replay share: which conversations of a file, how many at a time, their ids.
import { basename } from 'node:path';
import type { AddressOptions } from '../address.ts';
import type { LiveConversations } from './live-conversation.ts';

export interface ReplayOptions extends AddressOptions {
  readonly moments?: boolean;
  readonly limit?: number;
  readonly skip: number;
  /** Seconds before each message. */
  readonly pace: number;
  /** Number of concurrent conversations. */
  readonly at: number;
  readonly dialogues?: string;
  readonly kind?: string;
  readonly quiet?: boolean;
}

export interface ReplayIo {
  readonly write: (line: string) => void;
  readonly sleep: (ms: number) => Promise<void>;
}

/** The conversation's id, the same in each replay of the file. */
export function replayedId(file: string, id: string): string {
  const name = basename(file).replace(/\..*$/, '');
  return `${name}-${id}`.replace(/[^A-Za-z0-9_-]/g, '-').slice(0, 60);
}

export interface ReplayParts {
  readonly conversations: LiveConversations;
  readonly io: ReplayIo;
}

/** Works on a number of items at a time; the first failure ends it. */
export async function eachAtOnce<T>(
  items: AsyncIterable<T> | Iterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  async function* all(): AsyncGenerator<T> {
    yield* items;
  }
  const waiting = all();
  const worker = async (): Promise<void> => {
    for (let next = await waiting.next(); !next.done; next = await waiting.next()) {
      await work(next.value);
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, atOnce) }, worker));
}

export async function* chosenOf<T>(
  items: AsyncIterable<T>,
  { skip, limit }: Pick<ReplayOptions, 'skip' | 'limit'>,
): AsyncGenerator<T> {
  let at = 0;
  for await (const item of items) {
    if (limit !== undefined && at >= skip + limit) return;
    if (at++ >= skip) yield item;
  }
}
