// One side of the ladder: our engine on request, one JSON line in, one out.
import { createInterface } from 'node:readline';
import { createEngine } from '../src/engine/in-process-engine.ts';
import { readModel } from '../src/model/model.ts';
import { createOnnxExecutor } from '../src/runtime/onnx.ts';
import { createStep } from './learn.ts';
import { decode } from './serve.ts';

const [modelDir = '', cacheDir = '', threads = '1'] = process.argv.slice(2);
const answer = (value: object): unknown => process.stdout.write(`${JSON.stringify(value)}\n`);
const open = () => createOnnxExecutor({ device: 'cpu', threads: Number(threads) });
const engine = await createEngine({ modelDir, cacheDir, executor: await open() });
answer({ ready: true });

/** Milliseconds of a W_q step at a context of 1,000, the second of two. */
async function stepMs(): Promise<number> {
  const executor = await open();
  const step = await createStep(executor, await readModel(modelDir, { cacheDir }), false);
  await step.run(1000);
  const start = performance.now();
  await step.run(1000);
  const ms = performance.now() - start;
  await step.close();
  await executor.close();
  return ms;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { ids, tokens } = JSON.parse(line) as { ids?: number[]; tokens: number };
  answer(ids === undefined ? { stepMs: await stepMs() } : await decode(engine, ids, tokens));
}
