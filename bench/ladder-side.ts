// One side of the ladder: our engine on request, one JSON line in, one out.
import { createInterface } from 'node:readline';
import { createEngine } from '../src/engine/in-process-engine.ts';
import { readModel } from '../src/model/model.ts';
import { GREEDY } from '../src/protocol/sampling.ts';
import { createOnnxExecutor } from '../src/runtime/onnx.ts';
import { createStep } from './learn.ts';
import { privateBytes } from './machine.ts';
import { benchIds, decode } from './serve.ts';

const [modelDir = '', cacheDir = '', threads = '1'] = process.argv.slice(2);
const VOCABULARY = 32_000;
const answer = (value: object): unknown => process.stdout.write(`${JSON.stringify(value)}\n`);
const open = () => createOnnxExecutor({ device: 'cpu', threads: Number(threads) });
const engine = await createEngine({ modelDir, cacheDir, executor: await open() });
answer({ ready: true });

const megabytes = (): number => Math.round(privateBytes() / 1e6);

/** Private memory after each tenth of a day's replies, each to a prompt of its own, MB. */
async function day(replies: number): Promise<number[]> {
  const seen: number[] = [];
  for (let i = 1; i <= replies; i++) {
    const ids = benchIds(100 + i, VOCABULARY).slice(i);
    await engine.generate(
      { ids, replyTokensMax: 8, sampling: { ...GREEDY, seed: 1 }, stopIds: [], cacheKey: 'talk' },
      () => undefined,
    );
    if (i % Math.ceil(replies / 10) === 0) seen.push(megabytes());
  }
  return seen;
}

/** The same after each step of a night, the engine beside it. */
async function night(steps: number): Promise<number[]> {
  const executor = await open();
  const step = await createStep(executor, await readModel(modelDir, { cacheDir }), false);
  const seen: number[] = [];
  for (let i = 0; i < steps; i++) {
    await step.run(200);
    seen.push(megabytes());
  }
  await step.close();
  await executor.close();
  return [...seen, megabytes()];
}

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
  const asked = JSON.parse(line) as { ids?: number[]; tokens: number; flat?: [number, number] };
  const { ids, tokens, flat } = asked;
  if (flat !== undefined) answer({ day: await day(flat[0]), night: await night(flat[1]) });
  else answer(ids === undefined ? { stepMs: await stepMs() } : await decode(engine, ids, tokens));
}
