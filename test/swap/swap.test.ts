import { appendFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { sha256 } from '../../src/base/hash.ts';
import { type Ledger, openLedger } from '../../src/ledger/ledger.ts';
import { nightId } from '../../src/ledger/manifest.ts';
import { versionId } from '../../src/model/versions.ts';
import { GREEDY } from '../../src/protocol/sampling.ts';
import { NIGHT_FILES } from '../../src/record/files.ts';
import { swapTo, versionOf } from '../../src/swap/swap.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';

const BASE = sha256('a base model');
const AT = '2026-11-22T03:00:00.000Z';
let folder: string;
let ledger: Ledger;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-swap-'));
  ledger = await openLedger(folder, { base: BASE, files: NIGHT_FILES });
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A committed night; its probe is what `shift` makes of the fake engine's scores. */
async function addNight(shift = 0): Promise<string> {
  const { number, parent } = await ledger.next();
  const night = nightId(number, '2026-11-22');
  const { path: building } = await ledger.building(night);
  await writeFile(join(building, 'delta.safetensors'), `delta ${number}`);
  const earlier = await versionOf(ledger, ledger.head().inForce);
  const engine = new FakeEngine();
  const ids = [1, 2, 3, 4, 5];
  const [scores] = await engine.score({ sequences: [{ ids, from: 2 }] });
  const logprobs = Array.from(scores ?? [], (value) => value + shift);
  const probe = {
    schema: 1,
    version: 'later',
    toleranceNats: 1e-4,
    sequences: [{ ids, from: 2, logprobs }],
  };
  const draft = {
    night,
    number,
    day: '2026-11-22',
    base: BASE,
    parent,
    inForce: ledger.head().inForce,
    seed: 1,
    config: sha256('config'),
    software: { attune: '0.1.0', from: earlier.id },
    data: [],
    delta: {
      file: 'delta.safetensors',
      hash: sha256(`tensors ${number}`),
      relativeNorm: 0.01,
      steps: 3,
    },
    gate: { passed: true, reasons: [] },
    startedAt: AT,
    endedAt: AT,
  };
  const version = versionId(BASE, [sha256(`tensors ${number}`)]);
  await writeFile(join(building, 'probe.json'), JSON.stringify({ ...probe, version }));
  await ledger.commit(draft);
  return night;
}

describe('swap', () => {
  it('switches the engine, moves the pointer and reports the probe', async () => {
    const engine = new FakeEngine({ version: 'base' });
    const night = await addNight();
    const status = { status: 'in-force' as const, at: AT, why: 'the gate passed' };
    const report = await swapTo(
      { engine, ledger, clock: systemClock },
      { nights: [night], statuses: { [night]: status } },
    );
    expect(report.to).toBe((await versionOf(ledger, [night])).id);
    expect(report.probe).toMatchObject({ tokens: 3, worstNats: 0, passes: true });
    expect((await engine.describe()).version).toBe(report.to);
    expect(ledger.head()).toMatchObject({ inForce: [night], nights: { [night]: status } });
  });

  it('lets a reply in flight go on and marks where its version changed', async () => {
    const engine = new FakeEngine({ version: 'base', tokenDelayMs: 5 });
    const night = await addNight();
    let swapped: Promise<{ to: string; repliesInFlight: number }> | undefined;
    const reply = await engine.generate(
      { ids: [1], replyTokensMax: 20, sampling: { ...GREEDY, seed: 0 }, stopIds: [] },
      () => {
        swapped ??= swapTo({ engine, ledger, clock: systemClock }, { nights: [night] });
      },
    );
    const report = await swapped;
    expect(report?.repliesInFlight).toBe(1);
    expect(reply.ids).toHaveLength(20);
    expect(reply.versionRuns.map((run) => run[2])).toEqual(['base', report?.to]);
  });

  it('goes back to the base without any delta', async () => {
    const engine = new FakeEngine({ version: 'base' });
    const night = await addNight();
    const parts = { engine, ledger, clock: systemClock };
    await swapTo(parts, { nights: [night] });
    const back = await swapTo(parts, { nights: [] });
    expect(back.to).toBe(`base-${BASE.slice(0, 12)}`);
    expect(back.probe).toBeNull();
    expect(ledger.head().inForce).toEqual([]);
  });
});

describe('a swap is refused and the chat keeps its weights', () => {
  async function refused(nights: string[], code: string): Promise<void> {
    const engine = new FakeEngine({ version: 'base' });
    await expect(swapTo({ engine, ledger, clock: systemClock }, { nights })).rejects.toMatchObject({
      code,
    });
    expect((await engine.describe()).version).toMatch(/^base/);
    expect(ledger.head().inForce).toEqual([]);
  }

  it('when a delta was changed after its night', async () => {
    const night = await addNight();
    await appendFile(join(ledger.folderOf(night).path, 'delta.safetensors'), 'x');
    await refused([night], 'swap-refused');
  });

  it('when the engine answers the probe otherwise than the trainer did', async () => {
    await refused([await addNight(0.01)], 'swap-refused');
  });

  it('when the night is unknown', async () => {
    await refused(['n0007-2026-11-22'], 'night-unknown');
  });

  it('when the pointer cannot be written', async () => {
    const night = await addNight();
    await mkdir(join(folder, 'head.json'));
    await refused([night], 'swap-refused');
  });
});
