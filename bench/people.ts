// People who talk with a daemon, on a thread of their own so that reading costs the daemon nothing.
import { parentPort, workerData } from 'node:worker_threads';
import { WebSocket } from 'ws';
import { PROTOCOL_VERSION } from '../src/protocol/handshake.ts';

export interface PeopleOptions {
  readonly url: string;
  /** Of this round of the bench; their conversations are named after it. */
  readonly name: string;
  readonly clients: number;
  readonly rounds: number;
}

export interface PeopleTimes {
  /** From saying something to the first words of the reply, ms. */
  readonly first: readonly number[];
  /** From one piece of text to the next, ms. */
  readonly between: readonly number[];
  readonly replyTokens: number;
  readonly seconds: number;
}

interface Heard {
  readonly type: string;
  readonly reply?: { readonly usage: { readonly replyTokens: number } };
  readonly message?: string;
}

const options = workerData as PeopleOptions;
const first: number[] = [];
const between: number[] = [];
let replyTokens = 0;

/** Each waits for the reply before saying more. */
async function person(at: number): Promise<void> {
  const { url, name, rounds } = options;
  const conversationId = `${name}-${at}`;
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`);
  const send = (message: object): void => socket.send(JSON.stringify(message));
  await new Promise((resolve) => socket.once('open', resolve));
  send({ type: 'client-hello', protocol: PROTOCOL_VERSION, client: 'bench' });
  let last = 0;
  let isFirst = true;
  let onEnd: () => void = () => undefined;
  socket.on('message', (data: Buffer) => {
    const heard = JSON.parse(data.toString()) as Heard;
    const now = performance.now();
    if (heard.type === 'reply-delta') {
      (isFirst ? first : between).push(now - last);
      isFirst = false;
      last = now;
    } else if (heard.type === 'reply-end') {
      replyTokens += heard.reply?.usage.replyTokens ?? 0;
      onEnd();
    } else if (heard.type === 'error') throw new Error(heard.message);
  });
  for (let round = 0; round < rounds; round++) {
    const ended = new Promise<void>((resolve) => {
      onEnd = resolve;
    });
    isFirst = true;
    last = performance.now();
    const text = `This is round ${round}: could you book a table for two on Friday at seven?`;
    const messageId = `${conversationId}-m${round}`;
    send({ type: 'message-say', conversationId, messageId, text });
    await ended;
  }
  socket.close();
}

const begun = performance.now();
await Promise.all(Array.from({ length: options.clients }, (_, at) => person(at)));
const seconds = (performance.now() - begun) / 1000;
parentPort?.postMessage({ first, between, replyTokens, seconds } satisfies PeopleTimes);
