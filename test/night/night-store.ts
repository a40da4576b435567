// The store of one person on a disk in memory, with what a test of nights says, flags and commits.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../../src/base/atomic-file.ts';
import type { Folder } from '../../src/base/file-ops.ts';
import { sha256 } from '../../src/base/hash.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Config, ConfigPatch } from '../../src/config/schema.ts';
import { foreignReply, type LogRecord } from '../../src/conversation/record.ts';
import type { Draft } from '../../src/dream/draft.ts';
import type { Manifest } from '../../src/ledger/manifest.ts';
import type { Remembered } from '../../src/memory/memory.ts';
import { type DeltaContent, writeDelta } from '../../src/model/delta.ts';
import type { PlanParts } from '../../src/night/prepare.ts';
import type { ConversationSettings } from '../../src/protocol/conversation.ts';
import { FlagDraft } from '../../src/protocol/flag.ts';
import { resolveSampling } from '../../src/protocol/sampling.ts';
import {
  FILE,
  writeDrafts,
  writeFlagged,
  writeGists,
  writeScenarios,
} from '../../src/record/files.ts';
import { openJournal } from '../../src/record/journal.ts';
import { admittedSchema, dreamtSchema, gatheredSchema } from '../../src/record/phase-result.ts';
import type { FlaggedMoment } from '../../src/scenario/moment.ts';
import type { Scenario } from '../../src/scenario/scenario.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { createFakeClock, type FakeClock } from '../fakes/fake-clock.ts';
import { MemoryDisk } from '../fakes/memory-disk.ts';

export const BASE = sha256('a base model');
const ENCODING = sha256('a tokenizer and a template');
/** When the tests begin, ms since 1970. */
export const NOW = Date.parse('2026-03-03T23:00:00Z');
const PATHS = { modelDir: '/m', cacheDir: '/c', suiteFolder: '/s', promptsFolder: '/p' };
/** What a real night measured. */
const MEASURES = join(
  import.meta.dirname,
  '../fixtures/store/2026-11-22/ledger/nights/n0002-2026-11-21/measures.json',
);

export interface NightStore {
  readonly store: Store;
  /** The store lies in `/store`. */
  readonly disk: MemoryDisk;
  readonly config: Config;
  readonly clock: FakeClock;
  /** What a plan is made from. */
  readonly plan: PlanParts;
}

/** @param disk that of an earlier opening; an empty one by default */
export async function openNightStore(
  options: ConfigPatch = {},
  disk: MemoryDisk = new MemoryDisk(),
): Promise<NightStore> {
  const { config } = await loadConfig({
    options: { ...options, night: { timeZone: 'UTC', ...options.night } },
  });
  const clock = createFakeClock(NOW);
  const store = await openStore('/store', {
    memory: config.memory,
    limits: config.server.limits,
    clock,
    logger: silentLogger,
    base: BASE,
    ops: disk,
  });
  const sampling = resolveSampling([config.chat.sampling]);
  const { ledger } = store;
  const plan = { ledger, encoding: ENCODING, config, sampling, paths: PATHS, clock };
  return { store, disk, config, clock, plan };
}

/** A conversation of one turn, a flag on its reply where `better` is given. */
export async function converse(
  { conversations, flags }: Store,
  id: string,
  {
    said,
    better,
    at = NOW,
    settings = {},
  }: {
    readonly said: string;
    readonly better?: string;
    readonly at?: number;
    readonly settings?: ConversationSettings;
  },
): Promise<void> {
  const turn: LogRecord[] = [
    { type: 'message', id: `${id}-m`, at, text: said },
    foreignReply({ id: `${id}-r`, messageId: `${id}-m`, at, text: 'How about the opera?' }),
  ];
  const rest = { origin: 'live', title: '', settings, canLearn: true, at } as const;
  await conversations.create({ type: 'conversation', schemaVersion: 1, id, ...rest }, turn);
  if (better === undefined) return;
  const draft = { id: `flag-${id}`, conversationId: id, replyId: `${id}-r`, betterWords: better };
  await flags.add(FlagDraft.parse(draft), await conversations.read(id));
}

export interface CommittedNight {
  readonly passed?: boolean;
  /** It offers itself for a trial. */
  readonly isOffered?: boolean;
  /** False: there was nothing to learn. */
  readonly hasDelta?: boolean;
  /** Of the delta. */
  readonly tensors?: DeltaContent['tensors'];
  readonly flagged?: readonly FlaggedMoment[];
  readonly scenarios?: readonly Scenario[];
  readonly everyday?: readonly Scenario[];
  readonly gists?: readonly Remembered[];
  readonly drafts?: readonly Draft[];
  readonly review?: Manifest['review'];
  /** By default what is in force now. */
  readonly inForce?: readonly string[];
}

/** What a night's process leaves, committed. */
export async function commitNight(
  { ledger }: Pick<Store, 'ledger'>,
  options: CommittedNight = {},
): Promise<Manifest> {
  const { passed = true, isOffered = false, hasDelta = true, review } = options;
  const { flagged = [], scenarios = [] } = options;
  const { inForce = ledger.head().inForce, everyday = [], gists = [], drafts = [] } = options;
  const { number, parent } = await ledger.next();
  const night = `n000${number}-2026-03-03`;
  const folder = await ledger.building(night);
  const { path, ops } = folder;
  const data = scenarios.map(({ id, source }) => ({
    source: sha256(source.cluster),
    scenario: sha256(id),
  }));
  const at = new Date(NOW).toISOString();
  await writeFlagged(folder, flagged);
  await writeGists(folder, gists);
  await writeDrafts(folder, drafts);
  await writeScenarios(folder, 'everyday', everyday);
  await writeScenarios(folder, 'scenarios', scenarios);
  await writeJournal(folder, scenarios.length);
  const small = { 'layers.0.qProj': { shape: [2, 1], data: Float32Array.of(number, 1) } };
  const { tensors = small } = options;
  const hash = hasDelta
    ? await writeDelta(join(path, FILE.delta), { baseHash: ledger.base, tensors }, ops)
    : '';
  await writeFileAtomic(join(path, FILE.measures), await readFile(MEASURES, 'utf8'), ops);
  return ledger.commit({
    ...{ night, number, day: '2026-03-03', base: ledger.base, parent, seed: 7, data },
    ...{ inForce: [...inForce], config: sha256('config'), software: {} },
    ...{ startedAt: at, endedAt: at },
    gate: { passed, reasons: reasons(passed), ...(isOffered ? { offered: true } : {}) },
    delta: hasDelta ? { file: FILE.delta, hash, relativeNorm: 0.01, steps: 3 } : null,
    ...(review === undefined ? {} : { review }),
  });
}

const reasons = (passes: boolean) => [{ rule: 'margin', passes, text: '0.1 gained, 0.05 needed' }];

/** Up to the training. */
async function writeJournal(folder: Folder, training: number): Promise<void> {
  const journal = await openJournal(folder, createFakeClock(NOW));
  const counts = { flagged: 0, heldBack: 0, everyday: 0, replies: 9, flagsNew: 0 };
  await journal.phase('gather', gatheredSchema, async () => counts);
  const written = { written: [], failed: [], tokens: 5, stop: 'enough', prompts: 'p' };
  await journal.phase('dream', dreamtSchema, async () => ({ ...written, rehearsals: 0 }));
  const refused = [{ name: 'too easy', count: 4 }];
  const rest = { training, teachers: [], holds: 0, flags: 0, heldBack: 0, sampledShare: null };
  await journal.phase('admit', admittedSchema, async () => ({ admitted: [], refused, ...rest }));
  await journal.close();
}
