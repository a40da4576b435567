import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { FileSource } from '../../src/graph/tensor.ts';
import { type Model, readModel, type Weight } from '../../src/model/model.ts';
import type { Executor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { partsOf, type StoredAs, writeFolder } from './bytes.ts';
import * as run from './runner.ts';
import { Runner } from './runner.ts';

// A model is loaded.
vi.setConfig({ testTimeout: 60_000 });

const WEIGHTS = new URL('../../../shared/data/weights/', import.meta.url).pathname;
const FOLDER = join(WEIGHTS, 'stories260k_hf_converted');
const GOLDEN = join(WEIGHTS, 'stories260k/golden_numpy.json');
const isMissing = !existsSync(FOLDER);
const title = isMissing
  ? 'stories260k (SKIPPED: ../shared/data/weights is not beside this checkout)'
  : 'stories260k, a real trained Llama';

interface Golden {
  readonly greedy_from_bos_ids: number[];
  readonly first_logits_pos0: number[];
}

describe.skipIf(isMissing)(title, () => {
  let executor: Executor;
  let golden: Golden;
  let cacheDir: string;
  beforeAll(async () => {
    executor = await createOnnxExecutor({ device: 'cpu', threads: 1 });
    golden = JSON.parse(await readFile(GOLDEN, 'utf8'));
    cacheDir = await run.temporaryFolder();
  });
  afterAll(() => executor.close());

  const read = (dir: string): Promise<Model> => readModel(dir, { cacheDir });
  const logitsOf = async (model: Model): Promise<Float32Array> => {
    const runner = await Runner.primitive(executor, model, {
      past: 'none',
      outputs: { logits: true },
    });
    return run.valuesOf(await runner.run(run.sequence(golden.greedy_from_bos_ids)), 'logits');
  };
  const copyAs = async (dtype: StoredAs, shards: number): Promise<string> => {
    const parts = await partsOf(join(FOLDER, 'model.safetensors'), dtype);
    return writeFolder(join(await run.temporaryFolder(), dtype), FOLDER, { parts, shards });
  };

  test('tells its golden story, token by token', async () => {
    const model = await read(FOLDER);
    const runner = await Runner.primitive(executor, model, {
      outputs: { logits: true, present: true },
    });
    const ids = [1];
    let past = run.emptyPast(model);
    while (ids.length < golden.greedy_from_bos_ids.length) {
      const last = ids.slice(-1);
      const results = await runner.run({ ...run.sequence(last, ids.length - 1), ...past });
      const logits = run.valuesOf(results, 'logits');
      if (ids.length === 1) {
        const first = logits.slice(0, golden.first_logits_pos0.length);
        expect(run.distance(first, golden.first_logits_pos0)).toBeLessThan(1e-4);
      }
      ids.push(run.argmax(logits, 0, 512));
      past = run.pastFrom(results);
    }
    expect(ids).toEqual(golden.greedy_from_bos_ids);
  });

  test('is bit for bit the same from shards and through links, and has the same base hash', async () => {
    const single = await read(FOLDER);
    const sharded = await read(await copyAs('F32', 3));
    const linked = await read(await snapshotOf(await copyAs('F32', 2)));
    const wanted = await logitsOf(single);
    const { path: blobs } = (linked.weights.get('norm') as Weight).source as FileSource;
    expect(blobs).toMatch(/models--owner--name\/blobs\/blob\d$/);
    for (const model of [sharded, linked]) {
      expect(model.baseHash).toBe(single.baseHash);
      expect(run.distance(await logitsOf(model), wanted)).toBe(0);
    }
    expect(linked.id).toBe('owner/name');
  });

  // Source: 8 and 11 significant bits; a few hundred roundings add up in a logit.
  test.each([
    ['BF16', 0.25],
    ['F16', 0.03],
  ] as const)(
    'from %s, single and in shards, differs only as rounded weights do',
    async (dtype, most) => {
      const wanted = await logitsOf(await read(FOLDER));
      const single = await read(await copyAs(dtype, 1));
      const sharded = await read(await copyAs(dtype, 3));
      expect(single.baseHash).toBe(sharded.baseHash);
      const logits = await logitsOf(single);
      expect(run.distance(logits, wanted)).toBeLessThan(most);
      expect(run.distance(logits, wanted)).toBeGreaterThan(0);
      expect(run.distance(await logitsOf(sharded), logits)).toBe(0);
      const same = golden.greedy_from_bos_ids
        .slice(1)
        .filter((id, row) => run.argmax(logits, row, 512) === id);
      expect(same.length).toBeGreaterThanOrEqual(195);
    },
  );
});

/** The layout of a Hugging Face cache: files in `blobs`, a snapshot of nothing but links. */
async function snapshotOf(dir: string): Promise<string> {
  const repository = join(dirname(dir), 'hub', 'models--owner--name');
  const snapshot = join(repository, 'snapshots', '0123456789abcdef');
  await mkdir(join(repository, 'blobs'), { recursive: true });
  await mkdir(snapshot, { recursive: true });
  for (const [i, name] of (await readdir(dir)).entries()) {
    await copyFile(join(dir, name), join(repository, 'blobs', `blob${i}`));
    await symlink(join('..', '..', 'blobs', `blob${i}`), join(snapshot, name));
  }
  return snapshot;
}
