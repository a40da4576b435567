// Runs the peers of bench/peers beside the engine on the same weights, in turns, and gives ratios.
import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism, loadavg } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { withHugePages } from '../src/base/huge-pages.ts';
import { createEngine } from '../src/engine/in-process-engine.ts';
import type { Model } from '../src/model/model.ts';
import { createOnnxExecutor } from '../src/runtime/onnx.ts';
import { writeGguf } from './gguf.ts';
import { createStep, DECISION_TOKENS } from './learn.ts';
import { median } from './machine.ts';
import { benchIds, type Decoded, decode } from './serve.ts';

export interface CompareOptions {
  readonly model: Model;
  readonly cacheDir: string;
  /** Where the packages of bench/peers are installed. */
  readonly folder: string;
  /** A Python that has the requirements of bench/peers. */
  readonly python: string;
  readonly rounds: number;
  readonly root: string;
  readonly say: (line: string) => void;
}

export interface Peer {
  readonly pid: number;
  ask<T>(question: object): Promise<T>;
  close(): void;
}

const TOKENS = 48;
const CONTEXT = 1000;

/** This file's folder in the sources, from where it was compiled to. */
export const SOURCES = join(dirname(fileURLToPath(import.meta.url)), '../../../../bench/peers');

export async function startPeer(command: string, args: readonly string[]): Promise<Peer> {
  const env = withHugePages(process.env);
  const child: ChildProcess = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[
    Symbol.asyncIterator
  ]();
  const next = async <T>(): Promise<T> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`${command} ${args[0]} ended`);
    return JSON.parse(value) as T;
  };
  await next();
  return {
    pid: child.pid as number,
    ask(question) {
      child.stdin?.write(`${JSON.stringify(question)}\n`);
      return next();
    },
    close: () => child.kill(),
  };
}

interface Pair {
  readonly ours: number[];
  readonly theirs: number[];
}

/** Best and median of both sides and how many times faster we are. */
export function ratioOf({ ours, theirs }: Pair): Record<string, number> {
  const best = { ours: Math.min(...ours), theirs: Math.min(...theirs) };
  const middle = { ours: median(ours), theirs: median(theirs) };
  return {
    oursMs: best.ours,
    theirsMs: best.theirs,
    ratio: best.theirs / best.ours,
    oursMedianMs: middle.ours,
    theirsMedianMs: middle.theirs,
    medianRatio: middle.theirs / middle.ours,
  };
}

function tell(say: CompareOptions['say'], name: string, ratio: Record<string, number>): void {
  const text = (key: string): string => (ratio[key] as number).toFixed(2);
  say(
    `  ${name.padEnd(34)} ${text('ratio')} × faster (best ${text('oursMs')} against ${text('theirsMs')} ms; ` +
      `medians ${text('medianRatio')} ×, ${text('oursMedianMs')} against ${text('theirsMedianMs')})`,
  );
}

/** @returns ratios by name; above 1 we are faster */
export async function comparePeers(options: CompareOptions): Promise<Record<string, unknown>> {
  const { say } = options;
  say('\npeers, in turns on the same weights');
  const found: Record<string, unknown> = { loadBefore: loadavg()[0] };
  for (const threads of new Set([1, availableParallelism()])) {
    for (const context of [32, CONTEXT]) {
      const name = `decode at ${context}, ${threads} threads`;
      const ratio = ratioOf(await compareDecode(options, threads, context));
      found[name] = ratio;
      tell(say, `${name} (llama.cpp)`, ratio);
    }
  }
  for (const threads of new Set([1, availableParallelism()])) {
    const { frozen, lora } = await compareSteps(options, threads);
    found[`frozen step, ${threads} threads`] = ratioOf(frozen);
    found[`against LoRA step, ${threads} threads`] = ratioOf(lora);
    tell(say, `W_q step, ${threads} threads (PyTorch)`, ratioOf(frozen));
    tell(say, `against a LoRA step, ${threads} threads`, ratioOf(lora));
  }
  found.loadAfter = loadavg()[0];
  say(
    `  load ${(found.loadBefore as number).toFixed(1)} before, ${(found.loadAfter as number).toFixed(1)} after`,
  );
  return found;
}

async function compareDecode(
  { model, cacheDir, folder, rounds, root, say }: CompareOptions,
  threads: number,
  context: number,
): Promise<Pair> {
  const path = join(root, `${model.baseHash.slice(0, 12)}.gguf`);
  await writeGguf(model, path);
  const script = join(SOURCES, 'llama-cpp.mjs');
  const peer = await startPeer(process.execPath, [script, folder, path, `${threads}`]);
  const executor = await createOnnxExecutor({ device: 'cpu', threads });
  const engine = await createEngine({ modelDir: model.dir, cacheDir, executor });
  const ids = benchIds(context, model.config.vocabSize);
  const pair: Pair = { ours: [], theirs: [] };
  for (let round = 0; round <= rounds; round++) {
    const ours = await decode(engine, ids, TOKENS);
    const theirs = await peer.ask<Decoded>({ ids, tokens: TOKENS });
    if (round === 0) {
      const same = ours.ids.filter((id, i) => id === theirs.ids[i]).length;
      say(`  (${same} of ${TOKENS} greedy tokens are the same)`);
      continue; // both are warm from here on
    }
    pair.ours.push(...ours.tokenMs);
    pair.theirs.push(...theirs.tokenMs);
  }
  peer.close();
  await engine.close();
  return pair;
}

/** The step at a context of 1,000 against PyTorch's, and against its full-sequence LoRA step. */
export async function compareSteps(
  { model, python, rounds }: Pick<CompareOptions, 'model' | 'python' | 'rounds'>,
  threads: number,
): Promise<{ frozen: Pair; lora: Pair }> {
  const peer = await startPeer(python, [join(SOURCES, 'torch_peer.py'), model.dir]);
  const executor = await createOnnxExecutor({ device: 'cpu', threads });
  const step = await createStep(executor, model, true);
  const ids = benchIds(DECISION_TOKENS + 1, model.config.vocabSize);
  const frozen: Pair = { ours: [], theirs: [] };
  const lora: Pair = { ours: [], theirs: [] };
  for (let round = 0; round <= rounds; round++) {
    const start = performance.now();
    await step.run(CONTEXT);
    const ms = performance.now() - start;
    const ask = (what: string) =>
      peer.ask<{ ms: number }>({ do: what, ids, context: CONTEXT, threads });
    const [theirs, whole] = [await ask('frozen'), await ask('lora')];
    if (round === 0) continue;
    frozen.ours.push(ms);
    lora.ours.push(ms);
    frozen.theirs.push(theirs.ms);
    lora.theirs.push(whole.ms);
  }
  peer.close();
  await step.close();
  await executor.close();
  return { frozen, lora };
}
