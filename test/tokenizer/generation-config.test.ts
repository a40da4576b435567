import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { isAttuneError } from '../../src/base/errors.ts';
import { readGenerationConfig } from '../../src/tokenizer/generation-config.ts';
import { fc } from '../property.ts';

// Many damaged files are read.
vi.setConfig({ testTimeout: 60_000 });

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-generation-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function read(generation: unknown, model?: unknown) {
  const files = { 'generation_config.json': generation, 'config.json': model };
  for (const [name, json] of Object.entries(files)) {
    if (json !== undefined) await writeFile(join(folder, name), JSON.stringify(json));
  }
  return readGenerationConfig(folder);
}

describe('the ids that end a reply', () => {
  it('are those of generation_config.json and config.json, each once', async () => {
    const { stopIds } = await read({ eos_token_id: [2, 0, 2] }, { eos_token_id: [0, 7] });
    expect(stopIds).toEqual([2, 0, 7]);
  });

  it('are those of config.json where generation_config.json is missing or names none', async () => {
    expect((await read(undefined, { eos_token_id: [5, 7] })).stopIds).toEqual([5, 7]);
    expect((await read({ eos_token_id: null }, { eos_token_id: 5 })).stopIds).toEqual([5]);
  });

  it('are none where no file names one', async () => {
    expect((await read(undefined)).stopIds).toEqual([]);
    expect((await read({}, { eos_token_id: null })).stopIds).toEqual([]);
  });

  it('are in the vocabulary', async () => {
    const { stopIds } = await read({ eos_token_id: [2, 99] }, { vocab_size: 99 });
    expect(stopIds).toEqual([2]);
  });
});

describe('what the makers suggest for sampling', () => {
  it('is read under our names, without a penalty; what they leave open is absent', async () => {
    const json = { do_sample: true, temperature: 0.6, top_k: 20, top_p: 0.9, min_p: null };
    const { sampling } = await read({ ...json, repetition_penalty: 1.05, max_new_tokens: 9 });
    expect(sampling).toEqual({ temperature: 0.6, topK: 20, topP: 0.9 });
    expect((await read({ max_new_tokens: 9 })).sampling).toEqual({});
  });

  it('is greedy where do_sample is false', async () => {
    const { sampling } = await read({ do_sample: false, temperature: 0.6 });
    expect(sampling.temperature).toBe(0);
  });
});

describe('a damaged file', () => {
  it.each([
    [[], '(root)'],
    [{ temperature: -1 }, 'temperature'],
    [{ top_p: 2 }, 'top_p'],
    [{ eos_token_id: 'x' }, 'eos_token_id'],
    [{ do_sample: 1 }, 'do_sample'],
  ])('%j is refused by name', async (json, place) => {
    await expect(read(json)).rejects.toMatchObject({
      code: 'tokenizer-invalid',
      message: expect.stringContaining(`generation_config.json: ${place}`),
    });
  });

  it('of anything at all is read or refused with a code', async () => {
    await fc.assert(
      fc.asyncProperty(fc.json(), async (text) => {
        await writeFile(join(folder, 'generation_config.json'), text);
        await readGenerationConfig(folder).catch((error: unknown) => {
          expect(isAttuneError(error, 'tokenizer-invalid')).toBe(true);
        });
      }),
      { numRuns: 100 },
    );
    expect(await readdir(folder)).toEqual(['generation_config.json']);
  });
});
