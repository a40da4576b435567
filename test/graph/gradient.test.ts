// What a gradient builds and prunes, and what it refuses; the rules themselves are tested apart.
import { describe, expect, it } from 'vitest';
import { groupQueryAttention } from '../../src/graph/fused.ts';
import { gradients } from '../../src/graph/gradient.ts';
import * as indexing from '../../src/graph/indexing.ts';
import * as op from '../../src/graph/operations.ts';
import { type Tensor, topological } from '../../src/graph/tensor.ts';
import { f32, numbersOf, run } from './ort-run.ts';

const inline = (n: number) =>
  ({ from: 'inline', data: Float32Array.from({ length: n }, (_, i) => Math.sin(i)) }) as const;

describe('what is built', () => {
  const x = op.input('x', 'f32', [2, 3]);
  const w = op.input('w', 'f32', [3, 3]);
  const kinds = (tensors: readonly Tensor[]): string[] =>
    topological(tensors).map(({ operation }) => operation.kind);

  it('builds nothing for what no input leads to', () => {
    const frozen = op.matMul(op.exp(x), x, { transposeA: true });
    const loss = op.reduceSum(op.add(op.matMul(x, w), op.reduceSum(frozen)));
    const found = gradients(loss, [w]);
    expect(kinds(found).filter((kind) => kind === 'matMul')).toHaveLength(1);
    expect(kinds(found)).not.toContain('unary');
  });

  it('takes the gradient of a joined part without that of the constant part', () => {
    const past = op.constant('past', inline(30), 'f32', [10, 3]);
    const keys = indexing.concat([past, op.matMul(x, w)], 0);
    const loss = op.reduceSum(op.softmax(op.matMul(x, keys, { transposeB: true })));
    const products = topological(gradients(loss, [w])).filter(
      ({ operation, scope }) => operation.kind === 'matMul' && scope.startsWith('gradient'),
    );
    expect(products.map(({ shape }) => shape)).toEqual([
      [2, 3],
      [3, 3],
    ]);
  });

  it('makes one product over all rows for a shared matrix', () => {
    const rows = op.input('rows', 'f32', ['b', 'l', 3]);
    const loss = op.reduceSum(op.exp(op.matMul(rows, w, { transposeB: true })));
    const [gradient] = gradients(loss, [w]);
    expect(gradient?.operation.kind).toBe('matMul');
    expect(gradient?.inputs.map(({ shape }) => shape)).toEqual([
      ['b*l', 3],
      ['b*l', 3],
    ]);
  });

  it('passes no gradient through stopGradient, integers and conditions', () => {
    const through = [
      indexing.stopGradient(x),
      op.cast(op.cast(x, 'i32'), 'f32'),
      op.select(op.less(x, op.scalar(0)), op.scalar(1), op.scalar(2)),
    ];
    for (const blocked of through) {
      const [gradient] = gradients(op.reduceSum(op.multiply(blocked, op.scalar(3))), [x]);
      expect(kinds([gradient as Tensor])).toEqual(['constant', 'broadcast']);
    }
  });

  it('joins the gradients of neighbouring slices instead of adding padded ones', () => {
    const [left, right] = [indexing.slice(x, 1, 0, 1), indexing.slice(x, 1, 1, 2)];
    const loss = op.reduceSum(op.add(op.multiply(left, right), op.scalar(1)));
    const found = kinds(gradients(loss, [x]));
    expect(found).toContain('concat');
    expect(found).not.toContain('pad');
  });

  it('differentiates by a sigmoid that its own operand multiplies', async () => {
    const gate = op.sigmoid(x);
    const [gradient] = gradients(op.reduceSum(op.multiply(x, gate)), [gate]);
    const feeds = { x: f32([2, 3], [1, 2, 3, 4, 5, 6]) };
    const { out } = await run({ out: gradient as Tensor }, feeds);
    expect(numbersOf(out)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('differentiates by a tensor in the middle of a graph', async () => {
    const middle = op.exp(x);
    const [gradient] = gradients(op.reduceSum(op.multiply(middle, middle)), [middle]);
    const { out } = await run({ out: gradient as Tensor }, { x: f32([2, 3], [0, 0, 0, 0, 0, 0]) });
    expect(numbersOf(out)).toEqual([2, 2, 2, 2, 2, 2]);
  });
});

describe('refusals', () => {
  const x = op.input('x', 'f32', [2, 3]);

  it('refuses a loss that is no scalar', () => {
    expect(() => gradients(x, [x])).toThrow(
      expect.objectContaining({
        code: 'graph-shape',
        message: expect.stringContaining('(2, 3) f32'),
      }),
    );
  });

  it('refuses fused attention by name', () => {
    const query = op.input('query', 'f32', [1, 1, 8]);
    const past = op.input('past', 'f32', [1, 1, 'past', 4]);
    const key = op.input('key', 'f32', [1, 1, 4]);
    const table = op.input('table', 'f32', [9, 2]);
    const lengths = op.input('lengths', 'i32', [1]);
    const { output } = groupQueryAttention(
      {
        query,
        key,
        value: key,
        pastKey: past,
        pastValue: past,
        lengths,
        total: indexing.sizeOf('past'),
        rotary: { cos: table, sin: table },
      },
      { heads: 2, kvHeads: 1, scale: 0.5 },
    );
    expect(() => gradients(op.reduceSum(output), [query])).toThrow(
      expect.objectContaining({
        code: 'graph-unsupported',
        message: expect.stringContaining('groupQueryAttention'),
      }),
    );
  });
});
