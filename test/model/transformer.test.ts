import '@tensorflow/tfjs-backend-cpu';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { gradients } from '../../src/graph/gradient.ts';
import { input, multiply, negate, reduceSum } from '../../src/graph/operations.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import type { TransformerGraph } from '../../src/model/graph-builder.ts';
import type { Model } from '../../src/model/model.ts';
import { primitiveGraph } from '../../src/model/transformer.ts';
import type { Executor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { createTensorFlowExecutor } from '../../src/runtime/tensorflow.ts';
import * as run from './runner.ts';
import { Runner } from './runner.ts';

// A model runs on two executors.
vi.setConfig({ testTimeout: 60_000 });

const EXECUTORS: Record<string, () => Promise<Executor>> = {
  'ONNX Runtime on the CPU': () => createOnnxExecutor({ device: 'cpu', threads: 1 }),
  'TensorFlow.js in plain JS': () => createTensorFlowExecutor({ backend: 'cpu' }),
};

/** Scoring with the loss `−Σ mask · log p(target)` and its gradient for each W_q. */
function withGradients(model: Model): TransformerGraph {
  const { inputs, outputs, parameters } = primitiveGraph(model, {
    outputs: { logProbabilities: true },
  });
  const mask = input('mask', 'f32', ['batch', 'length']);
  const loss = negate(reduceSum(multiply(outputs.logProbabilities as Tensor, mask)));
  const names = Object.keys(parameters).map((name) => `gradient.${name}`);
  const partials = gradients(loss, Object.values(parameters));
  const results = Object.fromEntries(partials.map((each, i) => [names[i] as string, each]));
  return { inputs: { ...inputs, mask }, outputs: { loss, ...results }, parameters };
}

describe.each(Object.entries(EXECUTORS))('with %s', (_, create) => {
  let executor: Executor;
  beforeAll(async () => {
    executor = await create();
  });
  afterAll(() => executor.close());

  describe.each(run.FIXTURE_NAMES)('a checkpoint %s of transformers', (name) => {
    test('gives its logits, attention weights and log-probabilities', async () => {
      const { model, expected } = await run.readFixture(name);
      const { ids, tensors } = expected;
      const runner = await Runner.primitive(executor, model, {
        past: 'none',
        outputs: { logits: true, attention: true, logProbabilities: true },
      });
      const targets = run.i32([1, ids.length], [...ids.slice(1), 0]);
      const results = await runner.run({ ...run.sequence(ids), targets });
      const wanted = (key: string) => tensors.get(key) as Float32Array;
      expect(run.distance(run.valuesOf(results, 'logits'), wanted('logits'))).toBeLessThan(1e-4);
      for (let layer = 0; layer < model.config.numHiddenLayers; layer++) {
        const attention = run.valuesOf(results, `attention.${layer}`);
        expect(run.distance(attention, wanted(`attention.${layer}`))).toBeLessThan(1e-5);
      }
      const scored = run.valuesOf(results, 'logProbabilities').slice(0, -1);
      expect(run.distance(scored, wanted('logProbabilities'))).toBeLessThan(1e-4);
    });

    test('continues a prompt greedily, token by token from the cache, with the same ids', async () => {
      const { model, expected } = await run.readFixture(name);
      const { vocabSize } = model.config;
      const runner = await Runner.primitive(executor, model, {
        outputs: { logits: true, present: true },
      });
      let past = run.emptyPast(model);
      let next = expected.ids.slice(0, expected.promptTokens);
      let seen = 0;
      const reply: number[] = [];
      while (reply.length < expected.greedy.length) {
        const results = await runner.run({ ...run.sequence(next, seen), ...past });
        const best = run.argmax(run.valuesOf(results, 'logits'), next.length - 1, vocabSize);
        seen += next.length;
        past = run.pastFrom(results);
        next = [best];
        reply.push(best);
      }
      expect(reply).toEqual(expected.greedy);
    });

    test('has the gradients of PyTorch with respect to W_q, the cache being constant', async () => {
      const { model, expected } = await run.readFixture(name);
      const { ids, contextTokens, decisionTokens, lossMask, tensors } = expected;
      const context = await Runner.primitive(executor, model, {
        past: 'none',
        outputs: { own: true },
      });
      const past = run.pastFrom(
        await context.run(run.sequence(ids.slice(0, contextTokens))),
        'own',
      );

      const runner = await Runner.of(executor, model, withGradients(model));
      const end = contextTokens + decisionTokens;
      const total = lossMask.reduce((sum, value) => sum + value, 0);
      const results = await runner.run({
        ...run.sequence(ids.slice(contextTokens, end), contextTokens),
        ...past,
        targets: run.i32([1, decisionTokens], ids.slice(contextTokens + 1, end + 1)),
        mask: run.f32(
          [1, decisionTokens],
          lossMask.map((value) => value / total),
        ),
      });
      expect(run.valuesOf(results, 'loss')[0]).toBeCloseTo(expected.loss, 4);
      for (let layer = 0; layer < model.config.numHiddenLayers; layer++) {
        const wanted = tensors.get(`gradient.${layer}`) as Float32Array;
        const error = run.distance(run.valuesOf(results, `gradient.layers.${layer}.qProj`), wanted);
        expect(error / run.largest(wanted)).toBeLessThan(1e-3);
      }
    });
  });
});
