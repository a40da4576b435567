// A night from its gathered moments to the committed folder, phase by phase; runs in the night's
// own process and knows nothing of sockets, the log or the chat.
import { join } from 'node:path';
import { z } from 'zod';
import { writeJsonAtomic } from '../base/atomic-file.ts';
import type { Clock } from '../base/clock.ts';
import { type Folder, systemFileOps } from '../base/file-ops.ts';
import { sha256, sha256Json } from '../base/hash.ts';
import { openLedger } from '../ledger/ledger.ts';
import type { Manifest } from '../ledger/manifest.ts';
import type { Model } from '../model/model.ts';
import { FILE, NIGHT_FILES, readScenarioFile, WORK } from '../record/files.ts';
import { openJournal, type PhaseName } from '../record/journal.ts';
import type { NightPlan, Progress } from '../record/message.ts';
import { measuresForgetting } from '../record/moment.ts';
import {
  admittedSchema,
  dreamtSchema,
  measuredSchema,
  type Trained,
  trainedSchema,
  verdictSchema,
} from '../record/phase-result.ts';
import type { Executor } from '../runtime/executor.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Courtesy } from './courtesy.ts';
import { admitNight, dreamNight } from './dreaming.ts';
import { gateNight, measureNight } from './evidence.ts';
import { software } from './software.ts';
import { trainArm } from './training.ts';

export interface WorkParts {
  readonly plan: NightPlan;
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  /** For training and measuring. */
  readonly executor: Executor;
  readonly clock: Clock;
  readonly courtesy: Courtesy;
  readonly signal: AbortSignal;
  readonly report: (progress: Progress) => void;
}

const nothing = z.null();

/** Runs what is left of a night. @throws night-failed, training-diverged, disk-full … */
export async function work(parts: WorkParts, ops = systemFileOps): Promise<Manifest> {
  const { plan, clock } = parts;
  const ledger = await openLedger(plan.ledgerFolder, { base: plan.base, files: NIGHT_FILES, ops });
  const folder = await ledger.building(plan.night);
  const journal = await openJournal(folder, clock);
  const tell =
    (phase: PhaseName) =>
    (done: number, total: number | null, facts = {}) =>
      parts.report({ type: 'progress', phase, done, total, facts });
  try {
    const inFolder = { ...parts, folder };
    await journal.phase('dream', dreamtSchema, () => dreamNight(inFolder, tell('dream')));
    const admitted = await journal.phase('admit', admittedSchema, () =>
      admitNight(inFolder, tell('admit')),
    );
    const hasWork = admitted.training > 0;
    const trained = await journal.phase('train', trainedSchema.or(nothing), () =>
      hasWork ? trainNight(inFolder, tell('train')) : Promise.resolve(null),
    );
    const measured = await journal.phase('measure', measuredSchema.or(nothing), () =>
      trained === null ? Promise.resolve(null) : measureNight(inFolder, trained, tell('measure')),
    );
    const verdict = await journal.phase('gate', verdictSchema.or(nothing), () =>
      trained === null || measured === null ? Promise.resolve(null) : gateNight(inFolder, trained),
    );
    await ops.removeTree(join(folder.path, WORK));
    const scenarios = await readScenarioFile(folder, 'scenarios');
    // Windows renames no folder in which a file is open.
    await journal.close();
    const manifest = await ledger.commit({
      ...identityOf(plan),
      software: software(parts),
      data: scenarios.map(datumOf),
      delta:
        trained === null
          ? null
          : {
              file: FILE.delta,
              hash: trained.deltaHash,
              relativeNorm: trained.relativeNorm,
              steps: trained.steps,
            },
      gate: verdict,
      endedAt: new Date(clock.now()).toISOString(),
    });
    await noteCommit(ledger.folderOf(plan.night), clock);
    return manifest;
  } finally {
    await journal.close();
  }
}

/** The journal moved with its folder; the daemon goes on in it. */
async function noteCommit(folder: Folder, clock: Clock): Promise<void> {
  const journal = await openJournal(folder, clock);
  await journal.phase('commit', nothing, async () => null).finally(() => journal.close());
}

function identityOf(plan: NightPlan) {
  const { night, number, day, base, parent, inForce, seed, startedAt, review } = plan;
  const identity = { night, number, day, base, parent, inForce, seed, startedAt };
  return { ...identity, config: plan.configHash, ...(review === undefined ? {} : { review }) };
}

function datumOf(scenario: Scenario): Manifest['data'][number] {
  return { source: sha256(scenario.source.cluster), scenario: sha256Json(scenario) };
}

type Tell = (done: number, total: number | null, facts?: Record<string, number>) => void;

async function trainNight(parts: WorkParts & { folder: Folder }, tell: Tell): Promise<Trained> {
  const { folder, plan } = parts;
  const scenarios = await readScenarioFile(folder, 'scenarios');
  // Half of the talks' own turns, what the model says when nobody asks, and what it does well.
  const everyday = await readScenarioFile(folder, 'everyday');
  const rehearsal = await readScenarioFile(folder, 'rehearsal');
  const easy = await readScenarioFile(folder, 'easy');
  const own = everyday.filter((turn) => !measuresForgetting(turn));
  const replays = [...own, ...rehearsal, ...easy];
  const hasDeaf = plan.config.measure.hasPlacebo;
  const arms = hasDeaf ? 2 : 1;
  const onStep = (arm: number) => (record: { step: number; steps: number; terms: object }) =>
    tell(arm * record.steps + record.step, arms * record.steps, {
      loss: (record.terms as { loss?: number }).loss ?? 0,
    });
  const input = { scenarios, replays };
  const real = await trainArm({ ...parts, onStep: onStep(0) }, input, 'real');
  const { result } = real;
  const placebo = { ...input, steps: Math.max(1, result.keptStep) };
  const deaf = hasDeaf
    ? await trainArm({ ...parts, onStep: onStep(1) }, placebo, 'deaf')
    : undefined;
  const { path, ops } = folder;
  const report = {
    refused: result.refused,
    heldOutMarginBefore: result.heldOutMarginBefore ?? null,
    heldOutMargin: result.heldOutMargin ?? null,
  };
  await writeJsonAtomic(join(path, FILE.training), report, ops);
  return {
    deltaHash: real.deltaHash,
    deafHash: deaf?.deltaHash ?? null,
    steps: result.steps,
    tokens: result.tokens + (deaf?.result.tokens ?? 0),
    seconds: result.seconds + (deaf?.result.seconds ?? 0),
    stop: result.stop,
    relativeNorm: result.movedShare,
    deafRelativeNorm: deaf?.result.movedShare ?? null,
    sources: result.sources,
    examples: scenarios.length,
    refused: result.refused.length,
    memoryBytes: process.memoryUsage().rss,
  };
}
