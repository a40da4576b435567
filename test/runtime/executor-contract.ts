// What every executor promises, as one suite: each operation, feeds and refusals, values, files.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as indexing from '../../src/graph/indexing.ts';
import * as op from '../../src/graph/operations.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import type { Executor, HostTensor, Program, Value } from '../../src/runtime/executor.ts';
import { f32, i32, type OperationCase } from './cases/operation-case.ts';
import { describeFiles } from './contract-files.ts';
import { OPERATION_CASES } from './operation-cases.ts';

export interface ContractOptions {
  /** Says why the whole suite cannot run here; it is then skipped, with this in its title. */
  readonly unavailable?: string;
  /** Decimals to which f32 results must agree with the hand-made ones. */
  readonly decimals?: number;
  /** Operation cases this device cannot do, by title, with the reason. */
  readonly except?: Readonly<Record<string, string>>;
}

/** Runs the suite on executors that `createExecutor` makes; it is called once. */
export function describeExecutorContract(
  name: string,
  createExecutor: () => Promise<Executor>,
  options: ContractOptions = {},
): void {
  const { unavailable } = options;
  const title = unavailable === undefined ? name : `${name} (SKIPPED: ${unavailable})`;
  describe.skipIf(unavailable !== undefined)(title, () => {
    let executor: Executor;
    beforeAll(async () => {
      executor = await createExecutor();
    });
    afterAll(async () => {
      await executor?.close();
    });
    describe('operations', () => describeOperations(() => executor, options));
    describe('feeds', () => describeFeeds(() => executor));
    describe('outputs', () => describeOutputs(() => executor));
    describe('values', () => describeValues(() => executor));
    describe('constants in files', () => describeFiles(() => executor));
  });
}

type Current = () => Executor;

function describeOperations(current: Current, { decimals = 5, except = {} }: ContractOptions) {
  for (const each of OPERATION_CASES) {
    const reason = except[each.title];
    const title = reason === undefined ? each.title : `${each.title} (SKIPPED: ${reason})`;
    it.skipIf(reason !== undefined)(title, () => checkOperation(current(), each, decimals));
  }
}

async function checkOperation(executor: Executor, each: OperationCase, decimals: number) {
  const { output, feeds, expected } = each;
  const program = await executor.compile({ output });
  const got = await home((await program.run(feeds)).output);
  expect(got.dtype).toBe(expected.dtype);
  expect(got.shape).toEqual(expected.shape);
  expect(got.data.constructor).toBe(expected.data.constructor);
  expect(got.data).toHaveLength(expected.data.length);
  expected.data.forEach((want, i) => {
    const have = got.data[i] as number;
    if (expected.dtype === 'f32' && Number.isFinite(want)) expect(have).toBeCloseTo(want, decimals);
    else expect(have).toBe(want);
  });
  await program.close();
}

const x = op.input('x', 'f32', ['n', 2]);
const bias = op.input('bias', 'f32', [2]);
const grown = op.input('grown', 'f32', ['n + past', 2]);
const past = op.input('past', 'f32', ['past', 2]);

const host = (value: Value | undefined): Value => value as Value;
const home = (value: Value | undefined): Promise<HostTensor> => host(value).read();
const numbers = async (value: Value | undefined): Promise<number[]> => [
  ...(await home(value)).data,
];

async function compiled(
  current: Current,
  outputs: Record<string, Tensor>,
  use: (program: Program) => Promise<void>,
  keepOnDevice: string[] = [],
): Promise<void> {
  const program = await current().compile(outputs, { keepOnDevice });
  try {
    await use(program);
  } finally {
    await program.close();
  }
}

function describeFeeds(current: Current): void {
  const sum = { sum: op.add(x, bias) };
  const feed = { x: f32([1, 2], [1, 2]), bias: f32([2], [10, 20]) };
  const refused: readonly [string, Record<string, HostTensor>, RegExp][] = [
    ['a missing input', { x: feed.x }, /input bias is missing/],
    ['an input of another type', { ...feed, bias: i32([2], [1, 2]) }, /input bias is i32/],
    ['an input of another rank', { ...feed, bias: f32([1, 2], [1, 2]) }, /input bias is \(1,2\)/],
    ['an input of another size', { ...feed, bias: f32([3], [1, 2, 3]) }, /input bias is \(3\)/],
    ['an input it does not have', { ...feed, z: feed.bias }, /no input z/],
    ['data that do not fill their shape', { ...feed, x: f32([2, 2], [1, 2]) }, /2 elements/],
  ];
  it.each(refused)('refuses %s', async (_, feeds, message) => {
    await compiled(current, sum, async (program) => {
      await expect(program.run(feeds)).rejects.toMatchObject({
        code: 'runtime-failed',
        message: expect.stringMatching(message),
      });
    });
  });

  it('refuses sizes that contradict one another', async () => {
    const outputs = { all: indexing.concat([past, x, grown], 0) };
    await compiled(current, outputs, async (program) => {
      const feeds = { x: f32([1, 2], [1, 2]), past: f32([2, 2], [1, 2, 3, 4]) };
      await expect(program.run({ ...feeds, grown: f32([1, 2], [1, 2]) })).rejects.toMatchObject({
        code: 'runtime-failed',
      });
    });
  });

  it('takes another size of a symbol in each run', async () => {
    await compiled(current, sum, async (program) => {
      for (const n of [1, 3, 0, 2]) {
        const data = Array.from({ length: n * 2 }, (_, i) => i);
        const { sum: value } = await program.run({ ...feed, x: f32([n, 2], data) });
        expect(await numbers(value)).toEqual(data.map((v, i) => v + (i % 2 === 0 ? 10 : 20)));
      }
    });
  });
}

function describeOutputs(current: Current): void {
  const outputs = { twice: op.add(x, x), square: op.multiply(x, x) };
  const feeds = { x: f32([1, 2], [3, 4]) };

  it('computes all outputs', async () => {
    await compiled(current, outputs, async (program) => {
      const { twice, square } = await program.run(feeds);
      expect([await numbers(twice), await numbers(square)]).toEqual([
        [6, 8],
        [9, 16],
      ]);
    });
  });

  it('hands out an input, a constant, and one value under two names', async () => {
    const three = op.scalar(3);
    const sum = op.add(x, three);
    await compiled(current, { same: x, three, sum, again: sum }, async (program) => {
      const results = await program.run(feeds);
      expect(await numbers(results.same)).toEqual([3, 4]);
      expect(await numbers(results.three)).toEqual([3]);
      expect(await numbers(results.sum)).toEqual([6, 7]);
      expect(await numbers(results.again)).toEqual([6, 7]);
    });
  });
}

function describeValues(current: Current): void {
  const next = { next: op.add(x, x) };

  it('feeds a kept output back many times without taking it home', async () => {
    const keep = ['next'];
    const use = async (program: Program): Promise<void> => {
      let value = await current().upload(f32([1, 2], [1, -1]));
      for (let i = 0; i < 10; i++) {
        const result = host((await program.run({ x: value })).next);
        value.release();
        value = result;
      }
      expect(await numbers(value)).toEqual([1024, -1024]);
      expect(await numbers(value)).toEqual([1024, -1024]);
      value.release();
    };
    await compiled(current, next, use, keep);
  });

  it('leaves a value that was fed as it was', async () => {
    await compiled(current, next, async (program) => {
      const value = await current().upload(f32([1, 2], [1, 2]));
      await program.run({ x: value });
      const { next: again } = await program.run({ x: value });
      expect(await numbers(again)).toEqual([2, 4]);
      expect(await numbers(value)).toEqual([1, 2]);
      value.release();
    });
  });

  it('uploads values of every type and of no elements', async () => {
    for (const tensor of [i32([2], [7, -7]), f32([0, 2], []), f32([], [5])]) {
      const value = await current().upload(tensor);
      expect(value.shape).toEqual(tensor.shape);
      const { dtype, shape, data } = await value.read();
      expect({ dtype, shape, data: [...data] }).toEqual({ ...tensor, data: [...tensor.data] });
      value.release();
    }
  });

  it('refuses a value after its release', async () => {
    await compiled(current, next, async (program) => {
      const value = await current().upload(f32([1, 2], [1, 2]));
      value.release();
      const refusal = {
        code: 'runtime-failed',
        message: expect.stringMatching('after its release'),
      };
      await expect(value.read()).rejects.toMatchObject(refusal);
      await expect(program.run({ x: value })).rejects.toMatchObject(refusal);
    });
  });
}
