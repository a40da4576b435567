// A whole training on the real TensorFlow against the same one on ONNX Runtime.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { readModel } from '../../src/model/model.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { createTensorFlowExecutor } from '../../src/runtime/tensorflow.ts';
import { FIXTURES } from '../model/runner.ts';
import { expectSameTraining, train } from './same-training.ts';
import { whyNoTensorFlow } from './tensorflow-at-hand.ts';

const unavailable = await whyNoTensorFlow();
const reason = unavailable === undefined ? '' : ` (${unavailable})`;

describe.skipIf(unavailable !== undefined)(`a training on TensorFlow${reason}`, () => {
  // Two trainings of ten steps each.
  it.each(['none', 4] as const)(
    'learns what it learns on ONNX Runtime, quantised to %s, and holds no tensor afterwards',
    { timeout: 120_000 },
    async (quantize) => {
      const cacheDir = mkdtempSync(join(tmpdir(), 'attune-training-'));
      const model = await readModel(join(FIXTURES, 'llama'), { cacheDir, quantize });
      const onnx = await createOnnxExecutor({ device: 'cpu', threads: 1 });
      const tensorflow = await createTensorFlowExecutor({ backend: 'tensorflow' });
      const tensorsBefore = tf.memory().numTensors;
      const theirs = await train(onnx, model);
      const ours = await train(tensorflow, model);
      expect(tf.memory().numTensors).toBe(tensorsBefore);
      await expectSameTraining(theirs, ours);
      await onnx.close();
      await tensorflow.close();
      rmSync(cacheDir, { recursive: true });
    },
  );
});
