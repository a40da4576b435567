// The real TensorFlow against ONNX Runtime's CPU on whole transformers, forwards and gradients.
import { afterAll, beforeAll, describe, it } from 'vitest';
import type { Executor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { createTensorFlowExecutor } from '../../src/runtime/tensorflow.ts';
import { FIXTURE_NAMES } from '../model/runner.ts';
import { whyNoTensorFlow } from './tensorflow-at-hand.ts';
import { expectAgreement, resultsOf } from './whole-transformer.ts';

const unavailable = await whyNoTensorFlow();
const title = `ONNX Runtime and TensorFlow${unavailable === undefined ? '' : ` (${unavailable})`}`;

describe.skipIf(unavailable !== undefined)(title, () => {
  let onnx: Executor;
  let tensorflow: Executor;
  beforeAll(async () => {
    onnx = await createOnnxExecutor({ device: 'cpu' });
    tensorflow = await createTensorFlowExecutor({ backend: 'tensorflow' });
  });
  afterAll(async () => {
    await onnx.close();
    await tensorflow.close();
  });

  it.each(FIXTURE_NAMES)('agree on every output of the model %s', async (name) => {
    const [theirs, ours] = [await resultsOf(onnx, name), await resultsOf(tensorflow, name)];
    expectAgreement(theirs, ours, { absolute: 1e-5, relative: 1e-4 });
  });
});
