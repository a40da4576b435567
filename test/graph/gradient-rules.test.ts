// Every differentiation rule against finite differences in f64.
import { describe, it } from 'vitest';
import { product, sum } from '../../src/graph/dimension.ts';
import * as indexing from '../../src/graph/indexing.ts';
import * as op from '../../src/graph/operations.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import { type Differentiated, expectGradients } from './finite-difference.ts';
import { bool, i32 } from './ort-run.ts';

type Inputs = Readonly<Record<string, Tensor>>;
const t = (inputs: Inputs, name: string): Tensor => inputs[name] as Tensor;
const positive = (i: number): number => 0.4 + ((i * 7) % 11) / 5;

function checks(cases: Readonly<Record<string, Differentiated>>): void {
  it.each(Object.entries(cases))('differentiates %s', async (_, each) => {
    await expectGradients(each);
  });
}

describe('elementwise', () => {
  const unary = (build: (x: Tensor) => Tensor, at?: Differentiated['at']): Differentiated => ({
    inputs: { x: [2, 3] },
    build: (inputs) => build(t(inputs, 'x')),
    ...(at === undefined ? {} : { at }),
  });
  checks({
    negate: unary(op.negate),
    exp: unary(op.exp),
    log: unary(op.log, positive),
    sqrt: unary(op.sqrt, positive),
    reciprocal: unary(op.reciprocal, positive),
    abs: unary(op.abs),
    sin: unary(op.sin),
    cos: unary(op.cos),
    sigmoid: unary(op.sigmoid),
    tanh: unary(op.tanh),
    'x σ(x)': unary((x) => op.multiply(x, op.sigmoid(x))),
    'sign, flat where it has a derivative': unary((x) => op.add(op.sign(x), x)),
    'floor, flat where it has a derivative': unary((x) => op.add(op.floor(x), x)),
  });

  const binary = (build: (a: Tensor, b: Tensor) => Tensor): Differentiated => ({
    inputs: { a: [2, 1, 3], bb: ['n', 1] },
    sizes: { n: 4 },
    at: (i, name) => positive(i) * (name === 'a' ? 1 : 1.37),
    build: (inputs) => build(t(inputs, 'a'), t(inputs, 'bb')),
  });
  checks({
    'add of operands that grow': binary(op.add),
    'subtract of operands that grow': binary(op.subtract),
    'multiply of operands that grow': binary(op.multiply),
    'divide of operands that grow': binary(op.divide),
    'maximum of operands that grow': binary(op.maximum),
    'minimum of operands that grow': binary(op.minimum),
    'an operand used twice': binary((a, b) => op.multiply(op.multiply(a, a), op.add(a, b))),
    'select of branches that grow': {
      inputs: { a: [2, 3], bb: [1] },
      fixed: { c: bool([2, 1], [1, 0]) },
      build: (x) => op.select(t(x, 'c'), t(x, 'a'), t(x, 'bb')),
    },
    'a scalar': { inputs: { a: [], bb: [2] }, build: (x) => op.multiply(t(x, 'a'), t(x, 'bb')) },
  });
});

describe('products and sums', () => {
  const shapes = { a: [3, 2, 5], b: [3, 5, 4] } as const;
  const matMuls: Record<string, Differentiated> = {};
  for (const transposeA of [false, true]) {
    for (const transposeB of [false, true]) {
      const flags = { transposeA, transposeB };
      const how = `with A ${transposeA ? 'transposed' : 'as is'}, B ${transposeB ? 'transposed' : 'as is'}`;
      const a = transposeA ? [shapes.a[2], shapes.a[1]] : [shapes.a[1], shapes.a[2]];
      const b = transposeB ? [shapes.b[2], shapes.b[1]] : [shapes.b[1], shapes.b[2]];
      const build = (x: Inputs): Tensor => op.matMul(t(x, 'a'), t(x, 'bb'), flags);
      matMuls[`matMul of matrices ${how}`] = { inputs: { a, bb: b }, build };
      matMuls[`matMul of stacks ${how}`] = {
        inputs: { a: ['batch', ...a], bb: ['batch', ...b] },
        sizes: { batch: 2 },
        build,
      };
      matMuls[`matMul of a stack and a shared matrix ${how}`] = {
        inputs: { a: ['batch', 2, ...a], bb: b },
        sizes: { batch: 2 },
        build,
      };
    }
  }
  checks(matMuls);

  const square = { inputs: { x: ['n', 3, 2] }, sizes: { n: 2 } } as const;
  checks({
    'reduceSum over one axis': { ...square, build: (x) => op.reduceSum(t(x, 'x'), [1]) },
    'reduceSum that keeps its axes': {
      ...square,
      build: (x) => op.divide(t(x, 'x'), op.reduceSum(op.exp(t(x, 'x')), [0, 2], { keep: true })),
    },
    'reduceSum over all axes': { ...square, build: (x) => op.reduceSum(t(x, 'x')) },
    softmax: { ...square, build: (x) => op.softmax(t(x, 'x')) },
    logSoftmax: { ...square, build: (x) => op.logSoftmax(t(x, 'x')) },
  });
});

describe('attention', () => {
  const attention = (build: (scores: Tensor, v: Tensor) => Tensor): Differentiated => ({
    inputs: { q: ['b', 2, 3], kk: ['b', 'past', 3], vvv: ['b', 'past', 4] },
    sizes: { b: 2, past: 3 },
    build: (x) => build(op.matMul(t(x, 'q'), t(x, 'kk'), { transposeB: true }), t(x, 'vvv')),
  });
  checks({
    'softmax that weighs values': attention((scores, v) => op.matMul(op.softmax(scores), v)),
    'softmax that weighs transposed values': attention((scores, v) =>
      op.matMul(op.softmax(scores), op.transpose(v, [0, 2, 1]), { transposeB: true }),
    ),
    'softmax that weighs values and is used otherwise': attention((scores, v) => {
      const weights = op.softmax(scores);
      const sums = op.reduceSum(op.multiply(weights, weights), [2], { keep: true });
      return op.add(op.matMul(weights, v), sums);
    }),
    'softmax whose heads are folded into rows': attention((scores, v) => {
      const weights = op.softmax(op.reshape(scores, ['b', 2, 1, 'past']));
      return op.matMul(op.reshape(weights, ['b', 2, 'past']), v);
    }),
    'softmax of scores that come in two parts': attention((scores, v) => {
      const more = op.multiply(scores, scores);
      const weights = op.softmax(indexing.concat([more, scores], 2));
      const part = (start: string | number) => indexing.slice(weights, 2, start, 'past');
      return op.add(op.matMul(part(0), v), op.matMul(part('past'), op.sin(v)));
    }),
    'softmax that is multiplied from the left': attention((scores, v) =>
      op.matMul(op.transpose(v, [0, 2, 1]), op.softmax(op.transpose(scores, [0, 2, 1]))),
    ),
  });
});

describe('moving elements', () => {
  const inputs = { x: ['n', 2, 3], yy: ['past', 2, 3] } as const;
  const base = { inputs, sizes: { n: 2, past: 3 } };
  checks({
    reshape: { ...base, build: (x) => op.reshape(t(x, 'x'), [product('n', 6)]) },
    transpose: { ...base, build: (x) => op.transpose(t(x, 'x'), [2, 0, 1]) },
    'concat of three': {
      ...base,
      build: (x) => indexing.concat([t(x, 'x'), t(x, 'yy'), t(x, 'x')], 0),
    },
    'slice of a literal axis': { ...base, build: (x) => indexing.slice(t(x, 'x'), 2, 1, 2) },
    'slice of a symbolic axis': {
      ...base,
      build: (x) => indexing.slice(indexing.concat([t(x, 'x'), t(x, 'yy')], 0), 0, 'n', 'past'),
    },
    pad: { ...base, build: (x) => indexing.pad(t(x, 'x'), 0, 'past', sum('n', 'past', 1)) },
    broadcast: { inputs: { x: [1, 3] }, build: (x) => indexing.broadcast(t(x, 'x'), [2, 4, 3]) },
    'gather, adding up repeats': {
      inputs: { x: [4, 2] },
      fixed: { i: i32([2, 2], [3, 0, 3, 1]) },
      build: (x) => indexing.gather(t(x, 'x'), t(x, 'i')),
    },
    scatterAdd: {
      inputs: { x: [2, 2, 3] },
      fixed: { i: i32([2, 2], [3, 0, 3, 1]) },
      build: (x) => indexing.scatterAdd(t(x, 'x'), t(x, 'i'), 5),
    },
    'scatterAdd of numbers': {
      inputs: { x: [3] },
      fixed: { i: i32([3], [1, 1, 0]) },
      build: (x) => indexing.scatterAdd(t(x, 'x'), t(x, 'i'), 2),
    },
    pick: {
      inputs: { x: [2, 3, 4] },
      fixed: { i: i32([2, 3], [3, 0, 1, 1, 2, 0]) },
      build: (x) => indexing.pick(t(x, 'x'), t(x, 'i')),
    },
    'pick of a log softmax': {
      inputs: { x: [2, 3, 4] },
      fixed: { i: i32([2, 3], [3, 0, 1, 1, 2, 0]) },
      build: (x) => indexing.pick(op.logSoftmax(t(x, 'x')), t(x, 'i')),
    },
    addPicked: {
      inputs: { x: [2, 3], yy: [2] },
      fixed: { i: i32([2], [2, 0]) },
      build: (x) => indexing.addPicked(t(x, 'x'), t(x, 'yy'), t(x, 'i')),
    },
    'keys and values joined to a constant past': {
      inputs: { q: [2, 4, 3], kk: [2, 2, 3], vvv: [2, 2, 3] },
      build: (x) => {
        const past = op.constant('past', inline(12), 'f32', [2, 2, 3]);
        const keys = indexing.concat([past, t(x, 'kk')], 1);
        const values = indexing.concat([past, t(x, 'vvv')], 1);
        const scores = op.matMul(t(x, 'q'), keys, { transposeB: true });
        return op.matMul(op.softmax(scores), values);
      },
    },
  });
});

const inline = (n: number) =>
  ({ from: 'inline', data: Float32Array.from({ length: n }, (_, i) => Math.sin(i)) }) as const;
