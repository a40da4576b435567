// Every operation of the graph on each TensorFlow.js backend, against results worked out by hand.
import { describe, expect, it } from 'vitest';
import { createTensorFlowExecutor } from '../../src/runtime/tensorflow.ts';
import type { BackendName } from '../../src/runtime/tensorflow-backend.ts';
import { OPERATION_CASES } from './operation-cases.ts';

const BACKENDS: BackendName[] = ['cpu', 'wasm', 'tensorflow'];

describe.each(BACKENDS)('on %s', (backend) => {
  it.each(OPERATION_CASES)('$title', async ({ output, feeds, expected }) => {
    const executor = await createTensorFlowExecutor({ backend });
    const program = await executor.compile({ output });
    const { output: value } = await program.run(feeds);
    const got = await value?.read();
    expect(got?.dtype).toBe(expected.dtype);
    expect(got?.shape).toEqual(expected.shape);
    expect(got?.data.constructor).toBe(expected.data.constructor);
    const want = Array.from(expected.data);
    const have = Array.from(got?.data ?? []);
    expect(have).toHaveLength(want.length);
    have.forEach((x, i) => {
      if (expected.dtype === 'f32' && Number.isFinite(want[i]))
        expect(x).toBeCloseTo(want[i] as number, 5);
      else expect(x).toBe(want[i]);
    });
    await program.close();
  });
});
