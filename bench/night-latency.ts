// `npm run bench:night`: time to the first token of a chat while a night trains, against none.
// A daemon of its own has the demo's conversations, flagged, and one person keeps asking.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { LiveConversations } from '../src/cli/conversation/demo.ts';
import { HttpClient } from '../src/cli/daemon.ts';
import { connectFirst, createDaemonClient } from '../src/cli/daemon-connection.ts';
import { startNight } from '../src/cli/night/follow-night.ts';
import type { ServerMessage } from '../src/protocol/server-message.ts';
import { NightList } from '../src/protocol/summary.ts';
import { startDaemon } from './daemon.ts';
import { median, quantile } from './machine.ts';

const { values: options } = parseArgs({
  options: { model: { type: 'string', default: 'models/companion' } },
});
const say = (line: string): void => console.log(line);

const FLAGS = 16;
const QUIET_ASKED = 40;
const TRAINING_ASKED = 100;
const TRAINING_WAIT_MS = 600_000;

interface Day {
  readonly id: string;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly say: string;
  readonly better: string;
}

/** A night that trains for long and does little else. */
const SETTINGS = [
  'chat.replyTokensMax=16',
  'night.dreamsMax=0',
  'train.epochsMax=12',
  'measure.pairs=2',
  'measure.heldReplies=6',
];

/** Plays the demo's first conversations and flags each reply, whatever it says. */
async function flagDay(url: string): Promise<void> {
  const client = new HttpClient({ url, token: '' });
  const conversations = new LiveConversations({ url, token: '' });
  await conversations.connect();
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
    const reply = await conversations.say(id, `${id}-say`, say);
    await conversations.flag({
      id: `flag-${id}`,
      conversationId: id,
      replyId: reply.id,
      betterWords: better,
    });
  }
  conversations.close();
}

/** One person in a new conversation each time, so that nothing is cached; ms to the first token. */
async function createPerson(url: string) {
  let heard: (ms: number) => void = () => undefined;
  let ended: () => void = () => undefined;
  let asked = 0;
  const onMessage = (message: ServerMessage): void => {
    if (message.type === 'reply-delta') heard(performance.now());
    else if (message.type === 'reply-end') ended();
  };
  const client = createDaemonClient({ url, token: '', client: 'bench', onMessage });
  await connectFirst(client);
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
      const messageId = `${conversationId}-m`;
      const said = { type: 'message-say', conversationId, messageId, text } as const;
      await client.request(said, 'message-stored');
      const ms = (await first) - begun;
      await over;
      client.send({ type: 'conversation-close', conversationId });
      return ms;
    },
    close: () => client.close(),
  };
}

/** Asks until there are `most` answers or `goesOn` says no. */
async function ask(
  person: Awaited<ReturnType<typeof createPerson>>,
  { most, goesOn }: { most: number; goesOn: () => Promise<boolean> },
): Promise<number[]> {
  const times: number[] = [];
  while (times.length < most && (await goesOn())) {
    times.push(await person.ask());
    // Long enough for a night to be in the middle of a micro-step again.
    await pause(150 + (times.length % 7) * 60);
  }
  return times;
}

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

async function benchNight(modelDir: string): Promise<void> {
  const store = await mkdtemp(join(tmpdir(), 'attune-bench-night-'));
  const daemon = await startDaemon({ modelDir, store, set: SETTINGS });
  try {
    const { address } = daemon;
    const client = new HttpClient(address);
    await flagDay(address.url);
    const person = await createPerson(address.url);
    const quiet = await ask(person, { most: QUIET_ASKED, goesOn: async () => true });
    say(`first token, no night:       ${line(quiet)}`);
    await startNight(address);
    const list = (): Promise<NightList> => client.get('/api/nights', NightList);
    const phase = async (): Promise<string> => (await list()).running?.phase ?? 'none';
    for (const begun = performance.now(); (await phase()) !== 'train'; await pause(100)) {
      if (performance.now() - begun > TRAINING_WAIT_MS)
        throw new Error('the night did not begin to train within ten minutes');
    }
    const goesOn = async (): Promise<boolean> => (await phase()) === 'train';
    const training = await ask(person, { most: TRAINING_ASKED, goesOn });
    person.close();
    say(`first token, a night trains: ${line(training)}`);
    say(`the night is now at: ${await phase()}`);
  } finally {
    await daemon.close();
    await rm(store, { recursive: true, force: true });
  }
}

const line = (values: readonly number[]): string =>
  values.length === 0
    ? 'no replies'
    : `p50 ${median(values).toFixed(1)}, p90 ${quantile(values, 0.9).toFixed(1)}, p99 ` +
      `${quantile(values, 0.99).toFixed(1)} ms (${values.length} replies)`;

await benchNight(resolve(options.model));
