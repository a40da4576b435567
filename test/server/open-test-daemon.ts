// A whole daemon in this process on a store of its own, with a fake engine and tokenizer.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { type FileOps, systemFileOps } from '../../src/base/file-ops.ts';
import { acquireLock } from '../../src/base/lock.ts';
import { type Logger, silentLogger } from '../../src/base/logger.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { ConfigPatch } from '../../src/config/schema.ts';
import type { GenerateRequest } from '../../src/engine/engine.ts';
import { type Daemon, openDaemon } from '../../src/main.ts';
import { resolveSampling, type Sampling } from '../../src/protocol/sampling.ts';
import type { Route } from '../../src/server/route.ts';
import { openStore } from '../../src/store/store.ts';
import type { ChatTokenizer } from '../../src/tokenizer/chat-tokenizer.ts';
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
  readonly tokenizer?: ChatTokenizer;
  /** Looked through before the daemon's own. */
  readonly routes?: readonly Route[];
  readonly webFolder?: string;
  readonly ops?: FileOps;
}

export interface TestDaemon extends Daemon {
  readonly engine: FakeEngine;
  readonly folder: string;
  connect(options?: { hello?: boolean }): Promise<TestClient>;
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
  const { routes = [], ops = systemFileOps } = options;
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'attune-test-')));
  const lock = await acquireLock(join(folder, 'lock'), { purpose: 'a test' });
  const { config } = await loadConfig({
    options: {
      night: { isEnabled: false },
      ...options.config,
      server: { port: 0, ...options.config?.server },
    },
  });
  const vocabularySize = FAKE_VOCABULARY;
  const engine =
    options.engine ?? new FakeEngine({ reply, tokenDelayMs, windowTokens, vocabularySize });
  const { baseHash: base } = await engine.describe();
  const shared = { config, clock: systemClock, logger };
  const store = await openStore(folder, {
    ...{ ...shared, base, ops },
    ...{ memory: config.memory, limits: config.server.limits },
  });
  const nowhere = join(folder, 'nowhere');
  const daemon = await openDaemon(
    {
      ...{ ...shared, store, engine, routes, tokenizer: options.tokenizer ?? fakeTokenizer },
      sampling: options.sampling ?? resolveSampling([config.chat.sampling]),
      paths: {
        ...{ store: folder, cache: nowhere, model: nowhere, suites: nowhere, prompts: nowhere },
        web: options.webFolder ?? nowhere,
      },
    },
    [() => lock.release(), () => store.close()],
  );
  const clients: TestClient[] = [];
  const stop = async (): Promise<void> => {
    for (const client of clients) client.kill();
    await daemon.close();
  };
  return {
    ...{ ...daemon, engine, folder, stop },
    async connect({ hello = true } = {}) {
      const client = await TestClient.open(daemon.port);
      clients.push(client);
      if (hello) await client.hello();
      return client;
    },
    async end() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
