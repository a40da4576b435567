import { beforeEach, describe, expect, it } from 'vitest';
import type { Manifest } from '../../src/ledger/manifest.ts';
import type { ReplyChange, ReplyShares } from '../../src/measure/reply-change.ts';
import {
  counted,
  failuresOf,
  readMeasures,
  readReplies,
  type Swapped,
  verdictOf,
} from '../../src/record/phase-result.ts';
import { MemoryDisk } from '../fakes/memory-disk.ts';

const change = {
  mean: 0.5,
  low: 0.1,
  high: 0.9,
  level: 0.95,
  p: 0.02,
  observations: 4,
  clusters: 4,
};
const shares: ReplyShares = { replies: 4, before: 0.25, after: 0.75, deaf: null, change };
const replies: ReplyChange = {
  all: shares,
  kinds: [{ kind: 'listen', ...shares, deaf: 0.25 }],
  samples: [
    {
      id: 's0',
      kind: 'listen',
      said: 'Nine.',
      before: { reply: '', passes: false, reason: 'empty' },
      after: { reply: 'Nine it is.', passes: true, reason: 'the direction comes first' },
    },
  ],
};

let disk: MemoryDisk;
const folder = () => ({ path: '/night', ops: disk });
const write = (value: unknown, name = 'measures.json'): void => {
  disk = new MemoryDisk({ [`/night/${name}`]: JSON.stringify(value) });
};

beforeEach(() => {
  disk = new MemoryDisk();
});

describe('the measures of a night', () => {
  it('come back with the replies that were checked', async () => {
    write({ measures: {}, replies, flagged: [] });
    expect((await readMeasures(folder())).replies).toEqual(replies);
  });

  it('of a night before replies were checked have none', async () => {
    write({ measures: { examples: 3 }, flagged: [] });
    expect(await readMeasures(folder())).toEqual({
      measures: { examples: 3 },
      replies: null,
      flagged: [],
    });
  });

  it.each([
    ['a share without its interval', { ...replies, all: { ...shares, change: undefined } }],
    ['a kind that there is not', { ...replies, kinds: [{ kind: 'obey', ...shares }] }],
    ['a share that is no number', { ...replies, all: { ...shares, after: null } }],
    ['something else', 'many'],
  ])('are refused with %s', async (_, bent) => {
    write({ measures: {}, replies: bent, flagged: [] });
    await expect(readMeasures(folder())).rejects.toMatchObject({
      code: 'night-failed',
    });
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
  });

  it('names the rules that failed and no others', () => {
    const reasons = [reason('better', true), reason('harmless', false)];
    expect(failuresOf(night({ passed: false, reasons }))).toEqual(['harmless: harmless is 3']);
    expect(failuresOf(night(null))).toEqual([]);
  });
});
