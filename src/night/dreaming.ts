// The dream and admit phases of a night: what the model wrote, and which of it may train.
import { z } from 'zod';
import { parseScenario, type Scenario } from '../scenario/scenario.ts';
import { readFlagged, writeScenarios } from './files.ts';
import type { FlaggedMoment } from './gather.ts';
import type { WorkParts } from './work.ts';

type Tell = (done: number, total: number | null, facts?: Record<string, number>) => void;

const countsSchema = z.array(z.strictObject({ name: z.string(), count: z.int() }));

export const dreamtSchema = z.strictObject({
  /** Dreams written, by kind. */
  written: countsSchema,
  tokens: z.int(),
});

export const admittedSchema = z.strictObject({
  /** By kind. */
  admitted: countsSchema,
  /** By reason. */
  refused: countsSchema,
  /** Scenarios that train, flags and dreams together. */
  training: z.int(),
  flags: z.int(),
  heldBack: z.int(),
});
export type Admitted = z.infer<typeof admittedSchema>;

export async function dreamNight(
  _parts: WorkParts & { folder: string },
  tell: Tell,
): Promise<z.infer<typeof dreamtSchema>> {
  tell(0, 0);
  return { written: [], tokens: 0 };
}

/** Writes `scenarios.jsonl`: everything that trains, and nothing that measures. */
export async function admitNight(
  { folder }: WorkParts & { folder: string },
  tell: Tell,
): Promise<Admitted> {
  const moments = await readFlagged(folder);
  const training = moments.filter((moment) => !moment.isHeldBack);
  const scenarios = training.flatMap((moment) => scenarioOf(moment) ?? []);
  await writeScenarios(folder, 'scenarios', scenarios);
  tell(scenarios.length, scenarios.length);
  const open = training.length - scenarios.length;
  return {
    admitted: [],
    refused: open === 0 ? [] : [{ name: 'no listening reply was found', count: open }],
    training: scenarios.length,
    flags: scenarios.length,
    heldBack: moments.length - training.length,
  };
}

/** A moment as an example; undefined while it has no listening reply. */
export function scenarioOf(moment: FlaggedMoment): Scenario | undefined {
  const { context, chosen, rejected } = moment;
  if (chosen === undefined) return undefined;
  return parseScenario({ ...context, chosen, ...(rejected === undefined ? {} : { rejected }) });
}
