import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { isAttuneError } from '../../src/base/errors.ts';
import { type EngineProcess, openEngineProcess } from '../../src/engine/process/client.ts';
import { forkEngine } from '../../src/engine/process/fork.ts';
import {
  type EngineState,
  type SupervisedEngine,
  superviseEngine,
} from '../../src/engine/process/supervise.ts';
import { writeDelta } from '../../src/model/delta.ts';
import {
  generate,
  openEngine,
  request,
  someIds,
  temporaryFolder,
  tinyModel,
} from './tiny-engine.ts';

const CRASHING = new URL('../fixtures/process/crashing-driver.mjs', import.meta.url);

// Each test forks a process that loads a model.
vi.setConfig({ testTimeout: 60_000 });

let modelDir: string;
let options: Parameters<typeof openEngineProcess>[0];
beforeAll(async () => {
  modelDir = await tinyModel();
  options = { modelDir, cacheDir: await temporaryFolder(), device: 'cpu', threads: 1 };
});

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close();
});

async function open(more: Partial<typeof options> = {}): Promise<EngineProcess> {
  const engine = await openEngineProcess({ ...options, ...more });
  opened.push(engine);
  return engine;
}

describe('an engine in a process of its own', () => {
  it('says and does what an engine in this process does', async () => {
    const [apart, here] = [await open(), await openEngine(modelDir)];
    expect(await apart.describe()).toEqual(await here.describe());
    const sampling = { ...request([]).sampling, temperature: 1, seed: 3 };
    const asked = request(someIds(20), { sampling, topLogprobs: 2 });
    const [a, b] = [await generate(apart, asked), await generate(here, asked)];
    expect(a.ids).toEqual(b.ids);
    expect(a.tokens).toHaveLength(12);
    const sequences = [{ ids: someIds(30), from: 20 }];
    expect((await apart.score({ sequences }))[0]).toHaveLength(10);
    const capture = await apart.capture({ ids: someIds(30), rows: [5, 20] });
    expect(capture.weights).toBeInstanceOf(Float32Array);
    expect(capture.weights).toHaveLength(3 * 4 * 2 * 21);
  });

  it('reports every token before the reply ends, in order', async () => {
    const engine = await open();
    const replies = [1, 2, 3, 4].map((salt) =>
      generate(engine, request(someIds(10, salt), { replyTokensMax: 30 })),
    );
    for (const { ids, tokens } of await Promise.all(replies)) {
      expect(tokens.map((token) => token.id)).toEqual(ids);
    }
  });

  it('aborts a reply from this side', async () => {
    const engine = await open();
    const controller = new AbortController();
    const asked = request(someIds(10), { replyTokensMax: 200 });
    const result = await engine.generate(asked, () => controller.abort(), controller.signal);
    expect(result.stopReason).toBe('aborted');
    expect(result.ids.length).toBeLessThan(200);
  });

  it('keeps codes and facts of errors, and tells mistakes from them', async () => {
    const engine = await open();
    await expect(generate(engine, request(someIds(300)))).rejects.toMatchObject({
      code: 'window-overflow',
      facts: { tokens: 300 },
    });
    await expect(engine.switchVersion('v-none')).rejects.toMatchObject({ code: 'version-unknown' });
    await expect(generate(engine, request([-1]))).rejects.toBeInstanceOf(RangeError);
    expect((await generate(engine, request(someIds(5)))).ids).toHaveLength(12);
  });

  it('ends only the reply whose listener throws', async () => {
    const engine = await open();
    const bad = engine.generate(request(someIds(5), { replyTokensMax: 200 }), () => {
      throw new Error('listener');
    });
    await expect(bad).rejects.toThrow('listener');
    expect((await generate(engine, request(someIds(5)))).ids).toHaveLength(12);
  });

  it('rejects what is in flight when it is killed, marked as interrupted, and all after', async () => {
    const engine = await open();
    const asked = request(someIds(10), { replyTokensMax: 200 });
    let seen = 0;
    const reply = engine.generate(asked, () => {
      if (++seen === 3) process.kill(engine.pid, 'SIGKILL');
    });
    await expect(reply).rejects.toMatchObject({
      code: 'engine-failed',
      facts: { interrupted: true, reason: 'SIGKILL' },
    });
    await expect(engine.describe()).rejects.toMatchObject({ code: 'engine-failed' });
    expect(isAttuneError(await engine.ended, 'engine-failed')).toBe(true);
  });

  it('refuses to open a folder that is no model, with the code of the reason', async () => {
    const missing = openEngineProcess({ ...options, modelDir: `${modelDir}/none` });
    await expect(missing).rejects.toMatchObject({ code: 'model-not-found' });
  });

  it('opens in a process that was started beforehand', async () => {
    const child = forkEngine();
    const engine = await openEngineProcess(options, child);
    opened.push(engine);
    expect(engine.pid).toBe(child.pid);
    expect((await engine.describe()).device).toBe('cpu');
  });

  it('does not wait for a process that was gone before it could be opened', async () => {
    const child = forkEngine();
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    await expect(openEngineProcess(options, child)).rejects.toMatchObject({
      code: 'engine-failed',
    });
  });

  it('ends when it is closed', async () => {
    const engine = await open();
    await engine.close();
    expect(await engine.ended).toBeUndefined();
    await expect(generate(engine, request([1]))).rejects.toMatchObject({ code: 'engine-failed' });
  });
});

describe('a supervised engine', () => {
  async function supervise(restartsMax = 3): Promise<{
    engine: SupervisedEngine;
    states: EngineState[];
  }> {
    const states: EngineState[] = [];
    const engine = await superviseEngine({
      open: (version) => openEngineProcess({ ...options, ...(version ? { version } : {}) }),
      restartsMax,
      onChange: (state) => states.push(state),
    });
    opened.push(engine);
    return { engine, states };
  }

  /** Resolves once the end of the process is noticed. */
  async function killed(engine: SupervisedEngine): Promise<void> {
    const pid = engine.pid as number;
    process.kill(pid, 'SIGKILL');
    await expect.poll(() => engine.pid, { timeout: 30_000 }).not.toBe(pid);
  }

  it('is started again after it died; later requests wait for it', async () => {
    const { engine, states } = await supervise();
    const before = engine.pid as number;
    const reply = generate(engine, request(someIds(10), { replyTokensMax: 200 }));
    await wait(50);
    process.kill(before, 'SIGKILL');
    await expect(reply).rejects.toMatchObject({ facts: { interrupted: true } });
    expect((await generate(engine, request(someIds(10)))).ids).toHaveLength(12);
    expect(engine.pid).not.toBe(before);
    expect(states).toEqual(['ready', 'restarting', 'ready']);
  });

  it('is started again under the version that it is told then', async () => {
    const { engine } = await supervise();
    const { version: base, baseHash } = await engine.describe();
    const path = join(await temporaryFolder(), 'delta.safetensors');
    const data = new Float32Array(64 * 64).fill(0.01);
    await writeDelta(path, { baseHash, tensors: { 'layers.0.qProj': { shape: [64, 64], data } } });
    const told = [{ id: 'v-night', deltas: [path] }, undefined];
    engine.restartUnder(async () => told.shift());
    for (const version of ['v-night', base]) {
      await killed(engine);
      expect((await engine.describe()).version).toBe(version);
    }
  });

  it('stays down after too many deaths and says so', async () => {
    const { engine, states } = await supervise(1);
    for (let life = 0; life < 2; life++) {
      await engine.describe();
      await killed(engine);
    }
    await expect(engine.describe()).rejects.toMatchObject({
      code: 'engine-failed',
      facts: { restartsMax: 1 },
    });
    expect(states.at(-1)).toBe('failed');
  });

  it('does not come back once it was closed', async () => {
    const { engine, states } = await supervise();
    await engine.close();
    await wait(50);
    expect(states.at(-1)).toBe('closed');
    await expect(engine.describe()).rejects.toMatchObject({ code: 'engine-failed' });
  });

  it('opens on the CPU when a driver takes the process along, and says so', async () => {
    vi.stubEnv('NODE_OPTIONS', `--import ${CRASHING}`);
    const engine = await superviseEngine({
      open: (_, lost) =>
        openEngineProcess(
          lost === undefined ? { ...options, device: 'webgpu' } : { ...options, notices: [lost] },
        ),
      restartsMax: 3,
    });
    vi.unstubAllEnvs();
    opened.push(engine);
    const { device, notices } = await engine.describe();
    expect([device, notices]).toEqual([
      'cpu',
      ['The graphics card failed (SIGSEGV). Replies come from the CPU until Attune is restarted.'],
    ]);
  });

  it('passes on why the first start failed', async () => {
    const start = superviseEngine({
      open: () => openEngineProcess({ ...options, modelDir: '/nowhere' }),
      restartsMax: 3,
    });
    await expect(start).rejects.toMatchObject({ code: 'model-not-found' });
  });
});
