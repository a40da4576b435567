// Chat and server in this process on a store of their own, with the fake engine and without nights.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import type { FileOps } from '../../src/base/file-ops.ts';
import { acquireLock } from '../../src/base/lock.ts';
import { type Logger, silentLogger } from '../../src/base/logger.ts';
import type { Chat } from '../../src/chat/chat.ts';
import { Talks } from '../../src/chat/talks.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { ConfigPatch } from '../../src/config/schema.ts';
import type { GenerateRequest } from '../../src/engine/engine.ts';
import { createChat } from '../../src/main.ts';
import { resolveSampling, type Sampling } from '../../src/protocol/sampling.ts';
import { apiRoutes } from '../../src/server/api-routes.ts';
import type { EngineWatch } from '../../src/server/engine-watch.ts';
import type { EventHub } from '../../src/server/event-hub.ts';
import { openaiRoutes } from '../../src/server/openai-routes.ts';
import type { Route } from '../../src/server/route.ts';
import { openServer } from '../../src/server/server.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';
import { END_ID, FAKE_VOCABULARY, fakeTokenizer, idsOf } from '../fakes/fake-tokenizer.ts';
import { TestClient } from './test-client.ts';

export interface TestDaemonOptions {
  readonly config?: ConfigPatch;
  readonly folder?: string;
  /** What the engine says; by default "You said: …" of the last message. */
  readonly reply?: (request: GenerateRequest) => readonly number[];
  readonly tokenDelayMs?: number;
  readonly windowTokens?: number;
  readonly logger?: Logger;
  /** Instead of one that says what `reply` says. */
  readonly engine?: FakeEngine;
  readonly sampling?: Sampling;
  /** Besides those of chat. */
  readonly routes?: readonly Route[];
  readonly webFolder?: string;
  readonly ops?: FileOps;
}

export interface TestDaemon {
  readonly engine: FakeEngine;
  readonly store: Store;
  readonly chat: Chat;
  readonly talks: Talks;
  readonly events: EventHub;
  readonly watch: EngineWatch;
  readonly port: number;
  readonly folder: string;
  readonly url: string;
  connect(options?: { hello?: boolean }): Promise<TestClient>;
  /** Ends it in good order while its clients listen. */
  close(): Promise<void>;
  /** Closes it without its clients; the store stays for another opening. */
  stop(): Promise<void>;
  /** Closes it and removes the store. */
  end(): Promise<void>;
}

/** Echoes the last message of the prompt. */
export function echo(request: GenerateRequest): number[] {
  const ends = request.ids.flatMap((id, at) => (id === END_ID ? [at] : []));
  const last = ends.at(-1) ?? 0;
  const from = ends.at(-2) ?? -1;
  return [...idsOf('You said: '), ...request.ids.slice(from + 2, last), END_ID];
}

export async function openTestDaemon(options: TestDaemonOptions = {}): Promise<TestDaemon> {
  const { reply = echo, tokenDelayMs = 0, windowTokens = 4096, logger = silentLogger } = options;
  const { routes = [], ops } = options;
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'attune-test-')));
  const lock = await acquireLock(join(folder, 'lock'), { purpose: 'a test' });
  const { config } = await loadConfig({
    options: { ...options.config, server: { port: 0, ...options.config?.server } },
  });
  const vocabularySize = FAKE_VOCABULARY;
  const engine =
    options.engine ?? new FakeEngine({ reply, tokenDelayMs, windowTokens, vocabularySize });
  const clock = systemClock;
  const base = '0'.repeat(64);
  const store = await openStore(folder, { config, clock, logger, base, ...(ops ? { ops } : {}) });
  const tokenizer = fakeTokenizer;
  const { events, watch, chat } = createChat({
    ...{ config, store, engine, tokenizer, clock, logger },
    sampling: options.sampling ?? resolveSampling([config.chat.sampling]),
  });
  await watch.refresh();
  const { conversations, flags, forget } = store;
  const { server: settings } = config;
  const { limits } = settings;
  const shared = { chat, clock, engineView: () => watch.view() };
  const talks = new Talks({
    store: conversations,
    flags,
    forget,
    engine,
    events,
    limits,
    ...shared,
  });
  const server = await openServer({
    ...{ settings, chat, talks, events, watch, clock, logger, version: 'test' },
    webFolder: options.webFolder ?? join(folder, 'no-web'),
    routes: [
      ...apiRoutes({ talks, importBytesMax: limits.importBytesMax, ...shared }),
      ...openaiRoutes({ store: conversations, tokenizer, ...shared }),
      ...routes,
    ],
  });
  const clients: TestClient[] = [];
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await chat.close(settings.shutdownTimeoutMs);
    await server.close();
    watch.close();
    await store.close();
    await lock.release();
  };
  const daemon: TestDaemon = {
    ...{ engine, store, chat, talks, events, watch, folder, port: server.port },
    url: `http://127.0.0.1:${server.port}`,
    async connect({ hello = true } = {}) {
      const client = await TestClient.open(server.port);
      clients.push(client);
      if (hello) await client.hello();
      return client;
    },
    close() {
      closing ??= close();
      return closing;
    },
    async stop() {
      for (const client of clients) client.kill();
      await daemon.close();
    },
    async end() {
      await daemon.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return daemon;
}
