import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { systemClock } from '../../src/base/clock.ts';
import { systemFileOps } from '../../src/base/file-ops.ts';
import { openJournal } from '../../src/record/journal.ts';

const countSchema = z.strictObject({ count: z.number() });
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-journal-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it('runs a phase once and gives its recorded result ever after', async () => {
  const run = vi.fn(async () => ({ count: 3 }));
  const journal = await openJournal({ path: folder, ops: systemFileOps }, systemClock);
  expect(await journal.phase('gather', countSchema, run)).toEqual({ count: 3 });
  await journal.close();
  const again = await openJournal({ path: folder, ops: systemFileOps }, systemClock);
  expect(await again.phase('gather', countSchema, run)).toEqual({ count: 3 });
  expect(again.has('gather')).toBe(true);
  expect(again.has('dream')).toBe(false);
  expect(run).toHaveBeenCalledTimes(1);
  await again.close();
});

it('runs a phase again when it failed or its line was torn', async () => {
  const journal = await openJournal({ path: folder, ops: systemFileOps }, systemClock);
  const failing = async (): Promise<{ count: number }> => {
    throw new Error('killed');
  };
  await expect(journal.phase('gather', countSchema, failing)).rejects.toThrow('killed');
  await journal.close();
  await appendFile(join(folder, 'journal.jsonl'), '{"phase":"gather","at":"2026-');
  const again = await openJournal({ path: folder, ops: systemFileOps }, systemClock);
  expect(again.has('gather')).toBe(false);
  expect(await again.phase('gather', countSchema, async () => ({ count: 1 }))).toEqual({
    count: 1,
  });
  await again.close();
  expect((await readFile(join(folder, 'journal.jsonl'), 'utf8')).split('\n')).toHaveLength(2);
});

it('refuses a recorded result that is not of the phase', async () => {
  const journal = await openJournal({ path: folder, ops: systemFileOps }, systemClock);
  await journal.phase('gather', z.string(), async () => 'text');
  await expect(
    journal.phase('gather', countSchema, async () => ({ count: 1 })),
  ).rejects.toMatchObject({ code: 'night-failed' });
  await journal.close();
});
