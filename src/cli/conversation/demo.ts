// `attune demo`: a day and a night before your eyes, everything real, in a store of its own.
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { readTextBounded } from '../../base/atomic-file.ts';
import { AttuneError } from '../../base/errors.ts';
import { installationFolder, loadConfig } from '../../config/load.ts';
import type { Config } from '../../config/schema.ts';
import { ConversationImported } from '../../protocol/http.ts';
import { NightSummary } from '../../protocol/summary.ts';
import type { Address } from '../address.ts';
import { HttpClient } from '../http-client.ts';
import { followNight } from '../night/follow-night.ts';
import { summaryText } from '../night/summary-text.ts';
import { LiveConversations } from './live-conversation.ts';

/** One talk of the day: its beginning is written, its last answer is the model's own, live. */
const talkSchema = z.strictObject({
  id: z.string(),
  title: z.string(),
  messages: z.array(z.strictObject({ role: z.enum(['user', 'assistant']), content: z.string() })),
  /** The last thing that is said. */
  say: z.string(),
  /** The words that direct, in `say` or earlier. */
  direction: z.string(),
  /** What a reply that listens names. */
  wants: z.string(),
  /** The assistant's message that holds its own idea. */
  idea: z.string(),
  /** What a listening reply would have been. */
  better: z.string(),
});
type DemoTalk = z.infer<typeof talkSchema>;

interface DemoOptions {
  readonly keep?: boolean;
  readonly talks?: string;
}

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

export function registerDemo(program: Command): void {
  program
    .command('demo')
    .description('a day of talks and a short night, live, in a store of its own')
    .option('--keep', 'leave the daemon running at the end (Ctrl-C ends it)')
    .option('--talks <n>', 'so many talks of the day')
    .action(demo);
}

/** Small enough for five minutes on two cores; the gate is the usual one. */
async function demoConfig(store: string): Promise<Config> {
  const { config } = await loadConfig({
    environment: process.env,
    options: {
      store: { path: store },
      server: { port: 0 },
      // The day's talks are remembered the same evening.
      memory: { restMinutes: 0 },
      night: { dreamsMax: 48, isEnabled: false },
      dream: { rehearsalTalks: 80 },
      train: { replaysPerStep: 4, epochsMax: 4 },
      measure: { scenariosPerKind: 200, scenariosPerUngatedKind: 6, everydayTurns: 100 },
      logger: { level: 'warn' },
    },
  });
  return config;
}

async function demo(options: DemoOptions): Promise<void> {
  const store = await mkdtemp(join(tmpdir(), 'attune-demo-'));
  const { startDaemon } = await import('../../main.ts'); // heavy: only when it is needed
  const running = await startDaemon(await demoConfig(store));
  try {
    say(`A daemon of its own is at ${running.url}, its store is ${store}.\n`);
    await liveDay({ url: running.url, token: '' }, await readDay(options));
    if (options.keep === true) {
      say('\nThe daemon goes on; Ctrl-C ends it.');
      await new Promise<void>((resolve) => process.once('SIGINT', resolve));
    }
  } finally {
    await running.close();
  }
}

async function readDay({ talks }: DemoOptions): Promise<DemoTalk[]> {
  const path = join(installationFolder, 'demo', 'day.jsonl');
  const text = await readTextBounded(path);
  if (text === undefined) {
    throw new AttuneError('message-invalid', `The demo's talks are not at ${path}.`, { path });
  }
  const day = text.split('\n').filter((line) => line !== '');
  return day
    .slice(0, Number(talks ?? day.length))
    .map((line) => talkSchema.parse(JSON.parse(line)));
}

async function liveDay(address: Address, day: readonly DemoTalk[]): Promise<void> {
  const client = new HttpClient(address);
  const talks = new LiveConversations(address);
  await talks.connect();
  try {
    const missed = await talkAll({ client, talks }, day);
    if (missed.length === 0) return say('The model listened every time: nothing to learn.');
    say('\nNight falls.');
    const nightId = await followNight(address);
    say('');
    const summary = await client.get(`/api/nights/${nightId}`, NightSummary);
    say(summaryText(summary));
    say(`\nThe summary: ${address.url}/nights/${nightId}`);
    await askAgain({ client, talks }, missed);
  } finally {
    talks.close();
  }
}

interface Parts {
  readonly client: HttpClient;
  readonly talks: LiveConversations;
}

/** Loads a talk's beginning, says the last words and gives the live answer. */
async function answer({ client, talks }: Parts, talk: DemoTalk, conversationId: string) {
  const at = Date.now();
  const messages = talk.messages.map(({ role, content }, index) => ({
    id: `${conversationId}-${index}`,
    role,
    text: content,
    at,
  }));
  const body = { id: conversationId, title: talk.title, origin: 'replay', messages };
  await client.post('/api/conversations', body, ConversationImported);
  const messageId = `${conversationId}-${talk.messages.length}`;
  return talks.say(conversationId, messageId, talk.say);
}

async function talkAll(parts: Parts, day: readonly DemoTalk[]): Promise<DemoTalk[]> {
  const missed: DemoTalk[] = [];
  for (const talk of day) {
    const reply = await answer(parts, talk, talk.id);
    const isHeard = reply.text.toLowerCase().includes(talk.wants.toLowerCase());
    say(`  ${isHeard ? '✓' : '✗'} “${talk.direction}”  →  ${reply.text.replaceAll('\n', ' ')}`);
    if (isHeard) continue;
    missed.push(talk);
    await parts.talks.flag({
      id: `flag-${talk.id}`,
      conversationId: talk.id,
      replyId: reply.id,
      userSpan: directionSpan(talk),
      betterWords: talk.better,
    });
  }
  say(`\n${day.length} talks; ${missed.length} replies did not listen and were flagged.`);
  return missed;
}

function directionSpan({ id, messages, say: last, direction }: DemoTalk) {
  const texts = [...messages.map(({ content }) => content), last];
  const index = texts.findLastIndex((text) => text.includes(direction));
  const start = texts[index]?.indexOf(direction) ?? 0;
  const span = { start, end: start + direction.length, text: direction };
  return { messageId: `${id}-${index}`, span };
}

async function askAgain(parts: Parts, missed: readonly DemoTalk[]): Promise<void> {
  const [talk] = missed;
  if (talk === undefined) return;
  const reply = await answer(parts, talk, `${talk.id}-again`);
  say(`\nThe same again, on the weights in force now:\n  “${talk.direction}”  →  ${reply.text}`);
}
