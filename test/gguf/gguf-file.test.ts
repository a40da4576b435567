// The head of a GGUF file: what is sound is read, everything else is refused by name.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AttuneError } from '../../src/base/errors.ts';
import { type GgufFile, readGgufFile } from '../../src/gguf/gguf-file.ts';
import { fc } from '../property.ts';
import { type GgufBytes, ggufBytes, type TensorBytes } from './gguf-bytes.ts';

// Many damaged files are read.
vi.setConfig({ testTimeout: 60_000 });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-gguf-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let count = 0;
async function read(bytes: Uint8Array): Promise<GgufFile> {
  const path = join(folder, `${count++}.gguf`);
  await writeFile(path, bytes);
  return readGgufFile(path);
}

const matrix: TensorBytes = { sizes: [4, 2], type: 0, bytes: new Uint8Array(32) };

describe('a GGUF file', () => {
  it('gives its metadata, and its tensors with the slowest axis first', async () => {
    const metadata = {
      'general.architecture': 'llama',
      'a.list': [1, 2],
      'a.on': true,
      'a.x': 0.5,
    };
    const file = await read(ggufBytes({ metadata, tensors: { m: matrix } }));
    expect(Object.fromEntries(file.metadata)).toEqual(metadata);
    expect(file.tensors.get('m')).toMatchObject({ shape: [2, 4], length: 32 });
    expect((file.tensors.get('m')?.offset ?? 1) % 32).toBe(0);
  });

  it('gives a list of texts as they are: empty ones, beginnings like a BOM, any script', async () => {
    const texts = fc.array(fc.string({ unit: 'binary', maxLength: 20 }), { minLength: 1 });
    const odd = ['', '\ufeffa', '🦙', '', 'ab 東京', ''];
    await fc.assert(
      fc.asyncProperty(texts, async (words) => {
        const file = await read(ggufBytes({ metadata: { words, after: 7 } }));
        expect(file.metadata.get('words')).toEqual(words);
        expect(file.metadata.get('after')).toBe(7);
      }),
      { numRuns: 20, examples: [[odd]] },
    );
  });

  it('is read whole when its head is longer than the first read', async () => {
    const words = Array.from({ length: 100_000 }, (_, i) => `a word of some length ${i}`);
    const file = await read(ggufBytes({ metadata: { words }, tensors: { m: matrix } }));
    expect(file.metadata.get('words')).toHaveLength(100_000);
    expect(file.tensors.size).toBe(1);
  });
});

describe('a GGUF file is refused', () => {
  const two = (other: Partial<TensorBytes>) => ({ a: matrix, b: { ...matrix, ...other } });
  const refused: [string, GgufBytes, string][] = [
    ['with another magic', { magic: 'GGML' }, 'does not begin with GGUF'],
    ['of version 1', { version: 1 }, 'version 1'],
    ['that is big-endian', { version: 0x03000000 }, 'big-endian'],
    ['that counts more tensors than it has bytes for', { tensorCount: 2n ** 40n }, 'tensors'],
    ['that counts more pairs than it has bytes for', { pairCount: 2n ** 63n }, 'metadata'],
    ['that ends within its head', { pairCount: 3n, metadata: { a: 'b' } }, ''],
    [
      'with an alignment that is not a power of two',
      { metadata: { 'general.alignment': 24 } },
      '24',
    ],
    ['with an alignment of zero', { metadata: { 'general.alignment': 0 } }, 'power of two'],
    ['with tensors that overlap', { tensors: two({ offset: 0 }) }, 'overlaps'],
    ['with a tensor that is not aligned', { tensors: two({ offset: 40 }) }, 'multiple of 32'],
    ['with a tensor beyond its end', { tensors: two({ offset: 2 ** 40 }) }, 'not fetched whole'],
    ['with an unknown element type', { tensors: two({ type: 77 }) }, '77'],
    ['with rows that are not whole blocks', { tensors: two({ type: 2 }) }, 'Q4_0 blocks'],
    ['with a size of zero', { tensors: two({ sizes: [0, 4] }) }, 'possible size'],
    [
      'with sizes whose product is beyond count',
      { tensors: two({ sizes: [2 ** 40, 2 ** 40] }) },
      '',
    ],
    ['with five axes', { tensors: two({ sizes: [2, 2, 2, 1, 1] }) }, 'dimensions'],
  ];
  it.each(refused)('%s', async (_, given, reason) => {
    const error = await read(ggufBytes(given)).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(AttuneError);
    expect((error as AttuneError).message).toContain(reason);
  });

  it('with a text that is longer than the file, before anything is allocated', async () => {
    const bytes = ggufBytes({ metadata: { abc: 'value' } });
    bytes.writeBigUInt64LE(2n ** 62n, 24);
    await expect(read(bytes)).rejects.toMatchObject({ code: 'model-damaged' });
  });

  it('with a list in which a character is cut between two texts', async () => {
    const bytes = ggufBytes({ metadata: { words: ['aé', 'é'] } });
    const accent = Buffer.from('é');
    const at = bytes.indexOf(accent);
    // The texts are `a` and half a character; the other half begins the next one.
    bytes.fill(accent[0] as number, at + 1, at + 2);
    bytes.fill(accent[1] as number, bytes.lastIndexOf(accent), bytes.lastIndexOf(accent) + 1);
    await expect(read(bytes)).rejects.toThrow('words: not UTF-8 text');
  });

  it('cut at any byte', async () => {
    const bytes = ggufBytes({
      metadata: { 'a.b': 'text', list: ['x', 'y'] },
      tensors: { m: matrix },
    });
    for (let length = 0; length < bytes.length; length++) {
      await expect(read(bytes.subarray(0, length))).rejects.toMatchObject({
        code: 'model-damaged',
      });
    }
  });

  it('or read, whatever bytes are changed, and never with another error', async () => {
    const sound = ggufBytes({
      metadata: { 'general.architecture': 'llama', list: ['x', 'y'], flag: true },
      tensors: { m: matrix, n: matrix },
    });
    const change = fc.tuple(fc.nat(sound.length - 1), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
        const bytes = Buffer.from(sound);
        for (const [at, value] of changes) bytes[at] = value;
        try {
          await read(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(AttuneError);
          expect(['model-damaged', 'model-unsupported']).toContain((error as AttuneError).code);
        }
      }),
      { numRuns: 400 },
    );
  });
});
