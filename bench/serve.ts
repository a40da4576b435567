// Measures what serving costs: prefill, decode alone and in batches.
import type { Engine } from '../src/engine/engine.ts';
import { GREEDY } from '../src/protocol/sampling.ts';
import { median } from './machine.ts';

const SAMPLING = { ...GREEDY, seed: 1 };

/** The ids that all sides of a comparison run. */
export function benchIds(count: number, vocabularySize: number): number[] {
  return Array.from({ length: count }, (_, i) => 3 + ((i * 7919 + 11) % (vocabularySize - 3)));
}

export interface Decoded {
  readonly ids: readonly number[];
  /** Between one token and the next. */
  readonly tokenMs: readonly number[];
  readonly firstTokenMs: number;
  /** Of all threads: what other programs take does not count. */
  readonly prefillCpuMs: number;
  readonly tokenCpuMs: number;
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** One reply to `context` ids; the prompt is new to the cache. */
export async function decode(
  engine: Engine,
  ids: readonly number[],
  tokens: number,
): Promise<Decoded> {
  const start = performance.now();
  const cpu = [cpuMs()];
  const times: number[] = [];
  const request = { ids, replyTokensMax: tokens, sampling: SAMPLING, stopIds: [] };
  const reply = await engine.generate(request, () => {
    times.push(performance.now());
    cpu.push(cpuMs());
  });
  const tokenMs = times.slice(1).map((time, i) => time - (times[i] as number));
  const [before = 0, first = 0] = cpu;
  return {
    ...{ ids: reply.ids, tokenMs, firstTokenMs: (times[0] as number) - start },
    prefillCpuMs: first - before,
    tokenCpuMs: ((cpu.at(-1) as number) - first) / tokenMs.length,
  };
}

/** Tokens a second of `batch` replies together, prefill left out. */
export async function batchSpeed(
  engine: Engine,
  {
    batch,
    context,
    tokens,
    vocabularySize,
  }: Readonly<Record<'batch' | 'context' | 'tokens' | 'vocabularySize', number>>,
): Promise<number> {
  const steps: number[] = [];
  let arrived = 0;
  let last = 0;
  const onToken = (): void => {
    // A step gives one token to each row; its time is told by the first of them.
    if (arrived++ % batch === 0) {
      const now = performance.now();
      if (last > 0) steps.push(now - last);
      last = now;
    }
  };
  const prompts = Array.from({ length: batch }, (_, i) =>
    benchIds(context, vocabularySize).map((id) => 3 + ((id + i * 31) % (vocabularySize - 3))),
  );
  // Replies start one after another; those of the most tokens overlap in whole steps.
  const overlap = prompts.length * 2;
  await Promise.all(
    prompts.map((ids) =>
      engine.generate(
        { ids, replyTokensMax: tokens + overlap, sampling: SAMPLING, stopIds: [] },
        onToken,
      ),
    ),
  );
  return (batch * 1000) / median(steps.slice(overlap, overlap + tokens));
}
