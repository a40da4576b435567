// The files of a night's folder, read and written as what they are.
import { join } from 'node:path';
import { z } from 'zod';
import { readTextBounded, writeFileAtomic } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import { type Draft, draftSchema } from '../dream/draft.ts';
import { gistSchema } from '../memory/gist.ts';
import type { Remembered } from '../memory/memory.ts';
import { parseScenarios, printScenarios } from '../scenario/file.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { type FlaggedMoment, flaggedMomentSchema } from './moment.ts';

/** Files at the top of the folder are sealed with the night; `work/` is removed at the commit. */
export const FILE = {
  flagged: 'flagged.json',
  everyday: 'everyday.jsonl',
  gists: 'gists.json',
  dreams: 'dreams.jsonl',
  rehearsal: 'rehearsal.jsonl',
  easy: 'easy.jsonl',
  /** Crossed moments of the person's own talks that measure. */
  own: 'own.jsonl',
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

export function readFlagged(folder: string): Promise<FlaggedMoment[]> {
  return readOwn(folder, FILE.flagged, z.array(flaggedMomentSchema));
}

/** Memories that were drawn for this night. */
export async function writeGists(folder: string, gists: readonly Remembered[]): Promise<void> {
  await writeFileAtomic(join(folder, FILE.gists), `${JSON.stringify(gists)}\n`);
}

export function readGists(folder: string): Promise<Remembered[]> {
  const remembered = z.strictObject({ gist: gistSchema, salience: z.number() });
  return readOwn(folder, FILE.gists, z.array(remembered));
}

export async function writeDrafts(folder: string, drafts: readonly Draft[]): Promise<void> {
  const lines = drafts.map((draft) => {
    const { cluster } = draft.seed;
    // The source as scenarios have it, so that a deleted talk is found in here too.
    return `${JSON.stringify({ ...draft, source: { cluster } })}\n`;
  });
  await writeFileAtomic(join(folder, FILE.dreams), lines.join(''));
}

export async function readDrafts(folder: string): Promise<Draft[]> {
  const text = (await readTextBounded(join(folder, FILE.dreams))) ?? '';
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const { source: _source, ...draft } = JSON.parse(line);
      return draftSchema.parse(draft);
    });
}

/** @throws night-failed when the file is not what the night wrote */
async function readOwn<T>(folder: string, name: string, schema: z.ZodType<T>): Promise<T> {
  const path = join(folder, name);
  const parsed = schema.safeParse(JSON.parse((await readTextBounded(path)) ?? 'null'));
  if (parsed.success) return parsed.data;
  const message = `${path} is not what this night wrote.`;
  throw new AttuneError('night-failed', message, { folder }, { cause: parsed.error });
}

type ScenarioFile = 'everyday' | 'rehearsal' | 'easy' | 'own' | 'scenarios';

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
