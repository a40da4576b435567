// A night trained again as the person changed its dreams, or without what they took back since: the
// same moments, the same seed, no new dreams; from where it trains it is a night like any other.
import { join } from 'node:path';
import { readFileBounded, writeFileAtomic } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import type { Folder } from '../base/file-ops.ts';
import { hasLearntWithheld, readReview } from '../ledger/deletion.ts';
import type { NightId } from '../ledger/manifest.ts';
import { reviewed } from '../morning/review.ts';
import {
  FILE,
  readDrafts,
  readFlagged,
  readScenarioFile,
  writeScenarios,
} from '../record/files.ts';
import { openJournal, resultOf } from '../record/journal.ts';
import {
  type Admitted,
  admittedSchema,
  counted,
  countFlags,
  dreamtSchema,
  gatheredSchema,
} from '../record/phase-result.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { strangerIn } from './job.ts';
import { type PlanParts, type PreparedNight, planNext, writePlan } from './prepare.ts';

const COPIED = [FILE.flagged, FILE.everyday, FILE.gists, FILE.dreams];

/**
 * Makes the folder of the night that trains `id` again, or that takes what a job has trained.
 * One that has learnt from what was taken back may be active, and below others: it is trained
 * from the weights of the others.
 * @throws night-unknown, review-refused when nothing was changed, the night is decided, other
 * weights are active by now, or its texts were deleted; night-squashed
 */
export async function beginAgain(
  id: NightId,
  parts: PlanParts,
  job?: string,
): Promise<PreparedNight> {
  const { ledger, clock } = parts;
  const manifest = await ledger.read(id);
  const refuse = (why: string): never => {
    throw new AttuneError('review-refused', `${id} cannot be trained again: ${why}.`, { id });
  };
  const status = ledger.statusOf(manifest);
  const from = ledger.folderOf(id);
  const isWithheld = await hasLearntWithheld(from);
  const more = [...(isWithheld ? ['in-force'] : []), ...(job === undefined ? [] : ['empty'])];
  const statuses = ['waiting', 'refused', 'rejected', ...more];
  if (!statuses.includes(status)) refuse(`it is ${status}`);
  if (!isWithheld && manifest.inForce.join() !== ledger.head().inForce.join())
    refuse('other weights became active since');
  const before = await readScenarioFile(from, 'scenarios');
  const withheld = manifest.data.length - before.length;
  if (withheld > 0 && !isWithheld) refuse('texts of it were deleted');
  await readFlagged(from).catch(() => refuse('texts of it were deleted'));
  const { scenarios, dropped, reworded } = reviewed(before, await readReview(ledger, id));
  const isChanged = dropped + reworded > 0 || isWithheld || job !== undefined;
  if (!isChanged) refuse('nothing of it was dropped or reworded');
  const { base } = ledger;
  const why =
    job === undefined ? undefined : await strangerIn(job, { id, base, lessons: scenarios });
  if (why !== undefined) refuse(why);
  if (scenarios.length === 0) refuse('nothing of it is left to train on');

  const review = { of: id, dropped, reworded, ...(isWithheld ? { withheld } : {}) };
  // The same draws as before, so that only the person's changes differ.
  const own = { seed: manifest.seed, ...(job !== undefined && { job }) };
  const plan = { ...(await planNext(parts, review)), ...own };
  const folder = await ledger.building(plan.night);
  for (const name of COPIED) {
    const bytes = await readFileBounded(join(from.path, name), { ops: from.ops });
    if (bytes === undefined) return refuse('texts of it were deleted');
    await writeFileAtomic(join(folder.path, name), bytes, folder.ops);
  }
  // Nights before there were rehearsals have none of them.
  for (const file of ['rehearsal', 'holds'] as const) {
    await writeScenarios(folder, file, await readScenarioFile(from, file));
  }
  await writeScenarios(folder, 'scenarios', scenarios);
  await copyLines(from, folder, { clock, scenarios, dropped, withheld });
  return writePlan(plan, folder);
}

/** Gathering, dreaming and admission have their lines. */
async function copyLines(
  from: Folder,
  to: Folder,
  { clock, ...left }: Omit<Left, 'share'> & Pick<PlanParts, 'clock'>,
): Promise<void> {
  const earlier = await openJournal(from, clock);
  const journal = await openJournal(to, clock);
  try {
    const { lines } = earlier;
    const admitted = admittedSchema.parse(resultOf(lines, 'admit'));
    const drafts = new Map((await readDrafts(to)).map((draft) => [draft.id, draft]));
    const share = (one: Scenario): number => drafts.get(one.id)?.sampledShare ?? 0;
    const gathered = gatheredSchema.parse(resultOf(lines, 'gather'));
    await journal.phase('gather', gatheredSchema, async () => gathered);
    const dreamt = dreamtSchema.parse(resultOf(lines, 'dream'));
    await journal.phase('dream', dreamtSchema, async () => dreamt);
    await journal.phase('admit', admittedSchema, async () =>
      admittedNow(admitted, { ...left, share }),
    );
  } finally {
    await earlier.close();
    await journal.close();
  }
}

interface Left {
  readonly scenarios: readonly Scenario[];
  readonly dropped: number;
  readonly withheld: number;
  readonly share: (scenario: Scenario) => number;
}

function admittedNow(admitted: Admitted, { scenarios, dropped, withheld, share }: Left): Admitted {
  const dreams = scenarios.filter(({ source }) => source.origin === 'dream');
  const sampled = dreams.reduce((sum, one) => sum + share(one), 0);
  return {
    ...admitted,
    admitted: counted(dreams.map(({ kind }) => kind)),
    refused: [
      ...admitted.refused,
      ...(dropped === 0 ? [] : [{ name: 'dropped by the person', count: dropped }]),
      ...(withheld === 0 ? [] : [{ name: 'taken back by the person', count: withheld }]),
    ],
    training: scenarios.length,
    flags: countFlags(scenarios),
    sampledShare: dreams.length === 0 ? null : sampled / dreams.length,
  };
}
