// Time to the first token of a chat while a night trains, against while none does: a daemon of its
// own with the demo's talks, flagged, and one person who keeps asking.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { startNight } from '../src/cli/follow-night.ts';
import { HttpClient } from '../src/cli/http-client.ts';
import { LiveTalks } from '../src/cli/live-talk.ts';
import { Wire } from '../src/cli/wire.ts';
import type { ServerMessage } from '../src/protocol/server-message.ts';
import { NightList } from '../src/protocol/summary.ts';
import { median } from './machine.ts';

const FLAGS = 16;
const QUIET_ASKED = 40;

interface Day {
  readonly id: string;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly say: string;
  readonly better: string;
}

async function startDaemon(store: string, modelDir: string) {
  const settings = [
    `store.path=${store}`,
    `model.path=${modelDir}`,
    'server.port=0',
    'server.limits.messagesPerMinuteMax=100000',
    'server.limits.requestsPerMinuteMax=100000',
    'chat.replyTokensMax=16',
    'night.isEnabled=false',
    'night.dreamsMax=0',
    'train.epochsMax=12',
    'measure.scenariosPerKind=2',
    'logger.level=warn',
  ];
  const child = spawn(
    process.execPath,
    [join('dist', 'cli', 'main.js'), 'start', '--set', ...settings],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  const url = await new Promise<string>((found, reject) => {
    let output = '';
    child.stdout.on('data', (piece: Buffer) => {
      output += piece.toString();
      const match = /http:\/\/[\w.:]+/.exec(output);
      if (match !== null) found(match[0]);
    });
    child.once('exit', (code) => reject(new Error(`the daemon ended with ${code}`)));
  });
  const close = async (): Promise<void> => {
    child.kill('SIGTERM');
    await ended;
  };
  return { url, close };
}

/** Says and flags the demo's first talks, whatever was answered. */
async function flagDay(url: string): Promise<void> {
  const client = new HttpClient({ url, token: '' });
  const talks = new LiveTalks({ url, token: '' });
  await talks.connect();
  const lines = (await readFile(join('demo', 'day.jsonl'), 'utf8')).trim().split('\n');
  for (const line of lines.slice(0, FLAGS)) {
    const { id, messages, say, better } = JSON.parse(line) as Day;
    const at = Date.now();
    const told = messages.map(({ role, content }, i) => ({
      id: `${id}-${i}`,
      role,
      text: content,
      at,
    }));
    await client.post(
      '/api/conversations',
      { id, title: id, origin: 'replay', messages: told },
      z.unknown(),
    );
    const reply = await talks.say(id, `${id}-say`, say);
    await talks.flag({
      id: `flag-${id}`,
      conversationId: id,
      replyId: reply.id,
      betterWords: better,
    });
  }
  talks.close();
}

/** One person in a new talk each time, so that nothing is cached; ms to the first token. */
async function createPerson(url: string) {
  let heard: (ms: number) => void = () => undefined;
  let ended: () => void = () => undefined;
  let asked = 0;
  const onMessage = (message: ServerMessage): void => {
    if (message.type === 'reply-delta') heard(performance.now());
    else if (message.type === 'reply-end') ended();
  };
  const wire = new Wire({ url, token: '', client: 'bench', onMessage });
  await wire.connect();
  return {
    async ask(): Promise<number> {
      asked += 1;
      const first = new Promise<number>((resolve) => {
        heard = resolve;
      });
      const over = new Promise<void>((resolve) => {
        ended = resolve;
      });
      const conversationId = `bench-${asked}`;
      const text = 'Could you book a table for two on Friday at seven, please?';
      const begun = performance.now();
      await wire.request({
        type: 'message-say',
        conversationId,
        messageId: `${conversationId}-m`,
        text,
      });
      const ms = (await first) - begun;
      await over;
      wire.tell({ type: 'conversation-close', conversationId });
      return ms;
    },
    close: () => wire.close(),
  };
}

export async function benchNight(modelDir: string, say: (line: string) => void): Promise<void> {
  const store = await mkdtemp(join(tmpdir(), 'attune-bench-night-'));
  const { url, close } = await startDaemon(store, modelDir);
  try {
    const address = { url, token: '' };
    const client = new HttpClient(address);
    await flagDay(url);
    const person = await createPerson(url);
    const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
    const quiet: number[] = [];
    for (let i = 0; i < QUIET_ASKED; i += 1) {
      quiet.push(await person.ask());
      await pause(100 + (i % 7) * 40);
    }
    await startNight(address);
    const phase = async (): Promise<string> =>
      (await client.get('/api/nights', NightList)).running?.phase ?? 'none';
    while ((await phase()) !== 'train') await pause(100);
    const training: number[] = [];
    while ((await phase()) === 'train' && training.length < 4 * QUIET_ASKED) {
      training.push(await person.ask());
      // Long enough for the night to be in the middle of a micro-step again.
      await pause(150 + (training.length % 7) * 60);
    }
    person.close();
    const quantile = (values: readonly number[], share: number): number =>
      [...values].sort((a, b) => a - b)[Math.floor(share * (values.length - 1))] ?? Number.NaN;
    const line = (values: readonly number[]): string =>
      `p50 ${median(values).toFixed(1)}, p90 ${quantile(values, 0.9).toFixed(1)}, p99 ` +
      `${quantile(values, 0.99).toFixed(1)} ms (${values.length} replies)`;
    say(`first token, no night:       ${line(quiet)}`);
    say(`first token, a night trains: ${line(training)}`);
    const found = await client.get('/api/nights', NightList);
    say(`night: ${found.running?.phase ?? found.nights.at(-1)?.headline ?? ''}`);
  } finally {
    await close();
    await rm(store, { recursive: true, force: true });
  }
}
