// A whole daemon in this process on a store of its own, with the fake engine.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { type Logger, silentLogger } from '../../src/base/logger.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { ConfigPatch } from '../../src/config/schema.ts';
import type { GenerateRequest } from '../../src/engine/engine.ts';
import { resolveSampling } from '../../src/protocol/sampling.ts';
import { type Daemon, type DaemonOptions, openDaemon } from '../../src/server/daemon.ts';
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
  readonly more?: Partial<DaemonOptions>;
}

export interface TestDaemon extends Daemon {
  readonly engine: FakeEngine;
  readonly folder: string;
  readonly url: string;
  connect(options?: { hello?: boolean }): Promise<TestClient>;
  /** Closes it; the store stays for another opening. */
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
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'attune-test-')));
  const { config } = await loadConfig({
    options: { ...options.config, server: { port: 0, ...options.config?.server } },
  });
  const engine = new FakeEngine({
    reply: options.reply ?? echo,
    tokenDelayMs: options.tokenDelayMs ?? 0,
    windowTokens: options.windowTokens ?? 4096,
    vocabularySize: FAKE_VOCABULARY,
  });
  const daemon = await openDaemon({
    config,
    storeFolder: folder,
    engine,
    tokenizer: fakeTokenizer,
    sampling: resolveSampling([config.chat.sampling]),
    clock: systemClock,
    logger: options.logger ?? silentLogger,
    version: 'test',
    webFolder: join(folder, 'no-web'),
    ...options.more,
  });
  await daemon.watch.refresh();
  const clients: TestClient[] = [];
  const stop = async (): Promise<void> => {
    for (const client of clients) client.kill();
    await daemon.close();
  };
  return Object.assign(daemon, {
    engine,
    folder,
    url: `http://127.0.0.1:${daemon.port}`,
    async connect({ hello = true } = {}) {
      const client = await TestClient.open(daemon.port);
      clients.push(client);
      if (hello) await client.hello();
      return client;
    },
    stop,
    async end() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  });
}
