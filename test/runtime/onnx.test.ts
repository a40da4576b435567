// The executor contract on ONNX Runtime's CPU, and what only it promises.
import { expect, it } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import { input, matMul } from '../../src/graph/operations.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { describeExecutorContract } from './executor-contract.ts';

describeExecutorContract('ONNX Runtime on cpu', () => createOnnxExecutor({ device: 'cpu' }));

it('gives a row of a repeatable product the same bits whatever rows are beside it', async () => {
  const [inner, width] = [384, 200];
  const executor = await createOnnxExecutor({ device: 'cpu', threads: 1 });
  const random = createRandom(3);
  const f32 = (shape: number[]) => {
    const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
    return { dtype: 'f32' as const, shape, data: random.fillGaussian(data) };
  };
  const weight = f32([width, inner]);
  const product = matMul(input('x', 'f32', ['rows', inner]), input('w', 'f32', weight.shape), {
    transposeB: true,
    isRepeatable: true,
  });
  const program = await executor.compile({ product });
  const row = f32([1, inner]);
  const ofFirstRow = async (rows: number) => {
    const x = f32([rows, inner]);
    x.data.set(row.data);
    const values = await program.run({ x, w: weight });
    return [...((await values.product?.read())?.data ?? [])].slice(0, width);
  };
  const alone = await ofFirstRow(1);
  for (const rows of [2, 3, 8, 17, 33, 64]) expect(await ofFirstRow(rows)).toEqual(alone);
  await executor.close();
});
