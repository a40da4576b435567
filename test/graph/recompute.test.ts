// Parts of a graph that are computed again on the way back instead of kept.
import { describe, expect, it } from 'vitest';
import { gradients } from '../../src/graph/gradient.ts';
import { after as afterSignal, concat } from '../../src/graph/indexing.ts';
import * as op from '../../src/graph/operations.ts';
import { recomputable, type Tensor, topological } from '../../src/graph/tensor.ts';
import { expectGradients } from './finite-difference.ts';
import { f32, numbersOf, run } from './ort-run.ts';

type Inputs = Readonly<Record<string, Tensor>>;

/** Two layers of attention to `past` and to their own keys. */
function attend(inputs: Inputs): Tensor {
  let x = inputs.x as Tensor;
  for (const name of ['w', 'v']) {
    const query = op.matMul(x, inputs[name] as Tensor);
    const own = op.sin(x);
    x = recomputable(() => {
      const keys = concat([inputs.past as Tensor, own], 0);
      return op.matMul(op.softmax(op.matMul(query, keys, { transposeB: true })), keys);
    });
  }
  return x;
}

const SHAPES = { x: ['n', 3], w: [3, 3], v: [3, 3], past: ['p', 3] } as const;
const inputs = (): Inputs =>
  Object.fromEntries(
    Object.entries(SHAPES).map(([name, shape]) => [name, op.input(name, 'f32', shape)]),
  );

const isAfter = ({ operation }: Tensor): boolean => operation.kind === 'after';

describe('a part that is recomputed', () => {
  it('has the gradients that finite differences give', async () => {
    const given = { inputs: SHAPES, sizes: { n: 2, p: 5 }, build: attend };
    await expectGradients({ ...given, isRecomputing: true });
  });

  it('has the very bits that it has when its values are kept', async () => {
    const given = inputs();
    const loss = op.reduceSum(op.exp(attend(given)));
    const wanted = [given.w, given.v, given.x] as Tensor[];
    const kept = gradients(loss, wanted);
    const again = gradients(loss, wanted, { isRecomputing: true });
    const outputs = [...kept, ...again].map((tensor, i) => [`${i}`, tensor] as const);
    const values = (count: number, seed: number) =>
      Array.from({ length: count }, (_, i) => Math.sin(seed + 1.7 * i));
    const feeds = {
      x: f32([2, 3], values(6, 1)),
      w: f32([3, 3], values(9, 2)),
      v: f32([3, 3], values(9, 3)),
      past: f32([5, 3], values(15, 4)),
    };
    const found = await run(Object.fromEntries(outputs), feeds, { sizes: { n: 2, p: 5 } });
    for (const i of [0, 1, 2]) {
      expect(numbersOf(found[`${i + 3}`])).toEqual(numbersOf(found[`${i}`]));
    }
  });

  it('is read on the way back as a copy that waits for its derivative', () => {
    const given = inputs();
    const loss = op.reduceSum(attend(given));
    const forward = new Set(topological([loss]));
    const found = gradients(loss, [given.w as Tensor], { isRecomputing: true });
    const back = topological(found).filter((tensor) => !forward.has(tensor));
    const isLarge = ({ shape }: Tensor): boolean => shape.includes('n + p');
    const read = back.flatMap((tensor) => tensor.inputs).filter((tensor) => forward.has(tensor));
    expect(read.filter(isLarge)).toEqual([]);
    const waiting = back.filter(isAfter);
    expect(waiting.length).toBeGreaterThan(1);
    // What is fed does not wait: that would copy it.
    expect(waiting.map((tensor) => tensor.inputs[0]?.operation.kind)).not.toContain('input');
  });

  it('is not copied where nobody asks for it', () => {
    const given = inputs();
    const loss = op.reduceSum(attend(given));
    expect(topological(gradients(loss, [given.w as Tensor])).filter(isAfter)).toEqual([]);
  });
});

describe('a value after a signal', () => {
  it.each([-1e30, -1, 0, 0.5, 7, 1e30, Infinity, -Infinity])(
    'is the value, bit by bit, for a signal of %d',
    async (signal) => {
      const [x, s] = [op.input('x', 'f32', [3]), op.input('s', 'f32', [2, 2])];
      const value = f32([3], [0.1, -3e38, 1e-30]);
      const found = await run(
        { y: afterSignal(x, s) },
        { x: value, s: f32([2, 2], [signal, 1, 2, 3]) },
      );
      expect(numbersOf(found.y)).toEqual(numbersOf(value));
    },
  );

  it('is refused for integers', () => {
    const indices = op.input('i', 'i32', [3]);
    expect(() => afterSignal(indices, indices)).toThrow('both must be f32');
  });
});
