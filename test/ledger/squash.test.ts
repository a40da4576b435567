import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { sha256 } from '../../src/base/hash.ts';
import { createRandom } from '../../src/base/random.ts';
import { type Ledger, openLedger } from '../../src/ledger/ledger.ts';
import { nightId } from '../../src/ledger/manifest.ts';
import { squash } from '../../src/ledger/squash.ts';
import { verifyLedger } from '../../src/ledger/verify.ts';
import { addDelta, type DeltaTensor, readDelta, writeDelta } from '../../src/model/delta.ts';
import { NIGHT_FILES } from '../../src/record/files.ts';

const BASE = sha256('a base model');
const AT = '2026-11-22T03:00:00.000Z';
const SIZE = 500;
const ROWS = 20;
const RANK = 2;
let folder: string;
let ledger: Ledger;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-squash-'));
  ledger = await openLedger(folder, { base: BASE, files: NIGHT_FILES });
  for (let i = 0; i < 4; i += 1) await addNight();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function addNight(isDense = true): Promise<void> {
  const { number, parent } = await ledger.next();
  const night = nightId(number, '2026-11-22');
  const { path: building } = await ledger.building(night);
  const data = new Float32Array(SIZE);
  createRandom(number).fillGaussian(data, 0.1);
  const tensor: DeltaTensor = isDense
    ? { shape: [ROWS, SIZE / ROWS], data }
    : {
        shape: [ROWS, SIZE / ROWS],
        loraA: data.slice(0, RANK * (SIZE / ROWS)),
        loraB: data.slice(-RANK * ROWS),
      };
  const tensors = { 'layers.0.qProj': tensor };
  const path = join(building, 'delta.safetensors');
  const hash = await writeDelta(path, { baseHash: BASE, tensors });
  const delta = { file: 'delta.safetensors', hash, relativeNorm: 0.01, steps: 1 };
  const gate = { passed: true, reasons: [] };
  const rest = { software: {}, data: [], gate, startedAt: AT, endedAt: AT, config: sha256('c') };
  const { inForce } = ledger.head();
  const day = '2026-11-22';
  await ledger.commit({ night, number, day, base: BASE, parent, inForce, seed: 1, delta, ...rest });
  await ledger.setHead({ inForce: [...inForce, night] });
}

/** What `loadVersion` adds to the base: the ordered sum in f64. */
async function sumInForce(): Promise<Float64Array> {
  const sum = new Float64Array(SIZE);
  for (const { path } of await ledger.deltaFiles(ledger.head().inForce)) {
    const tensor = (await readDelta(path)).tensors['layers.0.qProj'];
    if (tensor !== undefined) await addDelta(sum, tensor);
  }
  return sum;
}

it('leaves the weights bit for bit as they were and frees the old deltas', async () => {
  const before = await sumInForce();
  const { inForce } = ledger.head();
  expect(await squash(ledger, 1)).toEqual(inForce.slice(0, 3));
  expect(await sumInForce()).toEqual(before);
  expect(await ledger.deltaFiles(inForce)).toHaveLength(2);
  const gone = join(ledger.folderOf(inForce[0] ?? '').path, 'delta.safetensors');
  await expect(stat(gone)).rejects.toThrow();
  expect(await verifyLedger(ledger)).toMatchObject({ isSound: true, findings: [] });
  const again = await openLedger(folder, { base: BASE, files: NIGHT_FILES });
  expect(again.head().squashed?.nights).toEqual(inForce.slice(0, 3));
});

it('adds later nights to the sum that is there', async () => {
  await squash(ledger, 1);
  await addNight();
  const before = await sumInForce();
  expect(await squash(ledger, 1)).toEqual(ledger.head().inForce.slice(0, 4));
  expect(await sumInForce()).toEqual(before);
  expect((await verifyLedger(ledger)).isSound).toBe(true);
});

it('leaves factors as they are while they take less room than their sum', async () => {
  const factors = await openLedger(`${folder}/factors`, { base: BASE, files: NIGHT_FILES });
  ledger = factors;
  for (let i = 0; i < 6; i += 1) await addNight(false);
  expect(await squash(ledger, 1)).toEqual([]);
});

it('adds factors up bit for bit, among dense deltas of before', async () => {
  await addNight(false);
  await addNight(false);
  const before = await sumInForce();
  expect(await squash(ledger, 1)).toHaveLength(5);
  expect(await sumInForce()).toEqual(before);
});

it('does nothing while there is room', async () => {
  expect(await squash(ledger, 1_000_000)).toEqual([]);
  expect(ledger.head().squashed).toBeNull();
});

it('refuses to leave out a squashed night, and lets the later ones go', async () => {
  await squash(ledger, 1);
  const { inForce } = ledger.head();
  await expect(ledger.deltaFiles(inForce.slice(1))).rejects.toMatchObject({
    code: 'night-squashed',
  });
  expect(await ledger.deltaFiles(inForce.slice(0, 3))).toHaveLength(1);
  expect(await ledger.deltaFiles([])).toEqual([]);
});

it('finds a sum that was changed or is gone', async () => {
  await squash(ledger, 1);
  const path = join(folder, ledger.head().squashed?.file ?? '');
  await writeFile(path, 'x');
  expect((await verifyLedger(ledger)).findings[0]?.text).toContain('was changed');
  await rm(path);
  expect((await verifyLedger(ledger)).findings[0]?.text).toContain('is missing');
});
