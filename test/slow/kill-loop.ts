// Kills the real daemon with SIGKILL under load, again and again, and looks whether anything that
// was acknowledged is missing, there twice, or different.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRandom, type Random } from '../../src/base/random.ts';
import { installationFolder } from '../../src/config/load.ts';
import type { Conversation } from '../../src/protocol/conversation.ts';
import { TestClient } from '../server/test-client.ts';

const TALKS = 4;
const READY_TIMEOUT_MS = 120_000;

export interface KillReport {
  readonly rounds: number;
  readonly messages: number;
  readonly replies: number;
  /** Messages that were not acknowledged before a kill, and were sent again after it. */
  readonly sentAgain: number;
}

/** What one talk's client was told, and what it still waits for. */
interface Told {
  readonly conversationId: string;
  readonly messages: Map<string, string>;
  readonly replies: Map<string, string>;
  unacknowledged: { id: string; text: string } | undefined;
  said: number;
}

export interface Running {
  readonly process: ChildProcess;
  readonly port: number;
}

/** The compiled daemon on a store, once it is ready. */
export async function start(store: string, modelDir: string): Promise<Running> {
  const child = spawn(
    process.execPath,
    [
      join(installationFolder, 'dist', 'cli', 'main.js'),
      'start',
      ...['--set', `store.path=${store}`, `model.path=${modelDir}`, 'server.port=0'],
      ...['chat.replyTokensMax=12', 'engine.threads=1', 'logger.level=error'],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const port = await new Promise<number>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('not ready in time')), READY_TIMEOUT_MS);
    let output = '';
    child.stdout.on('data', (piece: Buffer) => {
      output += piece.toString();
      const found = /http:\/\/127\.0\.0\.1:(\d+)/.exec(output)?.[1];
      if (found === undefined) return;
      clearTimeout(timer);
      resolve(Number(found));
    });
    child.once('exit', (code) => reject(new Error(`the daemon ended with ${code}: ${output}`)));
  });
  return { process: child, port };
}

export async function kill({ process: child }: Running): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

/** Says things in one talk until the connection breaks; notes what was acknowledged. */
async function talk(port: number, told: Told): Promise<void> {
  // Killed before it could be opened: then nothing was said.
  const client = await TestClient.open(port).catch(() => undefined);
  if (client === undefined) return;
  client.socket.on('message', (data: Buffer) => {
    const message = JSON.parse(data.toString());
    if (message.type === 'message-stored') {
      told.messages.set(message.message.id, message.message.text);
      if (told.unacknowledged?.id === message.message.id) told.unacknowledged = undefined;
    }
    if (message.type === 'reply-end') told.replies.set(message.reply.id, message.reply.text);
  });
  try {
    await client.hello();
    for (;;) {
      const { conversationId } = told;
      const next = told.unacknowledged ?? {
        id: `${conversationId}-m${told.said++}`,
        text: `this is number ${told.said} of ${conversationId}`,
      };
      told.unacknowledged = next;
      client.send({ type: 'message-say', conversationId, messageId: next.id, text: next.text });
      await client.next('reply-end', ({ reply }) => reply.messageId === next.id, 60_000);
    }
  } catch {
    // The daemon was killed.
  } finally {
    client.kill();
  }
}

/** @throws when something acknowledged is not there exactly once, word for word */
async function verify(port: number, told: Told): Promise<void> {
  if (told.messages.size === 0) return;
  const { conversationId } = told;
  const response = await fetch(`http://127.0.0.1:${port}/api/conversations/${conversationId}`);
  const { history } = ((await response.json()) as { conversation: Conversation }).conversation;
  for (const [id, text] of [...told.messages, ...told.replies]) {
    const there = history.filter((entry) => entry.id === id);
    if (there.length === 1 && there[0]?.text === text) continue;
    throw new Error(`${id} of ${conversationId} is there ${there.length} times: ${there[0]?.text}`);
  }
  const ids = history.map(({ id }) => id);
  if (new Set(ids).size !== ids.length) throw new Error(`something is in ${conversationId} twice`);
}

function freshTalk(conversationId: string): Told {
  const none = { messages: new Map(), replies: new Map(), unacknowledged: undefined, said: 0 };
  return { conversationId, ...none };
}

async function round(running: Running, talks: Told[], random: Random): Promise<number> {
  for (const told of talks) await verify(running.port, told);
  const sentAgain = talks.filter(({ unacknowledged }) => unacknowledged !== undefined).length;
  const talking = talks.map((told) => talk(running.port, told));
  await new Promise((resolve) => setTimeout(resolve, 20 + random.uniform() * 600));
  await kill(running);
  await Promise.all(talking);
  return sentAgain;
}

/** So many kills at random points of one store's life. */
export async function killLoop(
  rounds: number,
  modelDir: string,
  onRound: (count: number) => void = () => undefined,
): Promise<KillReport> {
  const store = await mkdtemp(join(tmpdir(), 'attune-kill-'));
  const random = createRandom('kill');
  const all: Told[] = [];
  let talks: Told[] = [];
  let sentAgain = 0;
  try {
    for (let count = 0; count < rounds; count++) {
      // New talks now and then, so that beginnings are hit as often as ends.
      if (count % 5 === 0) {
        talks = Array.from({ length: TALKS }, (_, at) => freshTalk(`talk-${count}-${at}`));
        all.push(...talks);
      }
      sentAgain += await round(await start(store, modelDir), talks, random);
      onRound(count + 1);
    }
    const last = await start(store, modelDir);
    for (const told of all) await verify(last.port, told);
    await kill(last);
  } finally {
    await rm(store, { recursive: true, force: true });
  }
  const sum = (of: (told: Told) => number): number =>
    all.reduce((total, one) => total + of(one), 0);
  const messages = sum((told) => told.messages.size);
  return { rounds, messages, replies: sum((told) => told.replies.size), sentAgain };
}
