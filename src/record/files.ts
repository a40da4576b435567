// The files of a night's folder: which there are, and each read and written as what it is.
import { join } from 'node:path';
import { z } from 'zod';
import { readTextBounded, writeFileAtomic } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import type { Folder } from '../base/file-ops.ts';
import { type Draft, draftSchema } from '../dream/draft.ts';
import type { NightFiles } from '../ledger/ledger.ts';
import { gistSchema } from '../memory/gist.ts';
import type { Remembered } from '../memory/memory.ts';
import { parseScenarios, printScenarios } from '../scenario/file.ts';
import { type FlaggedMoment, flaggedMomentSchema, measuresForgetting } from '../scenario/moment.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { PROBE } from '../swap/probe.ts';

/** A deletion searches these, in this order: see `NightFiles`. */
const WITH_WORDS = {
  /** Tokens of what trained. */
  probe: PROBE,
  replies: 'replies.json',
  /** Ids of what the training refused. */
  training: 'training.json',
  measures: 'measures.json',
  steps: 'steps.jsonl',
  summaryText: 'summary.md',
  summary: 'summary.json',
  dreams: 'dreams.jsonl',
  easy: 'easy.jsonl',
  /** Held as they are while the lessons train. */
  holds: 'holds.jsonl',
  /** Of nights before 30 November 2026: the person's own conversations, crossed. */
  own: 'own.jsonl',
  gists: 'gists.json',
  everyday: 'everyday.jsonl',
  scenarios: 'scenarios.jsonl',
  flagged: 'flagged.json',
} as const;

const WITHOUT_WORDS = {
  plan: 'plan.json',
  /** What the model says when nobody asks. */
  rehearsal: 'rehearsal.jsonl',
  delta: 'delta.safetensors',
} as const;

/** Files at the top of the folder are sealed with the night; `work/` is removed at the commit. */
export const FILE = { ...WITH_WORDS, ...WITHOUT_WORDS } as const;

export const NIGHT_FILES: NightFiles = {
  withWords: Object.values(WITH_WORDS),
  withoutWords: Object.values(WITHOUT_WORDS),
};

export const WORK = 'work';
export const PLACEBO_DELTA = join(WORK, 'deaf.safetensors');

export function writeFlagged(folder: Folder, moments: readonly FlaggedMoment[]): Promise<void> {
  return writeText(folder, 'flagged', `${JSON.stringify(moments)}\n`);
}

export function readFlagged(folder: Folder): Promise<FlaggedMoment[]> {
  return readOwn(folder, 'flagged', z.array(flaggedMomentSchema));
}

/** Memories that were drawn for this night. */
export function writeGists(folder: Folder, gists: readonly Remembered[]): Promise<void> {
  return writeText(folder, 'gists', `${JSON.stringify(gists)}\n`);
}

export function readGists(folder: Folder): Promise<Remembered[]> {
  const remembered = z.strictObject({ gist: gistSchema, salience: z.number() });
  return readOwn(folder, 'gists', z.array(remembered));
}

export async function writeDrafts(folder: Folder, drafts: readonly Draft[]): Promise<void> {
  const lines = drafts.map((draft) => {
    const { cluster } = draft.seed;
    // The source as scenarios have it, so that a deleted conversation is found in here too.
    return `${JSON.stringify({ ...draft, source: { cluster } })}\n`;
  });
  await writeText(folder, 'dreams', lines.join(''));
}

export async function readDrafts(folder: Folder): Promise<Draft[]> {
  return readAs(folder, 'dreams', (text = '') =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const { source: _source, ...draft } = JSON.parse(line);
        return draftSchema.parse(draft);
      }),
  );
}

function readOwn<T>(folder: Folder, file: File, schema: z.ZodType<T>): Promise<T> {
  return readAs(folder, file, (text = 'null') => schema.parse(JSON.parse(text)));
}

/** @throws night-failed when the file is not what the night wrote */
async function readAs<T>(
  folder: Folder,
  file: File,
  parse: (text: string | undefined) => T,
): Promise<T> {
  try {
    return parse(await readText(folder, file));
  } catch (cause) {
    const message = `${join(folder.path, FILE[file])} is not what this night wrote.`;
    throw new AttuneError('night-failed', message, { folder: folder.path }, { cause });
  }
}

type File = keyof typeof FILE;

function readText({ path, ops }: Folder, file: File): Promise<string | undefined> {
  return readTextBounded(join(path, FILE[file]), { ops });
}

function writeText({ path, ops }: Folder, file: File, text: string): Promise<void> {
  return writeFileAtomic(join(path, FILE[file]), text, ops);
}

type ScenarioFile = 'everyday' | 'rehearsal' | 'easy' | 'holds' | 'own' | 'scenarios';

export function writeScenarios(
  folder: Folder,
  file: ScenarioFile,
  scenarios: readonly Scenario[],
): Promise<void> {
  return writeText(folder, file, printScenarios(scenarios));
}

export async function readScenarioFile(folder: Folder, file: ScenarioFile): Promise<Scenario[]> {
  const text = (await readText(folder, file)) ?? '';
  return parseScenarios(text, join(folder.path, FILE[file]));
}

/** Everyday turns are held as often as what was dreamt to be held, but at least this many. */
const EVERYDAY_MIN = 96;

/** What the start does in moments like the lessons' that are none, and half of the everyday turns. */
export async function readHolds(folder: Folder): Promise<Scenario[]> {
  const holds = await readScenarioFile(folder, 'holds');
  const everyday = await readScenarioFile(folder, 'everyday');
  const own = await readScenarioFile(folder, 'rehearsal');
  const quiet = [...everyday.filter((turn) => !measuresForgetting(turn)), ...own];
  return [...holds, ...quiet.slice(0, Math.max(EVERYDAY_MIN, holds.length))];
}
