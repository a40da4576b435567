// Shapes are proved when a node is built; what does not fit is refused with its name and place.
import { describe, expect, it } from 'vitest';
import { groupQueryAttention } from '../../src/graph/fused.ts';
import * as indexing from '../../src/graph/indexing.ts';
import * as op from '../../src/graph/operations.ts';
import { type Shape, scope, type Tensor } from '../../src/graph/tensor.ts';
import { fc } from '../property.ts';

const f32 = (...shape: Shape): Tensor => op.input('x', 'f32', shape);
const i32 = (...shape: Shape): Tensor => op.input('i', 'i32', shape);
const bool = (...shape: Shape): Tensor => op.input('c', 'bool', shape);
const inline = (n: number) => ({ from: 'inline', data: new Float32Array(n) }) as const;

describe('refusals', () => {
  const refused: readonly [string, string, () => unknown][] = [
    ['inner dimensions that differ', 'matMul', () => op.matMul(f32('b', 2, 3), f32(4, 5))],
    ['leading dimensions that differ', 'matMul', () => op.matMul(f32('b', 2, 3), f32('c', 3, 5))],
    ['vectors in a product', 'matMul', () => op.matMul(f32(3), f32(3, 2))],
    ['integers in a product', 'matMul', () => op.matMul(i32(2, 2), f32(2, 2))],
    ['a symbol against a 2', 'add', () => op.add(f32('n'), f32(2))],
    ['a symbol against another', 'multiply', () => op.multiply(f32('n', 2), f32('m', 2))],
    ['numbers of two types', 'subtract', () => op.subtract(f32(2), i32(2))],
    ['arithmetic on bools', 'add', () => op.add(bool(2), bool(2))],
    ['integers for a unary', 'exp', () => op.exp(i32(2))],
    ['not of a number', 'not', () => op.not(f32(2))],
    ['and of numbers', 'and', () => op.and(f32(2), f32(2))],
    ['less of bools', 'less', () => op.less(bool(2), bool(2))],
    ['a number as a condition', 'select', () => op.select(f32(2), f32(2), f32(2))],
    ['branches of two types', 'select', () => op.select(bool(2), f32(2), i32(2))],
    ['a sum over a missing axis', 'sum', () => op.reduceSum(f32(2), [1])],
    ['a sum over one axis twice', 'sum', () => op.reduceSum(f32(2, 3), [1, -1])],
    ['a sum of integers', 'sum', () => op.reduceSum(i32(2))],
    ['softmax of a scalar', 'softmax', () => op.softmax(f32())],
    ['log softmax of integers', 'logSoftmax', () => op.logSoftmax(i32(2))],
    ['a reshape that loses elements', 'reshape', () => op.reshape(f32('n', 6), ['n', 2, 2])],
    ['a reshape to another symbol', 'reshape', () => op.reshape(f32('n', 6), ['m', 6])],
    ['a permutation of other axes', 'transpose', () => op.transpose(f32(2, 3), [0, 2])],
    ['a permutation with an axis twice', 'transpose', () => op.transpose(f32(2, 3), [0, 0])],
    ['joining nothing', 'concat', () => indexing.concat([], 0)],
    ['joining widths that differ', 'concat', () => indexing.concat([f32(1, 2), f32(1, 3)], 0)],
    ['joining two types', 'concat', () => indexing.concat([f32(1), i32(1)], 0)],
    ['a slice past the end', 'slice', () => indexing.slice(f32(2, 3), 1, 2, 2)],
    ['a slice of a missing axis', 'slice', () => indexing.slice(f32(2), 1, 0, 1)],
    ['a padding shorter than its content', 'pad', () => indexing.pad(f32(3), 0, 1, 3)],
    ['growing a 2', 'broadcast', () => indexing.broadcast(f32(2), [4])],
    ['growing to fewer axes', 'broadcast', () => indexing.broadcast(f32(1, 2), [2])],
    ['float indices', 'gather', () => indexing.gather(f32(4, 2), f32(3))],
    ['a scalar as a table', 'gather', () => indexing.gather(f32(), i32(3))],
    ['rows without an index', 'scatterAdd', () => indexing.scatterAdd(f32(3, 2), i32(2), 4)],
    ['rows without a pick', 'pick', () => indexing.pick(f32(3, 2), i32(2))],
    ['a pick from a scalar', 'pick', () => indexing.pick(f32(), i32())],
    ['a value without a row', 'addPicked', () => indexing.addPicked(f32(3, 2), f32(2), i32(3))],
    ['one-hot of floats', 'oneHot', () => indexing.oneHot(f32(3), 4)],
    [
      'constants with too few elements',
      'constant w',
      () => op.constant('w', inline(3), 'f32', [2, 2]),
    ],
    [
      'a file part of another length',
      'constant w',
      () =>
        op.constant(
          'w',
          { from: 'file', path: '/w', offset: 0, length: 8, storedAs: 'f16' },
          'f32',
          [2],
        ),
    ],
    ['attention of odd shapes', 'groupQueryAttention', () => attention({ key: f32('b', 'l', 9) })],
    ['attention with float lengths', 'groupQueryAttention', () => attention({ lengths: f32('b') })],
  ];

  it.each(refused)('refuses %s', (_, operation, build) => {
    expect(() => scope('layers.3', () => scope('mlp', build))).toThrow(
      expect.objectContaining({
        code: 'graph-shape',
        facts: { operation, scope: 'layers.3.mlp' },
        message: expect.stringContaining(`${operation} at layers.3.mlp: `),
      }),
    );
  });

  it('shows the operands as they are', () => {
    expect(() => op.matMul(f32('batch', 2, 3), f32(4, 5))).toThrow(
      'matMul at the top level: inner dimensions 3 and 4 differ; given (batch, 2, 3) f32 and (4, 5) f32',
    );
  });

  it('leaves its scope also when a builder throws', () => {
    expect(() => scope('lost', () => op.add(f32(2), f32(3)))).toThrow();
    expect(f32(2).scope).toBe('');
  });
});

function attention(wrong: Record<string, Tensor>): unknown {
  const heads = { heads: 2, kvHeads: 1, scale: 1 };
  const past = f32('b', 1, 'past', 4);
  const right = {
    query: f32('b', 'l', 8),
    key: f32('b', 'l', 4),
    value: f32('b', 'l', 4),
    pastKey: past,
    pastValue: past,
    lengths: i32('b'),
    total: i32(),
  };
  return groupQueryAttention({ ...right, ...wrong }, heads);
}

describe('shapes', () => {
  const size = fc.constantFrom<number | string>(1, 2, 3, 'n', 'past + length');
  const shape = fc.array(size, { maxLength: 4 });

  /** Sizes of both, right-aligned; a missing axis is a 1. */
  const aligned = (a: Shape, b: Shape): [number | string, number | string][] =>
    Array.from({ length: Math.max(a.length, b.length) }, (_, i) => {
      const rank = Math.max(a.length, b.length);
      return [a[i - rank + a.length] ?? 1, b[i - rank + b.length] ?? 1];
    });

  it('grow along literal ones only, alike from both sides', () => {
    fc.assert(
      fc.property(shape, shape, (a, b) => {
        const pairs = aligned(a, b);
        const fits = pairs.every(([x, y]) => x === y || x === 1 || y === 1);
        const build = (): Tensor => op.add(f32(...a), f32(...b));
        if (!fits) {
          expect(build).toThrow(expect.objectContaining({ code: 'graph-shape' }));
          return;
        }
        const grown = pairs.map(([x, y]) => (x === 1 ? y : x));
        expect(build().shape).toEqual(f32(...grown).shape);
        expect(op.add(f32(...b), f32(...a)).shape).toEqual(build().shape);
      }),
    );
  });

  it('are one text however a size was written', () => {
    const x = f32('past + length', 2);
    expect(x.shape).toEqual(['length + past', 2]);
    const joined = indexing.concat([f32('past', 2), f32('length', 2)], 0);
    expect(op.add(x, joined).shape).toEqual(x.shape);
    expect(indexing.broadcast(f32(1), ['past + length']).shape).toEqual(['length + past']);
  });

  it('of nothing to do give back the operand', () => {
    const x = f32('n', 2);
    expect(op.reshape(x, ['n', 2])).toBe(x);
    expect(indexing.broadcast(x, ['n', 2])).toBe(x);
    expect(indexing.concat([x], 0)).toBe(x);
    expect(indexing.pad(x, 1, 0, 2)).toBe(x);
    expect(op.cast(x, 'f32')).toBe(x);
    expect(op.reduceSum(x, [])).toBe(x);
  });
});
