import { beforeEach, describe, expect, it } from 'vitest';
import type { Manifest } from '../../src/ledger/manifest.ts';
import {
  counted,
  failuresOf,
  readMeasures,
  readReplies,
  type Swapped,
  verdictOf,
} from '../../src/record/phase-result.ts';
import { MemoryDisk } from '../fakes/memory-disk.ts';

let disk: MemoryDisk;
const folder = () => ({ path: '/night', ops: disk });
const write = (value: unknown, name = 'measures.json'): void => {
  disk = new MemoryDisk({ [`/night/${name}`]: JSON.stringify(value) });
};

beforeEach(() => {
  disk = new MemoryDisk();
});

describe('the measures of a night', () => {
  it('come back as they were written', async () => {
    const measures = { schema: 2, listening: { pairs: 3 } };
    write(measures);
    expect(await readMeasures(folder())).toEqual(measures);
  });

  it('are none of a night that measured something else, or nothing', async () => {
    write({ measures: { examples: 3 }, flagged: [] });
    expect(await readMeasures(folder())).toBeUndefined();
    expect(await readMeasures({ path: '/other', ops: disk })).toBeUndefined();
  });
});

describe('the replies of a night', () => {
  it('come back as they were written, and are none where none were made', async () => {
    expect(await readReplies(folder())).toEqual([]);
    const replies = [{ flagId: 'f', oldReply: 'Old.', newReply: 'New.' }];
    write(replies, 'replies.json');
    expect(await readReplies(folder())).toEqual(replies);
  });

  it('are refused with a field that is not theirs', async () => {
    write([{ flagId: 'f', oldReply: 'Old.', newReply: 'New.', by: 'x' }], 'replies.json');
    await expect(readReplies(folder())).rejects.toMatchObject({ code: 'store-damaged' });
  });
});

describe('counts', () => {
  it('have kinds in their own order, and reasons by how often they come', () => {
    expect(counted(['push-back', 'listen', 'push-back'])).toEqual([
      { name: 'listen', count: 1 },
      { name: 'push-back', count: 2 },
    ]);
    expect(counted(['rare', 'often', 'often'])).toEqual([
      { name: 'often', count: 2 },
      { name: 'rare', count: 1 },
    ]);
    expect(counted([])).toEqual([]);
  });
});

describe('the verdict', () => {
  const reason = (rule: string, passes: boolean) => ({ rule, passes, text: `${rule} is 3` });
  const delta = { file: 'delta.safetensors', hash: 'd'.repeat(64), relativeNorm: 0.1, steps: 1 };
  const night = (gate: Manifest['gate'], made: Manifest['delta'] = delta): Manifest => ({
    ...{ schema: 1, night: 'n0001-2026-03-03', number: 1, day: '2026-03-03' },
    ...{ base: 'b'.repeat(64), parent: null, inForce: [], seed: 1, config: 'c'.repeat(64) },
    ...{ software: {}, data: [], files: {}, delta: made, gate },
    ...{ startedAt: '2026-03-03T02:00:00.000Z', endedAt: '2026-03-03T02:30:00.000Z' },
  });
  const swap: Swapped['swap'] = {
    ...{ from: 'base', to: 'v', repliesInFlight: 0, stallMs: 1, probe: null },
    at: '2026-03-03T02:31:00.000Z',
  };
  const passed = { passed: true, reasons: [reason('better', true)] };

  it('is of what the night made, what the gate said, and whether it was swapped in', () => {
    expect(verdictOf(night(null, null), { swap: null })).toBe('nothing-to-learn');
    expect(verdictOf(night({ passed: false, reasons: [] }), { swap: null })).toBe('refused');
    expect(verdictOf(night(null), { swap: null })).toBe('refused');
    expect(verdictOf(night(passed), { swap: null })).toBe('awaiting-review');
    expect(verdictOf(night(passed), { swap })).toBe('swapped');
    const offered = { passed: false, offered: true as const, reasons: [reason('better', false)] };
    expect(verdictOf(night(offered), { swap: null })).toBe('awaiting-review');
  });

  it('names the rules that failed and no others', () => {
    const reasons = [reason('better', true), reason('harmless', false)];
    expect(failuresOf(night({ passed: false, reasons }))).toEqual(['harmless: harmless is 3']);
    expect(failuresOf(night(null))).toEqual([]);
  });
});
