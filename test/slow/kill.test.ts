import { appendFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { writeSmallModel } from '../system/small-model.ts';
import { killLoop } from './kill-loop.ts';

it('killed two hundred times under load, a store has everything that was acknowledged once, and nothing that was taken back', async () => {
  const rounds = Number(process.env.ATTUNE_TEST_KILLS ?? 200);
  const file = process.env.ATTUNE_TEST_REPORT;
  const note = (text: string): void => {
    if (file !== undefined) appendFileSync(file, `${text}\n`);
  };
  const onRound = (count: number): void => note(`${count}`);
  const report = await killLoop(await writeSmallModel(), { rounds, nights: 2, onRound });
  note(JSON.stringify(report));
  expect(report.rounds).toBe(rounds);
  expect(report.said).toBeGreaterThan(rounds);
});
