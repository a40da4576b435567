// The part of the executor contract on constants that lie in files.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as op from '../../src/graph/operations.ts';
import type { StoredType, Tensor } from '../../src/graph/tensor.ts';
import type { Executor, Program, Value } from '../../src/runtime/executor.ts';
import { f32 } from './cases/operation-case.ts';

const x = op.input('x', 'f32', ['n', 2]);
const bias = op.input('bias', 'f32', [2]);

/** 1, −2.5, 0.15625 and 65504 in each stored type, little-endian. */
const STORED: readonly [StoredType, Uint8Array][] = [
  ['f32', new Uint8Array(Float32Array.of(1, -2.5, 0.15625, 65504).buffer)],
  ['f16', new Uint8Array(Uint16Array.of(0x3c00, 0xc100, 0x3100, 0x7bff).buffer)],
  ['bf16', new Uint8Array(Uint16Array.of(0x3f80, 0xc020, 0x3e20, 0x4780).buffer)],
];

/** Constants that point into files. */
export function describeFiles(current: () => Executor): void {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'attune-contract-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const stored = (path: string, offset: number, [storedAs, bytes]: (typeof STORED)[number]) =>
    op.constant('w', { from: 'file', path, offset, length: bytes.length, storedAs }, 'f32', [2, 2]);

  it.each(STORED)('reads %s from any offset of a file', async (storedAs, bytes) => {
    const path = join(folder, `${storedAs}.bin`);
    writeFileSync(path, Buffer.concat([Buffer.alloc(6, 0xff), bytes, Buffer.alloc(3, 0xff)]));
    const product = op.matMul(x, stored(path, 6, [storedAs, bytes]), { transposeB: true });
    await compiled(current(), { product }, async (program) => {
      const { product: value } = await program.run({ x: f32([1, 2], [1, 2]) });
      const last = storedAs === 'bf16' ? 65536 : 65504;
      expect(await numbers(value)).toEqual([-4, 0.15625 + 2 * last]);
    });
  });

  it('reads constants of one graph from several folders', async () => {
    const [f32Stored] = STORED as [(typeof STORED)[number]];
    const paths = [join(folder, 'a.bin'), join(mkdtempSync(join(folder, 'sub-')), 'b.bin')];
    for (const path of paths) writeFileSync(path, f32Stored[1]);
    const [a, b] = paths.map((path) => stored(path, 0, f32Stored)) as [Tensor, Tensor];
    await compiled(current(), { sum: op.add(op.add(a, b), bias) }, async (program) => {
      const { sum } = await program.run({ bias: f32([2], [0, 0]) });
      expect(await numbers(sum)).toEqual([2, -5, 0.3125, 131008]);
    });
  });

  it('refuses a constant whose file is gone', async () => {
    const [f32Stored] = STORED as [(typeof STORED)[number]];
    const w = stored(join(folder, 'gone.bin'), 0, f32Stored);
    const compiling = current().compile({ sum: op.add(w, bias) });
    await expect(compiling).rejects.toMatchObject({ code: 'runtime-failed' });
  });

  it('refuses a constant that passes the end of its file', async () => {
    const [[storedAs, bytes]] = STORED as [(typeof STORED)[number]];
    const path = join(folder, 'short.bin');
    writeFileSync(path, bytes.subarray(4));
    const w = stored(path, 0, [storedAs, bytes]);
    const compiling = current().compile({ sum: op.add(w, bias) });
    await expect(compiling).rejects.toMatchObject({ code: 'runtime-failed' });
  });
}

async function compiled(
  executor: Executor,
  outputs: Record<string, Tensor>,
  use: (program: Program) => Promise<void>,
): Promise<void> {
  const program = await executor.compile(outputs);
  try {
    await use(program);
  } finally {
    await program.close();
  }
}

const numbers = async (value: Value | undefined): Promise<number[]> => [
  ...(await (value as Value).read()).data,
];
