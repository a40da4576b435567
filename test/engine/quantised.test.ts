// A quantised model is served as it is: beside the same model widened to f32.
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import type { Engine } from '../../src/engine/engine.ts';
import type { EngineOptions } from '../../src/engine/in-process-engine.ts';
import { type DeltaTensor, writeDelta } from '../../src/model/delta.ts';
import { readModel } from '../../src/model/model.ts';
import { primitiveGraph } from '../../src/model/transformer.ts';
import { loadFactors, loadVersion } from '../../src/model/versions.ts';
import type { HostTensor } from '../../src/runtime/executor.ts';
import { ascending, bool, i32, takeAll } from '../../src/runtime/host-tensor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { runProbe, withServed } from '../../src/swap/probe.ts';
import {
  generate,
  openEngine,
  request,
  someIds,
  temporaryFolder,
  tinyModel,
} from './tiny-engine.ts';

// It takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

/** Q4_0, Q5_1, Q8_0, BF16 and F32 in one file; W_q of the second layer is BF16. */
const FILE = new URL('../fixtures/gguf/llama-quantized.gguf', import.meta.url).pathname;
const IDS = someIds(40);
/** More than what rounding activations costs here on average, nats. */
const ROUNDING_NATS = 0.05;

let serving: Engine;
let widened: Engine;
/** Of low rank, and dense. */
let deltas: [string, string];
beforeAll(async () => {
  serving = await openEngine(FILE);
  widened = await openEngine(FILE, { isWidened: true });
  const folder = await temporaryFolder();
  const { baseHash, weights } = await readModel(FILE, { cacheDir: folder });
  const random = createRandom('deltas');
  const some = (size: number): Float32Array => random.fillGaussian(new Float32Array(size), 0.3);
  const write = async (name: string, make: (out: number, inner: number) => DeltaTensor) => {
    const moved = [...weights.values()].filter((weight) => weight.name.endsWith('.qProj'));
    const tensors = moved.map(({ name, shape: [out = 0, inner = 0] }) => [name, make(out, inner)]);
    const path = join(folder, `${name}.safetensors`);
    await writeDelta(path, { baseHash, tensors: Object.fromEntries(tensors) });
    return path;
  };
  deltas = [
    await write('factors', (out, inner) => {
      return { shape: [out, inner], loraA: some(3 * inner), loraB: some(out * 3) };
    }),
    await write('dense', (out, inner) => ({ shape: [out, inner], data: some(out * inner) })),
  ];
});

async function scoresOf(engine: Engine, paths: readonly string[], id: string): Promise<number[]> {
  await engine.loadVersion({ id, deltas: paths });
  const [scores] = await engine.score({ sequences: [{ ids: IDS, from: 1 }], version: id });
  return [...(scores as Float32Array)];
}

const distance = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((total, value, i) => total + Math.abs(value - (b[i] as number)), 0) / a.length;

/** Logits (tokens, vocabulary) where products are summed in f32. */
async function logitsOf(form: 'f32' | 'quantised', paths: readonly string[]): Promise<number[]> {
  const model = await readModel(FILE, { cacheDir: await temporaryFolder(), form });
  const executor = await createOnnxExecutor({ device: 'cpu', threads: 1 });
  const { outputs } = primitiveGraph(model, { past: 'none', outputs: { logits: true } });
  const program = await executor.compile(outputs);
  const weights = model.isQuantised
    ? await loadFactors(model, paths)
    : (await loadVersion(model, paths)).weights;
  const run = await program.run({
    ...weights,
    ids: i32([1, IDS.length], Int32Array.from(IDS)),
    positions: ascending([1, IDS.length]),
    keyMask: bool([1, IDS.length], new Uint8Array(IDS.length).fill(1)),
  });
  const { logits } = await takeAll(run);
  await executor.close();
  return [...(logits as HostTensor).data];
}

describe('a quantised model', () => {
  it.each([0, 1, 2])('has the logits of the widened one in f32, under %i deltas', async (count) => {
    const paths = deltas.slice(0, count);
    const wanted = await logitsOf('f32', paths);
    expect(Math.max(...wanted)).toBeGreaterThan(1);
    expect(distance(await logitsOf('quantised', paths), wanted)).toBeLessThan(1e-5);
  });

  it('says so, and is widened only where that is asked for', async () => {
    expect((await serving.describe()).isQuantised).toBe(true);
    const { isQuantised, baseHash } = await widened.describe();
    expect(isQuantised).toBe(false);
    expect((await serving.describe()).baseHash).toBe(baseHash);
  });

  it('has the probabilities of the widened one, but for the rounding of activations', async () => {
    const [a, b] = [await scoresOf(serving, [], 'base'), await scoresOf(widened, [], 'base')];
    expect(distance(a, b)).toBeLessThan(ROUNDING_NATS);
    expect(distance(a, b)).toBeGreaterThan(0);
  });

  it.each(['one', 'other', 'both'] as const)(
    'is moved by %s delta as the widened one',
    async (which) => {
      const paths = { one: [deltas[0]], other: [deltas[1]], both: [...deltas] }[which];
      const moved = await scoresOf(widened, paths, which);
      expect(distance(moved, await scoresOf(widened, [], 'base'))).toBeGreaterThan(
        2 * ROUNDING_NATS,
      );
      expect(distance(await scoresOf(serving, paths, which), moved)).toBeLessThan(ROUNDING_NATS);
    },
  );

  it('switches between two steps and goes back to the very same replies', async () => {
    const before = await generate(serving, request(IDS));
    const { version } = await serving.describe();
    await serving.loadVersion({ id: 'one', deltas: [deltas[0]] });
    await serving.switchVersion('one');
    const during = await generate(serving, request(IDS));
    expect(during.versionRuns).toEqual([[0, 12, 'one']]);
    expect(during.ids).not.toEqual(before.ids);
    await serving.loadVersion({ id: version, deltas: [] });
    await serving.switchVersion(version);
    expect((await generate(serving, request(IDS))).ids).toEqual(before.ids);
  });

  it('shows the attention of the widened one', async () => {
    const rows = [5, 20, 39];
    const a = await serving.capture({ ids: IDS, rows });
    const b = await widened.capture({ ids: IDS, rows });
    expect(a.weights).toHaveLength(b.weights.length);
    expect(distance([...a.weights], [...b.weights])).toBeLessThan(ROUNDING_NATS);
  });

  it('is probed like with like: to the bit, and never against f32', async () => {
    const sequences = [
      { ids: IDS, from: 30, logprobs: [...(await scoresOf(widened, [], 'base'))].slice(29) },
    ];
    const probe = { schema: 1 as const, version: 'base', toleranceNats: 1e-9, sequences };
    expect(await runProbe(serving, probe, 'base')).toBeNull();
    const served = await withServed(serving, probe, 'base');
    expect(await runProbe(serving, served, 'base')).toEqual({
      tokens: 10,
      worstNats: 0,
      passes: true,
    });
    await serving.loadVersion({ id: 'one', deltas: [deltas[0]] });
    expect(await runProbe(serving, served, 'one')).toMatchObject({ passes: false });
    expect(await withServed(widened, probe, 'base')).toBe(probe);
  });
});

describe('a folder that is quantised', () => {
  const open = (modelDir: string, cacheDir: string, quantize?: EngineOptions['quantize']) =>
    openEngine(modelDir, { cacheDir, ...(quantize === undefined ? {} : { quantize }) });

  it.each([4, 8] as const)(
    'to %i bits stays near what it was, under a base of its own',
    async (bits) => {
      const modelDir = await tinyModel();
      const cacheDir = await temporaryFolder();
      const plain = await openEngine(modelDir);
      const engine = await open(modelDir, cacheDir, bits);
      const { isQuantised, baseHash } = await engine.describe();
      expect(isQuantised).toBe(true);
      expect(baseHash).not.toBe((await plain.describe()).baseHash);
      const near = distance(await scoresOf(engine, [], 'base'), await scoresOf(plain, [], 'base'));
      expect(near).toBeGreaterThan(0);
      expect(near).toBeLessThan(bits === 8 ? 0.05 : 0.3);
      // Whoever reads it from this store, for whatever, reads the same base.
      expect((await readModel(modelDir, { cacheDir })).baseHash).toBe(baseHash);
      expect((await (await open(modelDir, cacheDir)).describe()).baseHash).toBe(baseHash);
    },
  );

  it('is decided once: another choice is refused', async () => {
    const modelDir = await tinyModel();
    const cacheDir = await temporaryFolder();
    await open(modelDir, cacheDir, 'none');
    await expect(open(modelDir, cacheDir, 4)).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringContaining('began with none'),
    });
    expect((await (await open(modelDir, cacheDir, 'auto')).describe()).isQuantised).toBe(false);
  });

  it('that is a GGUF of blocks already is left as it is', async () => {
    const { baseHash } = await serving.describe();
    const engine = await open(FILE, await temporaryFolder(), 4);
    expect((await engine.describe()).baseHash).toBe(baseHash);
  });
});

describe('one seed, one reply', () => {
  const drawn = (ids: readonly number[], seed: number, replyTokensMax = 12) => {
    const { sampling } = request([]);
    return request(ids, { replyTokensMax, sampling: { ...sampling, temperature: 1, seed } });
  };
  /** The reply while so many others, which are longer, are decoded with it. */
  async function among(engine: Engine, others: number): Promise<readonly number[]> {
    const longer = Array.from({ length: others }, (_, i) =>
      generate(engine, drawn(someIds(20 + i, i + 2), i, 40)),
    );
    const { ids } = await generate(engine, drawn(IDS, 7));
    await Promise.all(longer);
    return ids;
  }

  it.each([
    [8, 0],
    // Alone its products are made by another kernel.
    [4, 1],
  ] as const)('at %i bits: the same among others as among %i', async (quantize, fewest) => {
    const cacheDir = await temporaryFolder();
    const engine = await openEngine(await tinyModel(), { cacheDir, quantize });
    const wanted = await among(engine, fewest);
    for (const others of [1, 2, 5]) expect(await among(engine, others)).toEqual(wanted);
  });
});
