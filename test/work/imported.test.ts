import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type LowRankDelta, readDelta } from '../../src/model/delta.ts';
import { isQProj } from '../../src/model/weight-names.ts';
import { PLACEBO_DELTA } from '../../src/record/files.ts';
import type { Verdict } from '../../src/record/phase-result.ts';
import { gateAdapter } from '../../src/work/imported.ts';
import { nightEngine } from '../../src/work/night-engine.ts';
import { denseOf } from '../model/dense.ts';
import { openSmallNight, type SmallNight } from './small-night.ts';

// A small model is measured.
vi.setConfig({ testTimeout: 120_000 });

describe('the gate of an adapter of somebody else', () => {
  let night: SmallNight;
  let verdict: Verdict;
  beforeAll(async () => {
    night = await openSmallNight();
    const { model, plan } = night;
    const tensors: Record<string, LowRankDelta> = {};
    for (const [name, { shape }] of model.weights) {
      if (!isQProj(name)) continue;
      const [out, width] = shape as [number, number];
      const wave = (length: number): Float32Array =>
        Float32Array.from({ length }, (_, i) => Math.sin(i * 1.3 + out) * 0.3);
      tensors[name] = { shape: [out, width], loraA: wave(2 * width), loraB: wave(2 * out) };
    }
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
