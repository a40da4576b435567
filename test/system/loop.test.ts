// The whole loop, thin and real: say, log, flag, dream and train at night, gate, swap, summary.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { createSpeech } from '../../src/chat/model-speech.ts';
import { installationFolder, loadConfig } from '../../src/config/load.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { createEngine } from '../../src/engine/in-process-engine.ts';
import { openLedger } from '../../src/ledger/ledger.ts';
import { openMemory } from '../../src/memory/memory.ts';
import { courteousEngine } from '../../src/night/courteous-engine.ts';
import { NightService } from '../../src/night/service.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { type Daemon, openDaemon } from '../../src/server/daemon.ts';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { TestClient } from '../server/test-client.ts';
import { writeSmallModel } from './small-model.ts';
import { writeSuite } from './small-suite.ts';

let folder: string;
let engine: Engine;
let daemon: Daemon;
let nights: NightService;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-loop-'));
  const modelDir = await writeSmallModel();
  await writeSuite(join(folder, 'suite'));
  const cacheDir = join(folder, 'cache');
  const { config } = await loadConfig({
    options: {
      server: { port: 0 },
      chat: { replyTokensMax: 24 },
      night: { dreamsMax: 8 },
      train: { learningRate: 0.01, warmupSteps: 0, epochsMax: 2, batchSize: 2 },
      measure: { scenariosPerKind: 1, repliesPerKind: 0, resamples: 200 },
    },
  });
  const executor = await createOnnxExecutor({ device: 'cpu', threads: 2 });
  const inner = await createEngine({ modelDir, cacheDir, executor });
  engine = courteousEngine(inner, {
    onBusy: () => nights?.onBusy(),
    onIdle: () => nights?.onIdle(),
  });
  const { baseHash } = await engine.describe();
  const ledger = await openLedger(join(folder, 'ledger'), baseHash);
  daemon = await openDaemon({
    config,
    storeFolder: folder,
    engine,
    speech: createSpeech(await loadTokenizer(modelDir)),
    clock: systemClock,
    logger: silentLogger,
    version: 'test',
    webFolder: join(folder, 'no-web'),
  });
  await daemon.watch.refresh();
  nights = new NightService({
    config,
    ledger,
    engine,
    flags: daemon.flags,
    store: daemon.store,
    clock: systemClock,
    logger: silentLogger,
    publish: daemon.publish,
    modelDir,
    cacheDir,
    suiteFolder: join(folder, 'suite'),
    promptsFolder: join(installationFolder, 'prompts'),
    memory: await openMemory({
      path: join(folder, 'memory.json'),
      clock: systemClock,
      settings: config.memory,
    }),
    entry: join(installationFolder, 'dist', 'night', 'child.js'),
  });
});

afterAll(async () => {
  await nights?.close();
  await daemon?.close();
  await engine?.close();
  await rm(folder, { recursive: true, force: true });
});

it('goes from a flagged reply over a night to new weights in the running chat', async () => {
  const client = await TestClient.open(daemon.port);
  await client.hello();
  client.send({ type: 'event-subscribe', topics: ['nights'] });

  for (const [i, direction] of ['Book the blue room.', 'Call Mira at nine.'].entries()) {
    const talk = `talk-${i}`;
    const { reply } = await client.say(talk, `m-${i}`, direction);
    expect(reply.versionRuns.every(([, , version]) => version.startsWith('base-'))).toBe(true);
    client.send({
      type: 'flag-add',
      flag: {
        id: `flag-${i}`,
        conversationId: talk,
        replyId: reply.id,
        userSpan: {
          messageId: `m-${i}`,
          span: { start: 0, end: direction.length, text: direction },
        },
        betterWords: `I will do that: ${direction}`,
      },
    });
    await client.next('flag-added');
  }

  const before = (await engine.describe()).version;
  const night = await nights.run();
  await expect(nights.run()).rejects.toMatchObject({ code: 'night-running' });
  const end = await client.next('night-end', () => true, 150_000);
  await nights.ended();
  // Random weights cannot learn to listen, and the gate says so; a person may go there all the same.
  expect(end).toMatchObject({ nightId: night, verdict: 'refused', version: null });
  expect(end.reasons.join()).toContain('sources: 2 distinct sources; 8 needed');
  expect((await engine.describe()).version).toBe(before);
  const phases = new Set(client.all('night-progress').map(({ phase }) => phase));
  expect([...phases]).toEqual(['dream', 'admit', 'train', 'measure']);
  await expect(nights.approve(night)).rejects.toMatchObject({ code: 'swap-refused' });
  const swap = await nights.swapTo([night]);
  expect(swap).toMatchObject({ from: before, probe: { passes: true } });

  const { reply } = await client.say('talk-0', 'm-after', 'And now?');
  expect(reply.versionRuns.map(([, , version]) => version)).toEqual([swap.to]);

  const manifest = await nights.ledger.read(night);
  expect(manifest.delta?.steps).toBe(2);
  expect(manifest.delta?.relativeNorm).toBeGreaterThan(0);
  expect(nights.ledger.head().inForce).toEqual([night]);
  expect(await nights.verify()).toMatchObject({ nights: 1, isSound: true });
  expect(daemon.flags.get('flag-0').usedBy).toEqual([night]);
  const summary = await readFile(join(nights.ledger.folderOf(night), 'summary.md'), 'utf8');
  expect(summary).toContain('Night 1');
  client.kill();
}, 200_000);

it('goes back to the base model', async () => {
  const report = await nights.swapTo([]);
  expect(report.to).toMatch(/^base-/);
  expect((await engine.describe()).version).toBe(report.to);
});

it('ends a night without anything to learn, and says so', async () => {
  for (const flag of daemon.flags.list()) await daemon.flags.deleteOf(flag.conversationId);
  const night = await nights.run();
  await nights.ended();
  const manifest = await nights.ledger.read(night);
  expect(manifest.delta).toBeNull();
  expect(nights.ledger.statusOf(manifest)).toBe('empty');
}, 60_000);
