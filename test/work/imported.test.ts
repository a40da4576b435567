import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { writePeft } from '../../src/model/adapter/peft.ts';
import { type LowRankDelta, readDelta } from '../../src/model/delta.ts';
import { isQProj } from '../../src/model/weight-names.ts';
import { PLACEBO_DELTA, writeScenarios } from '../../src/record/files.ts';
import type { Verdict } from '../../src/record/phase-result.ts';
import { parseScenario } from '../../src/scenario/scenario.ts';
import { gateAdapter, takeTrained } from '../../src/work/imported.ts';
import { nightEngine } from '../../src/work/night-engine.ts';
import { denseOf } from '../model/dense.ts';
import { moment, openSmallNight, type SmallNight } from './small-night.ts';

// A small model is measured.
vi.setConfig({ testTimeout: 120_000 });

/** Factors of rank 2 for every layer. */
function waves({ model }: SmallNight, size = 0.3): Record<string, LowRankDelta> {
  const tensors: Record<string, LowRankDelta> = {};
  for (const [name, { shape }] of model.weights) {
    if (!isQProj(name)) continue;
    const [out, width] = shape as [number, number];
    const wave = (length: number): Float32Array =>
      Float32Array.from({ length }, (_, i) => Math.sin(i * 1.3 + out) * size);
    tensors[name] = { shape: [out, width], loraA: wave(2 * width), loraB: wave(2 * out) };
  }
  return tensors;
}

describe('the gate of an adapter of somebody else', () => {
  let night: SmallNight;
  let verdict: Verdict;
  beforeAll(async () => {
    night = await openSmallNight();
    const { model, plan } = night;
    const tensors = waves(night);
    const tools = { ...night, withEngine: nightEngine(plan, model) };
    verdict = await gateAdapter(night, tensors, tools, () => undefined);
  }, 120_000);
  afterAll(() => night?.close());

  it('judges it by every rule of a night', () => {
    expect(verdict.reasons.map(({ rule }) => rule)).toEqual([
      'finite',
      'only W_q moved',
      'listening',
      'beyond the placebo',
      'held replies',
      'held replies, KL',
      'perplexity against the parent',
      'perplexity against the base',
    ]);
    expect(verdict.passed).toBe(verdict.reasons.every(({ passes }) => passes));
  });

  it('holds it against one that moves the output as far and reads other directions', async () => {
    const placebo = verdict.reasons.find(({ rule }) => rule === 'beyond the placebo');
    expect(placebo?.text).not.toMatch(/no placebo|not a placebo/);
    const { path } = night.folder;
    const [real, other] = [
      await readDelta(join(path, 'delta.safetensors')),
      await readDelta(join(path, PLACEBO_DELTA)),
    ];
    for (const [name, tensor] of Object.entries(real.tensors)) {
      const [a, b] = [await denseOf(tensor), await denseOf(other.tensors[name])];
      const dot = a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);
      const square = (values: Float64Array) =>
        values.reduce((sum, value) => sum + value * value, 0);
      expect(Math.abs(dot) / Math.sqrt(square(a) * square(b))).toBeLessThan(0.7);
    }
  });
});

describe('what a job has trained', () => {
  let night: SmallNight;
  let job: string;
  const adapter = async (name: string, size: number): Promise<void> => {
    const layers = new Map(Object.entries(waves(night, size)));
    await writePeft(join(job, name), { rank: 2, layers, energyShare: 1 }, 'somewhere');
  };
  beforeAll(async () => {
    night = await openSmallNight();
    job = join(night.folder.path, 'job');
    const lessons = [1, 2, 3].map((index) => ({ ...moment(index).context, chosen: 'Gladly.' }));
    await writeScenarios(
      night.folder,
      'scenarios',
      lessons.map((lesson) => parseScenario(lesson)),
    );
    await adapter('adapter', 0.3);
    await writeFile(join(job, 'adapter.json'), '{"steps": 7, "seconds": 1.5, "history": []}');
  });
  afterAll(() => night?.close());

  it('is the training of the night, and how far it moves the model is measured', async () => {
    const trained = await takeTrained(night, job, night);
    expect(trained).toMatchObject({
      ...{ steps: 7, seconds: 1.5, stop: 'elsewhere', rank: 2, sources: 3, examples: 3 },
      ...{ deafHash: null, placeboOutputKl: null },
    });
    expect(trained.outputKl).toBeGreaterThan(0);
    expect(trained.relativeNorm).toBeGreaterThan(0);
    const { hash, tensors } = await readDelta(join(night.folder.path, 'delta.safetensors'));
    expect(hash).toBe(trained.deltaHash);
    expect(tensors).toEqual(waves(night));
  });

  it('has its placebo made as long as it moves the model', async () => {
    await adapter('placebo', 0.1);
    const { outputKl, placeboOutputKl } = await takeTrained(night, job, night);
    const share = (placeboOutputKl ?? 0) / (outputKl ?? 1);
    // The same matrices, a ninth as long: one scale makes them the same.
    expect(share).toBeGreaterThan(0.2);
    expect(share).toBeLessThan(5);
  });
});
