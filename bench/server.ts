// The daemon: its start, messages logged with fsync, first token and tokens between under load.
import { copyFile, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { systemClock } from '../src/base/clock.ts';
import { silentLogger } from '../src/base/logger.ts';
import { loadConfig } from '../src/config/load.ts';
import { openConversationStore } from '../src/conversation/conversation-store.ts';
import type { LogRecord } from '../src/conversation/record.ts';
import { openEngineProcess } from '../src/engine/process/client.ts';
import { forkEngine } from '../src/engine/process/fork.ts';
import { openDaemon } from '../src/main.ts';
import { resolveSampling } from '../src/protocol/sampling.ts';
import { openStore } from '../src/store/store.ts';
import { createChatTokenizer } from '../src/tokenizer/chat-tokenizer.ts';
import { loadTokenizer } from '../src/tokenizer/tokenizer.ts';
import { LLAMA_14M, writeRandomModel } from '../test/model/random-model.ts';
import { quantile } from './machine.ts';
import type { PeopleOptions, PeopleTimes } from './people.ts';
import { benchStart } from './start.ts';

const REPLY_TOKENS = 32;
/** npm runs scripts in the package's folder. */
const COMPANION = resolve('models', 'companion');
const ENGINE_ENTRY = resolve('dist', 'engine', 'process', 'child.js');

type Say = (line: string) => void;

function spread(values: readonly number[]): { p50: number; p99: number } {
  return { p50: quantile(values, 0.5), p99: quantile(values, 0.99) };
}

/** The companion, or one of its size with random weights where it is not there yet. */
async function findModel(root: string): Promise<string> {
  const weights = await stat(join(COMPANION, 'model.safetensors')).catch(() => undefined);
  if (weights !== undefined) return COMPANION;
  const dir = join(root, 'random-companion');
  await writeRandomModel(dir, { ...LLAMA_14M, vocabularySize: 4096 });
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) {
    await copyFile(join(COMPANION, file), join(dir, file));
  }
  return dir;
}

/** Everything, on a store in the temporary folder (which decides how fast an fsync is). */
export async function benchServer(say: Say): Promise<Record<string, unknown>> {
  const root = await mkdtemp(join(tmpdir(), 'attune-bench-server-'));
  try {
    const modelDir = await findModel(root);
    return {
      ...(await benchStart(root, modelDir, say)),
      ...(await benchLog(root, say)),
      ...(await benchOpening(root, say)),
      ...(await benchReplies(root, modelDir, say)),
    };
  } finally {
    await rm(root, { recursive: true });
  }
}

const openConversations = (folder: string) =>
  openConversationStore({
    folder,
    logger: silentLogger,
    openLogsMax: 256,
    conversationsMax: 1_000_000,
    conversationMessagesMax: 1_000_000,
    clock: systemClock,
    forget: async () => undefined,
  });

type Store = Awaited<ReturnType<typeof openConversations>>;

async function createConversation(store: Store, id: string): Promise<void> {
  const header = { origin: 'live', title: '', settings: {}, canLearn: true } as const;
  await store.create({ type: 'conversation', schemaVersion: 1, id, at: 1, ...header });
}

/** Messages a second, each durable before the next of its writer is begun. */
async function logging(store: Store, conversations: number, writers: number): Promise<number> {
  const ids = Array.from(
    { length: conversations },
    (_, at) => `log-${conversations}-${writers}-${at}`,
  );
  for (const id of ids) await createConversation(store, id);
  const until = performance.now() + 2_000;
  let count = 0;
  const text =
    'a message of ordinary length, as a person may say it in the middle of a conversation';
  await Promise.all(
    Array.from({ length: writers }, async (_, writer) => {
      const id = ids[writer % conversations] as string;
      for (let at = 0; performance.now() < until; at++, count++) {
        const record: LogRecord = { type: 'message', id: `m${writer}-${at}`, at, text };
        await store.append(id, record);
      }
    }),
  );
  return count / 2;
}

async function benchLog(root: string, say: Say): Promise<Record<string, number>> {
  const store = await openConversations(join(root, 'log'));
  const found: Record<string, number> = {};
  for (const [conversations, writers] of [
    [1, 1],
    [1, 64],
    [64, 64],
  ] as const) {
    const perSecond = await logging(store, conversations, writers);
    found[`loggedPerSecond ${conversations} conversations ${writers} writers`] = perSecond;
    say(
      `  log with fsync     ${perSecond.toFixed(0)} messages/s, ${writers} writers, ${conversations} conversations`,
    );
  }
  await store.close();
  return found;
}

async function benchOpening(root: string, say: Say): Promise<Record<string, number>> {
  const folder = join(root, 'many');
  const store = await openConversations(folder);
  const ids = Array.from({ length: 10_000 }, (_, at) => `conversation-${at}`);
  for (let at = 0; at < ids.length; at += 64) {
    await Promise.all(ids.slice(at, at + 64).map((id) => createConversation(store, id)));
  }
  await store.close();
  const opening = async (): Promise<number> => {
    const begun = performance.now();
    const opened = await openConversations(folder);
    const took = performance.now() - begun;
    await opened.close();
    return took;
  };
  const withList = Math.min(await opening(), await opening());
  await rm(join(folder, 'catalogue.json'));
  const withoutList = await opening();
  say(
    `  open 10,000 conversations  ${withList.toFixed(0)} ms, ${withoutList.toFixed(0)} ms without the list`,
  );
  return { open10000Ms: withList, open10000WithoutListMs: withoutList };
}

async function benchReplies(
  root: string,
  modelDir: string,
  say: Say,
): Promise<Record<string, unknown>> {
  const limits = { messagesPerMinuteMax: 1_000_000 };
  const { config } = await loadConfig({
    environment: process.env, // ATTUNE_ENGINE_BATCH_MAX=16 and the like
    options: {
      server: { port: 0, limits },
      night: { isEnabled: false },
      chat: { replyTokensMax: REPLY_TOKENS, sampling: { temperature: 1, repetitionPenalty: 1 } },
    },
  });
  const { restartsMax: _unused, ...settings } = config.engine;
  const cacheDir = join(root, 'cache');
  const engine = await openEngineProcess(
    { ...settings, modelDir, cacheDir },
    forkEngine(ENGINE_ENTRY),
  );
  const shared = { config, clock: systemClock, logger: silentLogger };
  const { baseHash: base } = await engine.describe();
  const folder = join(root, 'store');
  const store = await openStore(folder, {
    ...{ ...shared, base },
    ...{ memory: config.memory, limits: config.server.limits },
  });
  const daemon = await openDaemon(
    {
      ...{ ...shared, store, engine, sampling: resolveSampling([config.chat.sampling]) },
      // Every reply runs to its full length, so that all clients stay busy.
      tokenizer: { ...createChatTokenizer(await loadTokenizer(modelDir)), stopIds: [] },
      paths: {
        ...{ store: folder, cache: cacheDir, model: modelDir },
        ...{ suites: root, prompts: root, web: root },
      },
    },
    [() => engine.close(), () => store.close()],
  );
  const found: Record<string, unknown> = { batchMax: config.engine.batchMax };
  const url = `http://127.0.0.1:${daemon.port}`;
  say(`  replies of ${REPLY_TOKENS} tokens, at most ${config.engine.batchMax} decode together`);
  await converse({ url, name: 'warm', clients: 4, rounds: 2 });
  for (const clients of [1, 4, 64]) {
    const rounds = clients === 64 ? 4 : 12;
    const times = await converse({ url, name: `bench-${clients}`, clients, rounds });
    const { first, between, replyTokens, seconds } = times;
    const tokensPerSecond = replyTokens / seconds;
    found[`firstTokenMs ${clients}`] = spread(first);
    found[`betweenTokensMs ${clients}`] = spread(between);
    found[`tokensPerSecond ${clients}`] = tokensPerSecond;
    const ms = ({ p50, p99 }: { p50: number; p99: number }): string =>
      `p50 ${p50.toFixed(1)} p99 ${p99.toFixed(1)} ms`;
    say(`  ${String(clients).padEnd(3)} clients        first token ${ms(spread(first))}`);
    say(`                     between tokens ${ms(spread(between))}`);
    say(`                     ${tokensPerSecond.toFixed(0)} tokens/s`);
  }
  await daemon.close();
  return found;
}

/** A number of people at once, on a thread of their own. */
function converse(options: PeopleOptions): Promise<PeopleTimes> {
  const worker = new Worker(new URL('./people.js', import.meta.url), { workerData: options });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}
