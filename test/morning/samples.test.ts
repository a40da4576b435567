import { expect, it } from 'vitest';
import { writeFileAtomic } from '../../src/base/atomic-file.ts';
import { readLosses } from '../../src/morning/samples.ts';
import { MemoryDisk } from '../fakes/memory-disk.ts';

it('the loss of a step that was trained twice, for a kill in between, is there once', async () => {
  const ops = new MemoryDisk();
  await ops.makeFolder('/night');
  const steps = [1, 2, 3, 1, 2, 3, 4].map((step, at) => ({ step, teacherKl: at / 10 }));
  const lines = steps.map((one) => `${JSON.stringify(one)}\n`).join('');
  await writeFileAtomic('/night/steps.jsonl', `${lines}{"step":5,"te`, ops);
  expect(await readLosses({ path: '/night', ops })).toEqual([
    { step: 1, loss: 0.3 },
    { step: 2, loss: 0.4 },
    { step: 3, loss: 0.5 },
    { step: 4, loss: 0.6 },
  ]);
});
