// What `measures.json` says of replies: read back whole, absent in older nights, refused when bent.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemFileOps } from '../../src/base/file-ops.ts';
import type { ReplyChange, ReplyShares } from '../../src/measure/reply-change.ts';
import { readMeasures } from '../../src/record/phase-result.ts';

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

let folder: string;
const write = (value: unknown): Promise<void> =>
  writeFile(join(folder, 'measures.json'), JSON.stringify(value));

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-measures-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('the measures of a night', () => {
  it('come back with the replies that were checked', async () => {
    await write({ measures: {}, replies, flagged: [] });
    expect((await readMeasures({ path: folder, ops: systemFileOps })).replies).toEqual(replies);
  });

  it('of a night before replies were checked have none', async () => {
    await write({ measures: { examples: 3 }, flagged: [] });
    expect(await readMeasures({ path: folder, ops: systemFileOps })).toEqual({
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
    await write({ measures: {}, replies: bent, flagged: [] });
    await expect(readMeasures({ path: folder, ops: systemFileOps })).rejects.toMatchObject({
      code: 'night-failed',
    });
  });
});
