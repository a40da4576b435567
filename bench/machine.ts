// What the bench says about the machine it ran on: load, memory shared and private, matmul peak.
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { input, matMul } from '../src/graph/operations.ts';
import type { Executor } from '../src/runtime/executor.ts';
import { f32 } from '../src/runtime/host-tensor.ts';

export interface Machine {
  readonly cpu: string;
  readonly threads: number;
  readonly node: string;
  /** One minute's load when the bench began. */
  readonly load: number;
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    threads: availableParallelism(),
    node: process.version,
    load: loadavg()[0] as number,
  };
}

/** Memory that only this process has, mapped files left out. Linux only; 0 elsewhere. */
export function privateBytes(): number {
  try {
    const match = /^RssAnon:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'));
    return match === null ? 0 : Number(match[1]) * 1024;
  } catch {
    return 0;
  }
}

/**
 * The most memory that this process has at once during a run, mapped files and all. Linux only; 0
 * elsewhere. Source: proc(5), clear_refs (5 resets the high-water mark) and VmHWM.
 */
export async function peakBytes(run: () => Promise<unknown>): Promise<number> {
  if (process.platform === 'linux') writeFileSync('/proc/self/clear_refs', '5');
  await run();
  if (process.platform !== 'linux') return 0;
  const match = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return 1024 * Number(match?.[1] ?? 0);
}

/** The fastest of a few runs, in milliseconds. The first is not counted. */
export async function bestOf(count: number, run: () => Promise<unknown>): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i <= count; i++) {
    const start = performance.now();
    await run();
    if (i > 0) best = Math.min(best, performance.now() - start);
  }
  return best;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] as number;
}

/** @param share 0.99 for the 99th percentile */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

const PEAK_SIZE = 1024;

/** Multiply-adds count as two: floating-point operations a second of a large square product. */
export async function matMulPeak(executor: Executor): Promise<number> {
  const shape = [PEAK_SIZE, PEAK_SIZE];
  const product = matMul(input('a', 'f32', shape), input('b', 'f32', shape));
  const program = await executor.compile({ product });
  const data = new Float32Array(PEAK_SIZE ** 2).fill(0.5);
  const side = f32(shape, data);
  const ms = await bestOf(8, () => program.run({ a: side, b: side }));
  await program.close();
  return (2 * PEAK_SIZE ** 3) / (ms / 1000);
}
