// Runs all that is asked of a transformer on an executor, so that two executors can be compared.
import { expect } from 'vitest';
import { gradients } from '../../src/graph/gradient.ts';
import { input, multiply, negate, reduceSum } from '../../src/graph/operations.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import type { TransformerGraph } from '../../src/model/graph-builder.ts';
import type { Model } from '../../src/model/model.ts';
import { primitiveGraph } from '../../src/model/transformer.ts';
import type { Executor } from '../../src/runtime/executor.ts';
import * as run from '../model/runner.ts';

/** Everything that scoring, capture and training ask of a model, in one graph. */
function everything(model: Model): TransformerGraph {
  const { inputs, outputs, parameters } = primitiveGraph(model, {
    outputs: { logits: true, logProbabilities: true, attention: true, own: true },
  });
  const mask = input('mask', 'f32', ['batch', 'length']);
  const loss = negate(reduceSum(multiply(outputs.logProbabilities as Tensor, mask)));
  const partials = gradients(loss, Object.values(parameters));
  const named = Object.keys(parameters).map((name, i) => [`gradient.${name}`, partials[i]]);
  return {
    inputs: { ...inputs, mask },
    outputs: { ...outputs, loss, ...Object.fromEntries(named) },
    parameters,
  };
}

/** All of it for one fixture: the context first, then the decision upon its cache. */
export async function resultsOf(executor: Executor, name: string): Promise<run.Results> {
  const { model, expected } = await run.readFixture(name);
  const { ids, contextTokens, decisionTokens, lossMask } = expected;
  const runner = await run.Runner.of(executor, model, everything(model));
  const end = contextTokens + decisionTokens;
  const nothing = { mask: run.f32([1, contextTokens], new Array(contextTokens).fill(0)) };
  const context = await runner.run({
    ...run.sequence(ids.slice(0, contextTokens)),
    ...run.emptyPast(model),
    targets: run.i32([1, contextTokens], ids.slice(1, contextTokens + 1)),
    ...nothing,
  });
  return runner.run({
    ...run.sequence(ids.slice(contextTokens, end), contextTokens),
    ...run.pastFrom(context, 'own'),
    targets: run.i32([1, decisionTokens], ids.slice(contextTokens + 1, end + 1)),
    mask: run.f32([1, decisionTokens], lossMask),
  });
}

/** Every output agrees, gradients also relative to their own size. */
export function expectAgreement(
  theirs: run.Results,
  ours: run.Results,
  { absolute, relative }: { readonly absolute: number; readonly relative: number },
): void {
  expect(Object.keys(ours)).toEqual(Object.keys(theirs));
  expect(Object.keys(ours).filter((output) => output.startsWith('gradient.'))).not.toEqual([]);
  for (const output of Object.keys(theirs)) {
    const [a, b] = [run.valuesOf(theirs, output), run.valuesOf(ours, output)];
    expect(run.distance(a, b) / (1 + run.largest(a)), output).toBeLessThan(absolute);
    if (output.startsWith('gradient.')) {
      expect(run.largest(a), output).toBeGreaterThan(0);
      expect(run.distance(a, b) / run.largest(a), output).toBeLessThan(relative);
    }
  }
}
