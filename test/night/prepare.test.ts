import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeJsonAtomic } from '../../src/base/atomic-file.ts';
import { systemClock } from '../../src/base/clock.ts';
import { loadConfig } from '../../src/config/load.ts';
import { type Ledger, openLedger } from '../../src/ledger/ledger.ts';
import { findUnfinished, planNext, writePlan } from '../../src/night/prepare.ts';
import { resolveSampling } from '../../src/protocol/sampling.ts';
import { FILE, NIGHT_FILES } from '../../src/record/files.ts';
import type { NightPlan } from '../../src/record/message.ts';

const EARLIER = join(import.meta.dirname, '../fixtures/store/2026-11-22/ledger');
const PATHS = { modelDir: '/m', cacheDir: '/c', suiteFolder: '/s', promptsFolder: '/p' };

let folder: string;
let ledger: Ledger;
let earlier: Record<string, unknown> & { base: string };

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-prepare-'));
  await cp(EARLIER, folder, { recursive: true });
  const text = await readFile(join(folder, 'nights/n0002-2026-11-21', FILE.plan), 'utf8');
  earlier = JSON.parse(text);
  ledger = await openLedger(folder, { base: earlier.base, files: NIGHT_FILES });
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function plan(): Promise<NightPlan> {
  const options = { chat: { sampling: { topK: 5 } } };
  const { config } = await loadConfig({ options });
  const sampling = resolveSampling([{ topP: 0.8, topK: 9 }, config.chat.sampling]);
  return planNext({ ledger, config, sampling, paths: PATHS, clock: systemClock });
}

describe("a night's plan", () => {
  it('says how its replies are drawn, the values of the model included', async () => {
    const { sampling, config } = await plan();
    expect(sampling).toMatchObject({ topP: 0.8, topK: 5, temperature: 0.7 });
    expect(config.chat.sampling).toEqual({ topK: 5 });
  });
});

describe('a night that was cut off', () => {
  it('is found again with its plan', async () => {
    const written = await plan();
    await writePlan(written, await ledger.building(written.night));
    expect((await findUnfinished(ledger))?.plan).toEqual(written);
  });

  it('is discarded where an earlier version wrote its plan', async () => {
    const { night, number, parent, inForce } = await plan();
    const { path, ops } = await ledger.building(night);
    const before = { ...earlier, night, number, parent, inForce };
    await writeJsonAtomic(join(path, FILE.plan), before, ops);
    expect(await findUnfinished(ledger)).toBeUndefined();
    expect(await ledger.unfinished()).toEqual([]);
  });
});
