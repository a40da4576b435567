import { writeFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { writeSmallModel } from '../system/small-model.ts';
import { killLoop } from './kill-loop.ts';

it('killed two hundred times under load, a store has everything that was acknowledged once', async () => {
  const rounds = Number(process.env.ATTUNE_TEST_KILLS ?? 200);
  const report = await killLoop(rounds, await writeSmallModel());
  expect(report.rounds).toBe(rounds);
  expect(report.messages).toBeGreaterThan(rounds);
  const file = process.env.ATTUNE_TEST_REPORT;
  if (file !== undefined) await writeFile(file, `${JSON.stringify(report)}\n`);
});
