// A reader on the random Llama of the fixtures, and scenarios of words, for tests of measuring.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createRandom } from '../../src/base/random.ts';
import { type Model, readModel } from '../../src/model/model.ts';
import { loadVersion } from '../../src/model/versions.ts';
import { createReader, type Reader } from '../../src/reading/reader.ts';
import type { Executor, HostTensor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { type Example, toExample } from '../../src/scenario/example.ts';
import { parseScenario, type Scenario } from '../../src/scenario/scenario.ts';
import { wordRenderer } from '../fakes/word-renderer.ts';

const LLAMA = fileURLToPath(new URL('../fixtures/transformers/llama', import.meta.url));

export interface TinyReading {
  readonly executor: Executor;
  readonly model: Model;
  readonly reader: Reader;
  readonly base: Record<string, HostTensor>;
  close(): Promise<void>;
}

export async function openTinyReading(): Promise<TinyReading> {
  const cacheDir = mkdtempSync(join(tmpdir(), 'attune-reading-'));
  const executor = await createOnnxExecutor({ device: 'cpu', threads: 1 });
  const model = await readModel(LLAMA, { cacheDir });
  const reader = createReader({ model, executor });
  return {
    executor,
    model,
    reader,
    base: { ...(await loadVersion(model, [])).weights },
    async close() {
      await reader.close();
      await executor.close();
      rmSync(cacheDir, { recursive: true });
    },
  };
}

/** Random steps away from the given weights. */
export function nudged(
  weights: Readonly<Record<string, HostTensor>>,
  seed: string,
  size = 0.1,
): Record<string, HostTensor> {
  return Object.fromEntries(
    Object.entries(weights).map(([name, tensor]) => {
      const random = createRandom(`${seed}:${name}`);
      return [
        name,
        { ...tensor, data: Float32Array.from(tensor.data, (v) => v + size * random.gaussian()) },
      ];
    }),
  );
}

export function wordScenario(index: number, changes: Partial<Scenario> = {}): Scenario {
  const scenario = parseScenario({
    id: `s${index}`,
    kind: 'listen',
    messages: [
      { role: 'user', content: `hello ${index}` },
      { role: 'assistant', content: `some idea ${index} here` },
      { role: 'user', content: `please do thing ${index}` },
    ],
    spans: [
      { feature: 'own-idea', message: 1, start: 5, end: 11 },
      { feature: 'direction', message: 2, start: 7, end: 15 },
    ],
    chosen: `done thing ${index}`,
    rejected: `my idea ${index}`,
    source: { origin: 'suite', cluster: `c${index}`, domain: `d${index % 2}` },
  });
  return { ...scenario, ...changes };
}

export const renderer = wordRenderer(128);
export const LIMITS = { windowTokens: 60, replyTokensMax: 10 };

export const example = (scenario: Scenario): Example => toExample(scenario, renderer, LIMITS);
