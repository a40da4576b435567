// `attune demo`: a day of conversations and a night, run live in a temporary store.
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { readTextBounded } from '../../base/atomic-file.ts';
import { AttuneError } from '../../base/errors.ts';
import { installationFolder, loadConfig } from '../../config/load.ts';
import type { Config } from '../../config/schema.ts';
import { summaryMarkdown } from '../../morning/summary-markdown.ts';
import type { Reply } from '../../protocol/conversation.ts';
import type { DaemonClient } from '../../protocol/daemon-client.ts';
import type { FlagDraftInput } from '../../protocol/flag.ts';
import { ConversationImported } from '../../protocol/http.ts';
import type { ServerMessage } from '../../protocol/server-message.ts';
import { NightSummary } from '../../protocol/summary.ts';
import { printable } from '../chat/terminal.ts';
import { type Address, HttpClient } from '../daemon.ts';
import { connectFirst, createDaemonClient } from '../daemon-connection.ts';
import { wholeBetween } from '../model/model-options.ts';
import { followNight } from '../night/follow-night.ts';
import { say } from '../report.ts';

/** One conversation of the day: its beginning is given, its last reply is generated live. */
const conversationSchema = z.strictObject({
  id: z.string(),
  title: z.string(),
  messages: z.array(z.strictObject({ role: z.enum(['user', 'assistant']), content: z.string() })),
  /** The last user message. */
  say: z.string(),
  /** The words that direct, in `say` or earlier. */
  direction: z.string(),
  /** What a reply that listens mentions. */
  wants: z.string(),
  /** The assistant's message that holds its own idea. */
  idea: z.string(),
  /** What a listening reply would have been. */
  better: z.string(),
});
type DemoConversation = z.infer<typeof conversationSchema>;

interface DemoOptions {
  readonly conversations?: number;
}

export function registerDemo(program: Command): void {
  program
    .command('demo')
    .description('run a day of conversations and a short night, live, in a store of its own')
    .option('--conversations <number>', 'how many of the day, from the first', wholeBetween(1, 1e6))
    .action(demo);
}

/** Small enough for five minutes on two cores. The gate is not changed. */
async function demoConfig(store: string): Promise<Config> {
  const { config } = await loadConfig({
    environment: process.env,
    options: {
      store: { path: store },
      server: { port: 0 },
      // The day's conversations are remembered the same evening.
      memory: { restMinutes: 0 },
      night: { dreamsMax: 48, isEnabled: false },
      dream: { rehearsalTalks: 80 },
      measure: { pairs: 110, everydayTurns: 100 },
      logger: { level: 'warn' },
    },
  });
  return config;
}

async function demo(options: DemoOptions): Promise<void> {
  const day = await readDay(options);
  say(
    `A day of ${day.length} conversations, then a night that trains: five to fifteen minutes on ` +
      'two cores. Afterwards the daemon keeps running, until Ctrl-C.',
  );
  const store = await mkdtemp(join(tmpdir(), 'attune-demo-'));
  const { startDaemon } = await import('../../main.ts'); // heavy: only when it is needed
  const running = await startDaemon(await demoConfig(store));
  try {
    say(
      `Watch it at ${running.url}. Its store is its own, in ${store}, and so is its port: ` +
        'store.path and server.port are not used.\n',
    );
    const stopped = new Promise<void>((resolve) => process.once('SIGINT', resolve));
    await Promise.race([liveDay({ url: running.url, token: '' }, day), stopped]);
    say('\nThe daemon keeps running; Ctrl-C stops it.');
    await stopped;
  } finally {
    await running.close();
  }
}

async function readDay({ conversations }: DemoOptions): Promise<DemoConversation[]> {
  const path = join(installationFolder, 'demo', 'day.jsonl');
  const text = await readTextBounded(path);
  if (text === undefined) {
    throw new AttuneError('message-invalid', `The demo's conversations are not at ${path}.`, {
      path,
    });
  }
  const day = text.split('\n').filter((line) => line !== '');
  return day.slice(0, conversations).map((line) => conversationSchema.parse(JSON.parse(line)));
}

async function liveDay(address: Address, day: readonly DemoConversation[]): Promise<void> {
  const client = new HttpClient(address);
  const conversations = new LiveConversations(address);
  await conversations.connect();
  try {
    const missed = await answerAll({ client, conversations }, day);
    if (missed.length === 0)
      return say('The model listened every time: there is nothing to learn.');
    say('\nThe night starts.');
    const nightId = await followNight(address);
    say('');
    const summary = await client.get(`/api/nights/${nightId}`, NightSummary);
    say(printable(summaryMarkdown(summary)));
    await askAgain({ client, conversations }, missed);
    say(`\nThe morning: ${address.url}/nights/${nightId}`);
    say(`Where it looks, before and after: ${address.url}/nights/${nightId}/slider`);
  } finally {
    conversations.close();
  }
}

interface Parts {
  readonly client: HttpClient;
  readonly conversations: LiveConversations;
}

/** Loads the beginning of a conversation, sends the last message and returns the live reply. */
async function answer(
  { client, conversations }: Parts,
  conversation: DemoConversation,
  conversationId: string,
) {
  const at = Date.now();
  const messages = conversation.messages.map(({ role, content }, index) => ({
    id: `${conversationId}-${index}`,
    role,
    text: content,
    at,
  }));
  const body = { id: conversationId, title: conversation.title, origin: 'replay', messages };
  await client.post('/api/conversations', body, ConversationImported);
  const messageId = `${conversationId}-${conversation.messages.length}`;
  return conversations.say(conversationId, messageId, conversation.say);
}

async function answerAll(
  parts: Parts,
  day: readonly DemoConversation[],
): Promise<DemoConversation[]> {
  const missed: DemoConversation[] = [];
  for (const conversation of day) {
    const reply = await answer(parts, conversation, conversation.id);
    const isHeard = reply.text.toLowerCase().includes(conversation.wants.toLowerCase());
    say(
      `  ${isHeard ? '✓' : '✗'} “${conversation.direction}”  →  ${reply.text.replaceAll('\n', ' ')}`,
    );
    if (isHeard) continue;
    missed.push(conversation);
    await parts.conversations.flag({
      id: `flag-${conversation.id}`,
      conversationId: conversation.id,
      replyId: reply.id,
      userSpan: directionSpan(conversation),
      betterWords: conversation.better,
    });
  }
  say(`\n${day.length} conversations; ${missed.length} replies did not listen and were flagged.`);
  return missed;
}

function directionSpan({ id, messages, say: last, direction }: DemoConversation) {
  const texts = [...messages.map(({ content }) => content), last];
  const index = texts.findLastIndex((text) => text.includes(direction));
  const start = texts[index]?.indexOf(direction) ?? 0;
  const span = { start, end: start + direction.length, text: direction };
  return { messageId: `${id}-${index}`, span };
}

async function askAgain(parts: Parts, missed: readonly DemoConversation[]): Promise<void> {
  const [conversation] = missed;
  if (conversation === undefined) return;
  const reply = await answer(parts, conversation, `${conversation.id}-again`);
  say(
    `\nThe same again, on the weights that are active now:\n  “${conversation.direction}”  →  ${reply.text}`,
  );
}

// Says something in live conversations and waits for the replies, for the demo.

interface Waiting {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

/** Ids are chosen by the caller: a message that is sent twice is stored and answered once. */
export class LiveConversations {
  readonly #client: DaemonClient;
  readonly #waiting = new Map<string, Waiting>();

  constructor(address: Address) {
    const onMessage = (message: ServerMessage): void => this.#receive(message);
    this.#client = createDaemonClient({ ...address, client: 'attune demo', onMessage });
  }

  async connect(): Promise<void> {
    await connectFirst(this.#client);
  }

  close(): void {
    this.#client.close();
  }

  /** Resolves with the reply. @throws the daemon's error; reply-not-found where the reply failed */
  async say(conversationId: string, messageId: string, text: string): Promise<Reply> {
    const replied = new Promise<Reply>((resolve, reject) => {
      this.#waiting.set(messageId, { resolve, reject });
    });
    const message = { type: 'message-say', conversationId, messageId, text } as const;
    // A refused message gets no reply.
    const refused = this.#client.request(message, 'message-stored').then(() => replied);
    return Promise.race([refused, replied]).finally(() => this.#waiting.delete(messageId));
  }

  async flag(flag: FlagDraftInput): Promise<void> {
    await this.#client.request({ type: 'flag-add', flag }, 'flag-added');
  }

  #receive(message: ServerMessage): void {
    if (message.type === 'reply-end') {
      this.#waiting.get(message.reply.messageId)?.resolve(message.reply);
    } else if (message.type === 'reply-failed') {
      for (const { reject } of this.#waiting.values()) {
        reject(new AttuneError('reply-not-found', message.error.message));
      }
    }
  }
}
