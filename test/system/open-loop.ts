// The whole house in this process on a small random model: daemon, engine, ledger, nights.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { installationFolder, loadConfig } from '../../src/config/load.ts';
import type { ConfigPatch } from '../../src/config/schema.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { createEngine } from '../../src/engine/in-process-engine.ts';
import { type Daemon, openDaemon } from '../../src/main.ts';
import type { NightService } from '../../src/night/service.ts';
import { resolveSampling } from '../../src/protocol/sampling.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { openStore } from '../../src/store/store.ts';
import { createChatTokenizer } from '../../src/tokenizer/chat-tokenizer.ts';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { TestClient } from '../server/test-client.ts';
import { writeSmallModel } from './small-model.ts';
import { writeSuite } from './small-suite.ts';

export interface Loop {
  readonly folder: string;
  readonly modelDir: string;
  readonly engine: Engine;
  readonly daemon: Daemon;
  readonly nights: NightService;
  close(): Promise<void>;
}

const SMALL: ConfigPatch = {
  server: { port: 0 },
  chat: { replyTokensMax: 24 },
  dream: { rehearsalTalks: 4 },
  night: { dreamsMax: 8, tokensMax: 400, isEnabled: false },
  train: { warmupSteps: 0, epochsMax: 2, batchSize: 2, checkpointSteps: 1 },
  measure: { pairs: 2, heldReplies: 4, everydayTurns: 8, resamples: 200 },
};

export interface LoopPlace {
  /** Where the store is; a new folder by default. */
  readonly folder?: string;
  readonly clock?: Clock;
}

/** Section by section; what is given later counts. */
function merged(one: ConfigPatch, other: ConfigPatch): ConfigPatch {
  const names = [...new Set([...Object.keys(one), ...Object.keys(other)])] as (keyof ConfigPatch)[];
  return Object.fromEntries(names.map((name) => [name, { ...one[name], ...other[name] }]));
}

/** @param more on top of the small configuration */
export async function openLoop(more: ConfigPatch = {}, place: LoopPlace = {}): Promise<Loop> {
  const folder = place.folder ?? (await mkdtemp(join(tmpdir(), 'attune-loop-')));
  const modelDir = await writeSmallModel();
  const paths = {
    store: folder,
    cache: join(folder, 'cache'),
    model: modelDir,
    suites: join(folder, 'suites'),
    prompts: join(installationFolder, 'prompts'),
    web: join(folder, 'no-web'),
  };
  await writeSuite(join(paths.suites, 'companion'));
  const { config } = await loadConfig({ options: merged(SMALL, more) });
  const shared = { config, clock: place.clock ?? systemClock, logger: silentLogger };
  const executor = await createOnnxExecutor({ device: 'cpu', threads: 2 });
  const { quantize } = config.model;
  const engine = await createEngine({ modelDir, cacheDir: paths.cache, executor, quantize });
  const { baseHash: base } = await engine.describe();
  const store = await openStore(folder, {
    ...{ ...shared, base },
    ...{ memory: config.memory, limits: config.server.limits },
  });
  const tokenizer = createChatTokenizer(await loadTokenizer(modelDir));
  const sampling = resolveSampling([config.chat.sampling]);
  const daemon = await openDaemon({ ...shared, paths, store, engine, tokenizer, sampling }, [
    () => engine.close(),
    () => store.close(),
  ]);
  return {
    ...{ folder, modelDir, engine, daemon, nights: daemon.nights },
    async close() {
      await daemon.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Says a direction in a talk of its own and flags the reply, with better words. */
export async function flagMoment(
  client: TestClient,
  {
    id,
    direction,
    better = `I will do that: ${direction}`,
  }: { id: string; direction: string; better?: string },
): Promise<void> {
  const { reply } = await client.say(`talk-${id}`, `m-${id}`, direction);
  const span = { start: 0, end: direction.length, text: direction };
  client.send({
    type: 'flag-add',
    flag: {
      id: `flag-${id}`,
      conversationId: `talk-${id}`,
      replyId: reply.id,
      userSpan: { messageId: `m-${id}`, span },
      betterWords: better,
    },
  });
  await client.next('flag-added');
}

/** Two moments, as `flagMoment` flags them. */
export async function flagTwo({ daemon }: Pick<Loop, 'daemon'>): Promise<void> {
  const client = await TestClient.open(daemon.port);
  await client.hello();
  await flagMoment(client, { id: '0', direction: 'Book the blue room.' });
  await flagMoment(client, { id: '1', direction: 'Call Mira at nine.' });
  client.kill();
}
