import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cellsOf } from '../../bench/experiment/cells.ts';
import { type Results, type Run, readResults } from '../../bench/experiment/results.ts';
import { DEFAULT_CHOICE } from '../../bench/experiment/settings.ts';
import { REGISTERED } from '../../bench/experiment/size.ts';
import { choose } from '../../bench/experiment/sweep.ts';
import { verdictLines } from '../../bench/experiment/verdict.ts';
import { WorkFolder } from '../../bench/experiment/work-folder.ts';

let path: string;
let work: WorkFolder;
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'attune-experiment-'));
  work = new WorkFolder(path);
});
afterEach(() => rmSync(path, { recursive: true }));

interface Effect {
  readonly margin: number;
  readonly direction: number;
  readonly ownIdea: number;
}

/** A run whose values spread the same way in every arm and differ by `effect`. */
function run(arm: 'real' | 'deaf', seed: number, effect: Effect): Run {
  const cell = { name: `${arm}-500-${seed}`, group: arm, arm, dose: 500, seed };
  const noise = (i: number): number => 0.02 * (((i * 7 + seed * 3) % 11) - 5);
  const margins: Record<string, number> = {};
  const clusters: Record<string, string> = {};
  for (let i = 0; i < 40; i++) {
    for (const side of ['a', 'b']) {
      const id = `crossed:decline:${i}:${side}`;
      margins[id] = effect.margin + noise(i);
      clusters[id] = `dialogue-${i % 20}`;
    }
  }
  const change = (by: number) => ({
    windows: Array.from({ length: 24 }, (_, i) => ({
      id: `look-${i}`,
      cluster: `dialogue-${i}`,
      before: 0,
      after: by + noise(i),
    })),
  });
  const attention = { direction: change(effect.direction), ownIdea: change(effect.ownIdea) };
  return { cell, choice: DEFAULT_CHOICE, margins, clusters, attention } as unknown as Run;
}

const STILL: Effect = { margin: -0.3, direction: 0, ownIdea: 0 };

function verdict(effect: Effect, seeds: readonly number[]): string {
  const runs = seeds.flatMap((seed) => [
    run('real', seed, { ...effect, direction: effect.direction + 0.01 * seed }),
    run('deaf', seed, STILL),
  ]);
  return verdictLines({ runs, dose: 500 } as unknown as Results).join('\n');
}

describe('the verdict of the experiment', () => {
  it('says that the prediction is borne out when all three move beyond the deaf arm', () => {
    const text = verdict({ margin: 0.3, direction: 0.2, ownIdea: -0.2 }, [1, 2, 3]);
    expect(text).toContain('real − deaf: shown');
    expect(text).toContain('prediction is borne out.');
    expect(text).toMatch(/direction spans gained .* own-idea spans lost .* behaviour followed/);
  });

  it('tells a reversal from no change', () => {
    const text = verdict({ margin: -0.3, direction: -0.2, ownIdea: 0.2 }, [1, 2, 3]);
    expect(text).toContain('prediction is not borne out.');
    expect(text).toMatch(/direction spans lost .* own-idea spans gained .* did not follow/);
  });

  it('shows nothing from one seed, however large the difference', () => {
    const text = verdict({ margin: 0.3, direction: 0.2, ownIdea: -0.2 }, [1]);
    expect(text).toContain('real − deaf: not shown');
    expect(text).toContain('one seed, which says nothing about training noise');
  });

  it('says that it cannot tell where an arm is missing', () => {
    const results = { runs: [run('real', 1, STILL)], dose: 500 } as unknown as Results;
    expect(verdictLines(results).join()).toContain('cannot be told');
  });
});

describe('the results of the experiment', () => {
  it('name every registered cell that was not run, and what was given up', async () => {
    await mkdir(join(path, 'runs'));
    await work.finish('runs', 'real-500-1', run('real', 1, STILL));
    await work.fail('runs', 'qkvo-500-1', new Error('it diverged'));
    const { missing } = await readResults(work, REGISTERED);
    const cells = missing.find((line) => line.startsWith('cells')) as string;
    expect(cells).not.toContain('real-500-1,');
    for (const { name } of cellsOf(REGISTERED).slice(2)) expect(cells).toContain(name);
    expect(missing).toContain('tried and given up: runs qkvo-500-1: it diverged');
  });
});

describe('a piece of work', () => {
  it('is taken from a process that died, and from no living one', async () => {
    await mkdir(join(path, 'runs'));
    writeFileSync(join(path, 'runs', 'dead.claim'), '999999999');
    writeFileSync(join(path, 'runs', 'living.claim'), `${process.pid}`);
    expect(await work.claims('runs', 'dead')).toBe(true);
    expect(await work.claims('runs', 'living')).toBe(false);
  });

  it('is not tried again when it was given up', async () => {
    expect(await work.claims('runs', 'a')).toBe(true);
    await work.fail('runs', 'a', new Error('no'));
    expect(await work.claims('runs', 'a')).toBe(false);
  });
});

describe('what the sweep chooses', () => {
  beforeEach(() => mkdir(join(path, 'sweep')));
  const tried = (learningRate: number, share: number, ratio: number, pushBack = 0) =>
    work.finish('sweep', `rate-${learningRate}`, {
      choice: { learningRate, retentionWeight: 2, preferenceBeta: 0.1 },
      bothRight: { share },
      margin: 0,
      pushBack: { mean: pushBack },
      invite: { mean: 0 },
      retention: { perplexity: { ratio } },
    });

  it('wins most pairs among those that keep everyday talk and push-back', async () => {
    await tried(0.03, 0.2, 1.001);
    await tried(0.1, 0.3, 1.009);
    await tried(0.2, 0.5, 1.005, -0.05);
    await tried(0.3, 0.6, 1.05);
    expect((await choose(work)).learningRate).toBe(0.1);
  });

  it('passes the bounds least where none keeps them, and stays once chosen', async () => {
    await tried(0.1, 0.3, 1.03);
    await tried(0.3, 0.6, 1.2);
    expect((await choose(work)).learningRate).toBe(0.1);
    await tried(0.03, 0.9, 1);
    expect((await choose(work)).learningRate).toBe(0.1);
  });

  it('is the configuration’s default without a sweep', async () => {
    expect(await choose(work)).toEqual(DEFAULT_CHOICE);
  });
});
