import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  readSafetensors,
  readTensor,
  type StoredTensor,
} from '../../src/model/checkpoint/safetensors.ts';
import { writeSafetensors } from '../../src/model/checkpoint/safetensors-writer.ts';
import { encode, floats, toBfloat16, toFloat16, withHeader } from './bytes.ts';
import { FIXTURES, temporaryFolder } from './runner.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  path = join(folder, 'model.safetensors');
});

const read = async (bytes: Uint8Array) => {
  await writeFile(path, bytes);
  return readSafetensors(path);
};
const entry = (begin: number, end: number, shape: unknown = [1], dtype: unknown = 'F32') => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});
const header = (tensors: Record<string, unknown>, bytes: number) =>
  withHeader(JSON.stringify(tensors), new Uint8Array(bytes));

describe('a safetensors file', () => {
  test('written by transformers is read, with its metadata', async () => {
    const file = await readSafetensors(join(FIXTURES, 'llama', 'model.safetensors'));
    expect(file.metadata).toEqual({ format: 'pt' });
    const tensor = file.tensors.get('model.layers.1.self_attn.k_proj.weight') as StoredTensor;
    expect(tensor.shape).toEqual([16, 32]);
    expect(await readTensor(tensor)).toHaveLength(512);
  });

  test('of half precision is widened exactly', async () => {
    const values = Float32Array.of(1, -2.5, 0, 2 ** -14, -(2 ** -24), 65504);
    const bf16 = Float32Array.of(1, -2.5, 0, 2 ** -126, -(2 ** -133), 3e38 - (3e38 % 2 ** 120));
    const { tensors } = await read(
      encode({
        half: { dtype: 'F16', shape: [6], bytes: toFloat16(values) },
        brain: { dtype: 'BF16', shape: [2, 3], bytes: toBfloat16(bf16) },
        odd: { dtype: 'F32', shape: [1], bytes: floats(0.1) },
      }),
    );
    const valuesOf = (name: string) => readTensor(tensors.get(name) as StoredTensor);
    expect(await valuesOf('half')).toEqual(values);
    expect((await valuesOf('brain')).slice(0, 5)).toEqual(bf16.slice(0, 5));
    expect(await valuesOf('odd')).toEqual(Float32Array.of(0.1));
  });

  test('with a scalar, an empty tensor, or no tensor at all is read', async () => {
    const { tensors } = await read(header({ a: entry(0, 4, []), b: entry(4, 4, [0, 7]) }, 4));
    expect([...tensors.keys()]).toEqual(['a', 'b']);
    expect(await readTensor(tensors.get('b') as StoredTensor)).toHaveLength(0);
    expect((await read(header({}, 0))).tensors.size).toBe(0);
  });

  test('larger than a piece is read whole, wherever it starts', async () => {
    const values = Float32Array.from({ length: 1_500_001 }, (_, i) => i);
    const bytes = new Uint8Array(values.buffer);
    const { tensors } = await read(encode({ a: { dtype: 'F32', shape: [1_500_001], bytes } }, 3));
    const found = await readTensor(tensors.get('a') as StoredTensor);
    expect(found.length === values.length && found.every((value, i) => value === i)).toBe(true);
  });

  test('keeps a tensor called like a member of every object', async () => {
    const text = '{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}';
    const { tensors } = await read(withHeader(text, floats(7)));
    expect(await readTensor(tensors.get('__proto__') as StoredTensor)).toEqual(Float32Array.of(7));
  });
});

describe('a file is refused as damaged', () => {
  const cases: [string, Uint8Array][] = [
    ['that is empty', new Uint8Array()],
    ['that ends within the length of its header', new Uint8Array(7)],
    ['whose header is longer than the file', withHeader('{}').subarray(0, 9)],
    ['whose header claims more than may be', Buffer.alloc(64, 0xff)],
    ['whose header has no bytes', withHeader('')],
    ['whose header is not JSON', withHeader('{"a":')],
    ['whose header is not UTF-8', withHeader(Uint8Array.of(0x7b, 0xff, 0x7d))],
    ['whose header starts with white space', withHeader(' {}')],
    ['whose header is a list', withHeader('[1]')],
    ['whose tensor is no object', withHeader('{"a":1}')],
    ['whose tensor is null', withHeader('{"a":null}')],
    ['whose shape is no list', header({ a: entry(0, 4, 4) }, 4)],
    ['whose shape has a negative size', header({ a: entry(0, 4, [-1]) }, 4)],
    ['whose shape has a broken size', header({ a: entry(0, 4, [0.5]) }, 4)],
    ['whose shape overflows', header({ a: entry(0, 4, [2 ** 40, 2 ** 40]) }, 4)],
    ['whose shape has hundreds of axes', header({ a: entry(0, 4, new Array(500).fill(1)) }, 4)],
    ['whose offsets are missing', header({ a: { dtype: 'F32', shape: [1] } }, 4)],
    ['whose offsets are three', header({ a: { ...entry(0, 4), data_offsets: [0, 4, 8] } }, 4)],
    ['whose offsets run backwards', header({ a: entry(4, 0) }, 4)],
    ['whose bytes do not fit its shape', header({ a: entry(0, 8) }, 8)],
    ['whose bytes do not fit its type', header({ a: entry(0, 4, [1], 'F16') }, 4)],
    ['that was cut within its data', header({ a: entry(0, 4), b: entry(4, 8) }, 7)],
    ['whose tensors overlap', header({ a: entry(0, 8, [2]), b: entry(4, 8) }, 8)],
    ['whose tensors share their bytes', header({ a: entry(0, 4), b: entry(0, 4) }, 4)],
    ['with a hole between tensors', header({ a: entry(0, 4), b: entry(8, 12) }, 12)],
    ['with bytes after the last tensor', header({ a: entry(0, 4) }, 5)],
    ['whose metadata is a list', header({ __metadata__: [1] }, 0)],
    ['whose metadata holds a number', header({ __metadata__: { a: 1 } }, 0)],
    [
      'that has a name twice',
      withHeader(
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        new Uint8Array(4),
      ),
    ],
    [
      'that has a name twice, once escaped',
      withHeader(
        '{"a" : {"dtype":"F32","shape":[0],"data_offsets":[0,0]},"\\u0061":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}',
      ),
    ],
    [
      'that has a member of a tensor twice',
      withHeader('{"a":{"dtype":"F16","dtype":"F32","shape":[0],"data_offsets":[0,0]}}'),
    ],
  ];
  test.each(cases)('%s', async (_, bytes) => {
    await expect(read(bytes)).rejects.toMatchObject({ code: 'model-damaged' });
  });

  test('that is a folder or does not end', async () => {
    await mkdir(path);
    await expect(readSafetensors(path)).rejects.toMatchObject({ code: 'model-damaged' });
    await expect(readSafetensors('/dev/zero')).rejects.toMatchObject({ code: 'model-damaged' });
  });
});

describe('a file is refused', () => {
  test('that is not there, or whose link leads nowhere', async () => {
    await expect(readSafetensors(path)).rejects.toMatchObject({ code: 'model-not-found' });
    await symlink('nowhere', path);
    await expect(readSafetensors(path)).rejects.toMatchObject({ code: 'model-not-found' });
  });

  test('as unsupported when it has an element type that nobody knows', async () => {
    const bytes = header({ a: entry(0, 4, [1], 'F31') }, 4);
    await expect(read(bytes)).rejects.toMatchObject({ code: 'model-unsupported' });
  });

  test('as unsupported when the values of a tensor of integers are asked for', async () => {
    const { tensors } = await read(header({ a: entry(0, 4, [1], 'I32') }, 4));
    const reading = readTensor(tensors.get('a') as StoredTensor);
    await expect(reading).rejects.toMatchObject({ code: 'model-unsupported' });
  });

  test('as damaged when it is cut after its header was read', async () => {
    const { tensors } = await read(header({ a: entry(0, 4) }, 4));
    await writeFile(path, 'short');
    const reading = readTensor(tensors.get('a') as StoredTensor);
    await expect(reading).rejects.toMatchObject({ code: 'model-damaged' });
  });
});

describe('a written file', () => {
  const single = [floats(1, 2, 3)];
  test('is read back as it was, its data aligned for mapping', async () => {
    const doubles = Float64Array.of(1 / 3);
    await writeSafetensors(
      path,
      [
        { name: 'small', dtype: 'F32', shape: [3], pieces: single },
        { name: 'large', dtype: 'F64', shape: [1, 1], pieces: [doubles] },
      ],
      { metadata: { schema: 'x' } },
    );
    const { tensors, metadata } = await readSafetensors(path);
    expect(metadata).toEqual({ format: 'pt', schema: 'x' });
    expect(await readTensor(tensors.get('small') as StoredTensor)).toEqual(
      Float32Array.of(1, 2, 3),
    );
    expect(await readTensor(tensors.get('large') as StoredTensor)).toEqual(doubles);
    expect((tensors.get('large') as StoredTensor).offset % 64).toBe(0);
  });

  test('leaves the old one untouched when its content does not fit, and nothing beside it', async () => {
    await writeFile(path, 'old');
    const writing = writeSafetensors(path, [
      { name: 'a', dtype: 'F32', shape: [4], pieces: single },
    ]);
    await expect(writing).rejects.toMatchObject({ code: 'model-damaged' });
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['model.safetensors']);
  });

  test('leaves the old one untouched when its check fails', async () => {
    await writeFile(path, 'old');
    const parts = [{ name: 'a', dtype: 'F32' as const, shape: [3], pieces: single }];
    const verify = async () => {
      throw new Error('no');
    };
    await expect(writeSafetensors(path, parts, { verify })).rejects.toThrow('no');
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['model.safetensors']);
  });

  test('cannot have two tensors of one name', async () => {
    const one = { name: 'a', dtype: 'F32' as const, shape: [3], pieces: single };
    await expect(writeSafetensors(path, [one, one])).rejects.toThrow('two tensors');
  });
});
