// The lessons of a night as a job: a folder that PyTorch trains on another machine, and the two
// adapters that come back in it.
import { join } from 'node:path';
import { z } from 'zod';
import {
  readFileBounded,
  readJsonBounded,
  writeFileAtomic,
  writeJsonAtomic,
} from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import { systemFileOps } from '../base/file-ops.ts';
import { sha256 } from '../base/hash.ts';
import type { Config } from '../config/schema.ts';
import { hasLearntWithheld, readReview } from '../ledger/deletion.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { type NightId, nightIdSchema } from '../ledger/manifest.ts';
import { reviewed } from '../morning/review.ts';
import { readHolds, readScenarioFile } from '../record/files.ts';
import { printScenarios } from '../scenario/file.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { asLesson } from '../teach/teacher.ts';

/** `job.json`: what `job.py` trains by, and by what the job is known again. */
const jobSchema = z.strictObject({
  schema: z.literal(1),
  night: nightIdSchema,
  base: z.string(),
  /** sha256 of `lessons.jsonl`. */
  lessons: z.string(),
  seed: z.int(),
  steps: z.int(),
  /** Lessons a step. */
  batch: z.int(),
  /** KL of a first step at the full rate, nats a token. */
  kl: z.number(),
  /** Of the adapters. */
  rank: z.int(),
  replyTokens: z.int(),
});

/** vLLM takes no more unless it is told to. */
const RANK = 16;
/** By how much a first step moves what is held; the program's are not whitened as those here are. */
const KL = 0.06;
const JOB = 'job.json';
/** Of `experiments/reference`; by their names in the job. */
const COPIED = { 'night.py': 'night.py', 'job.py': 'job.py', 'README.md': 'JOB.md' };

const textOf = (lessons: readonly Scenario[]): string => printScenarios(lessons.map(asLesson));

export interface JobWritten {
  readonly folder: string;
  readonly lessons: number;
  readonly holds: number;
}

/**
 * Writes the lessons of a night, as the person has left them, and all that they are trained with.
 * @param programs the folder of job.py
 * @throws night-unknown, training-impossible where it has no lessons, disk-full, store-failed
 */
export async function writeJob(
  ledger: Ledger,
  id: NightId,
  to: { readonly folder: string; readonly programs: string; readonly config: Config },
): Promise<JobWritten> {
  const { folder, programs, config } = to;
  const { seed, base } = await ledger.read(id);
  const from = ledger.folderOf(id);
  const before = await readScenarioFile(from, 'scenarios');
  const { scenarios } = reviewed(before, await readReview(ledger, id));
  const holds = await readHolds(from);
  if (scenarios.length === 0 || holds.length === 0 || (await hasLearntWithheld(from))) {
    const message = `${id} has no lessons, or nothing that is held beside them, or some were taken back since.`;
    throw new AttuneError('training-impossible', message, { night: id });
  }
  const { epochsMax, batchSize, replyTokensMax } = config.train;
  const steps = Math.ceil((scenarios.length * epochsMax) / batchSize);
  const lessons = textOf(scenarios);
  const ops = systemFileOps;
  await ops.makeFolder(folder);
  await writeFileAtomic(join(folder, 'lessons.jsonl'), lessons, ops);
  await writeFileAtomic(join(folder, 'holds.jsonl'), printScenarios(holds), ops);
  for (const [name, source] of Object.entries(COPIED)) {
    const bytes = await readFileBounded(join(programs, source));
    if (bytes === undefined) throw new Error(`${source} is not in ${programs}`);
    await writeFileAtomic(join(folder, name), bytes, ops);
  }
  await writeJsonAtomic(join(folder, JOB), {
    ...{ schema: 1, night: id, base, lessons: sha256(lessons), seed },
    steps: Math.min(config.night.stepsMax, steps),
    ...{ batch: Math.max(2, batchSize), kl: KL, rank: RANK, replyTokens: replyTokensMax },
  } satisfies z.infer<typeof jobSchema>);
  return { folder, lessons: scenarios.length, holds: holds.length };
}

/**
 * Whether the job in this folder was trained on these lessons of this night.
 * @returns why it was not
 */
export async function strangerIn(
  folder: string,
  { id, base, lessons }: { id: NightId; base: string; lessons: readonly Scenario[] },
): Promise<string | undefined> {
  const job = await readJsonBounded(join(folder, JOB), jobSchema).catch(() => undefined);
  if (job === undefined) return `there is no job in ${folder}`;
  if (job.night !== id || job.base !== base) return `the job in ${folder} is of ${job.night}`;
  const isSame = job.lessons === sha256(textOf(lessons));
  return isSame ? undefined : 'its lessons were changed since the job was written: write it again';
}
