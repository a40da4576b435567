// A night from its gathered moments to the committed folder, phase by phase; runs in the night's
// own process and knows nothing of sockets, the log or the chat.
import { join } from 'node:path';
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { type Folder, systemFileOps } from '../base/file-ops.ts';
import { sha256, sha256Json } from '../base/hash.ts';
import { installedVersion } from '../config/load.ts';
import { openLedger } from '../ledger/ledger.ts';
import type { Manifest } from '../ledger/manifest.ts';
import type { Model } from '../model/model.ts';
import { FILE, NIGHT_FILES, readScenarioFile, WORK } from '../record/files.ts';
import { type Journal, openJournal, type PhaseName } from '../record/journal.ts';
import type { NightPlan, Progress } from '../record/message.ts';
import {
  admittedSchema,
  dreamtSchema,
  measuredSchema,
  type Trained,
  trainedSchema,
  type Verdict,
  verdictSchema,
} from '../record/phase-result.ts';
import type { Executor } from '../runtime/executor.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { ChatPriority } from './chat-priority.ts';
import { admitNight, dreamNight } from './dreaming.ts';
import { gateNight, measureNight } from './evidence.ts';
import { takeTrained } from './imported.ts';
import { nightEngine } from './night-engine.ts';
import type { Night, Tell } from './phase.ts';
import { trainNight } from './training.ts';

export interface WorkOptions {
  readonly plan: NightPlan;
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  /** For training and measuring. */
  readonly executor: Executor;
  readonly clock: Clock;
  readonly priority: ChatPriority;
  readonly report: (progress: Progress) => void;
}

const nothing = z.null();

/** Runs what is left of a night. @throws night-failed, training-diverged, disk-full … */
export async function work(options: WorkOptions, ops = systemFileOps): Promise<Manifest> {
  const { plan, clock, executor } = options;
  const ledger = await openLedger(plan.ledgerFolder, { base: plan.base, files: NIGHT_FILES, ops });
  const folder = await ledger.building(plan.night);
  const journal = await openJournal(folder, clock);
  try {
    const { trained, verdict } = await runPhases({ plan, folder }, journal, options);
    await ops.removeTree(join(folder.path, WORK));
    const scenarios = await readScenarioFile(folder, 'scenarios');
    // Windows renames no folder in which a file is open.
    await journal.close();
    const manifest = await ledger.commit({
      ...identityOf(plan),
      software: await software(executor),
      data: scenarios.map(datumOf),
      delta: trained === null ? null : deltaOf(trained),
      gate: verdict,
      endedAt: new Date(clock.now()).toISOString(),
    });
    await noteCommit(ledger.folderOf(plan.night), clock);
    return manifest;
  } finally {
    await journal.close();
  }
}

/** Each phase that the journal does not have; nothing is trained where nothing was admitted. */
async function runPhases(
  night: Night,
  journal: Journal,
  { model, tokenizer, executor, clock, priority, report }: WorkOptions,
): Promise<{ trained: Trained | null; verdict: Verdict | null }> {
  const withEngine = nightEngine(night.plan, model);
  const tell =
    (phase: PhaseName): Tell =>
    (done, total, facts = {}) =>
      report({ type: 'progress', phase, done, total, facts });
  // Rehearsals come first, and take a while.
  tell('dream')(0, 1);
  await journal.phase('dream', dreamtSchema, () =>
    dreamNight(night, { withEngine, tokenizer, clock, priority }, tell('dream')),
  );
  const admitted = await journal.phase('admit', admittedSchema, () =>
    admitNight(night, { withEngine, tokenizer, clock, priority }, tell('admit')),
  );
  const { job, config } = night.plan;
  const hasWork = admitted.training > 0 && (job ?? config.train.device) !== 'elsewhere';
  const tools = { model, tokenizer, executor, priority };
  const trained = await journal.phase('train', trainedSchema.or(nothing), async () =>
    hasWork ? trainedBy(job)(night, tools, tell('train')) : null,
  );
  await journal.phase('measure', measuredSchema.or(nothing), async () =>
    trained === null ? null : measureNight(night, { ...tools, withEngine }, tell('measure')),
  );
  const verdict = await journal.phase('gate', verdictSchema.or(nothing), async () =>
    trained === null ? null : gateNight(night, trained),
  );
  return { trained, verdict };
}

const trainedBy = (job: string | undefined): typeof trainNight =>
  job === undefined ? trainNight : (night, tools) => takeTrained(night, job, tools);

/** The journal moved with its folder; the daemon goes on in it. */
async function noteCommit(folder: Folder, clock: Clock): Promise<void> {
  const journal = await openJournal(folder, clock);
  await journal.phase('commit', nothing, async () => null).finally(() => journal.close());
}

function identityOf(plan: NightPlan) {
  const { night, number, day, base, encoding, parent, inForce, seed, startedAt, review } = plan;
  const identity = { night, number, day, base, encoding, parent, inForce, seed, startedAt };
  return { ...identity, config: plan.configHash, ...(review === undefined ? {} : { review }) };
}

function deltaOf({ deltaHash, relativeNorm, steps }: Trained): NonNullable<Manifest['delta']> {
  return { file: FILE.delta, hash: deltaHash, relativeNorm, steps };
}

function datumOf(scenario: Scenario): Manifest['data'][number] {
  return { source: sha256(scenario.source.cluster), scenario: sha256Json(scenario) };
}

/** Versions of what made a night. */
async function software(executor: Executor): Promise<Record<string, string>> {
  return {
    attune: await installedVersion(),
    node: process.version,
    executor: `${executor.name} on ${executor.device}`,
    platform: `${process.platform} ${process.arch}`,
  };
}
