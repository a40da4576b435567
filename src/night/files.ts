// The files of a night's folder, read and written as what they are.
import { join } from 'node:path';
import { z } from 'zod';
import { readTextBounded, writeFileAtomic } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import { parseScenarios, printScenarios } from '../scenario/file.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { type FlaggedMoment, flaggedMomentSchema } from './gather.ts';

/** Files at the top of the folder are sealed with the night; `work/` is removed at the commit. */
export const FILE = {
  flagged: 'flagged.json',
  everyday: 'everyday.jsonl',
  dreams: 'dreams.jsonl',
  scenarios: 'scenarios.jsonl',
  delta: 'delta.safetensors',
  steps: 'steps.jsonl',
  measures: 'measures.json',
  replies: 'replies.json',
} as const;

export const WORK = 'work';
export const DEAF_DELTA = join(WORK, 'deaf.safetensors');

export async function writeFlagged(
  folder: string,
  moments: readonly FlaggedMoment[],
): Promise<void> {
  await writeFileAtomic(join(folder, FILE.flagged), `${JSON.stringify(moments)}\n`);
}

export async function readFlagged(folder: string): Promise<FlaggedMoment[]> {
  const text = await readTextBounded(join(folder, FILE.flagged));
  const parsed = z.array(flaggedMomentSchema).safeParse(JSON.parse(text ?? 'null'));
  if (parsed.success) return parsed.data;
  const message = `${join(folder, FILE.flagged)} is not what this night wrote.`;
  throw new AttuneError('night-failed', message, { folder }, { cause: parsed.error });
}

type ScenarioFile = 'everyday' | 'scenarios';

export async function writeScenarios(
  folder: string,
  file: ScenarioFile,
  scenarios: readonly Scenario[],
): Promise<void> {
  await writeFileAtomic(join(folder, FILE[file]), printScenarios(scenarios));
}

export async function readScenarioFile(folder: string, file: ScenarioFile): Promise<Scenario[]> {
  const path = join(folder, FILE[file]);
  return parseScenarios((await readTextBounded(path)) ?? '', path);
}
