// A night under way on the small random model, phase by phase, without ledger or daemon.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemFileOps } from '../../src/base/file-ops.ts';
import { installationFolder } from '../../src/config/load.ts';
import { configSchema } from '../../src/config/schema.ts';
import { type Model, readModel } from '../../src/model/model.ts';
import { GREEDY } from '../../src/protocol/sampling.ts';
import { writeFlagged, writeGists, writeScenarios } from '../../src/record/files.ts';
import type { NightPlan } from '../../src/record/message.ts';
import type { Executor } from '../../src/runtime/executor.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { type FlaggedMoment, measuresForgetting } from '../../src/scenario/moment.ts';
import { parseScenario, type Scenario } from '../../src/scenario/scenario.ts';
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { ChatPriority } from '../../src/work/chat-priority.ts';
import type { Night } from '../../src/work/phase.ts';
import { writeSmallModel } from '../system/small-model.ts';
import { writeSuite } from '../system/small-suite.ts';

export interface SmallNight extends Night {
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  readonly executor: Executor;
  readonly abort: AbortController;
  readonly priority: ChatPriority;
  close(): Promise<void>;
}

const SMALL = {
  chat: { replyTokensMax: 8 },
  dream: { rehearsalTalks: 2, echoes: 8 },
  night: { dreamsMax: 4, tokensMax: 4_000 },
  train: { warmupSteps: 0, epochsMax: 1, batchSize: 2, checkpointSteps: 1 },
  measure: { pairs: 3, heldReplies: 8, resamples: 200 },
};

/** A missed moment of a talk of its own. */
export function moment(index: number, changes: Partial<FlaggedMoment> = {}): FlaggedMoment {
  const direction = `Rather wrap parcel ${index} for me.`;
  return {
    flagId: `flag-${index}`,
    strength: 2,
    isHeldBack: false,
    kind: 'missed',
    context: {
      id: `moment-${index}`,
      kind: 'listen',
      messages: [
        { role: 'user', content: 'What shall we take along tomorrow?' },
        { role: 'assistant', content: 'A vase would be lovely.' },
        { role: 'user', content: direction },
      ],
      spans: [{ feature: 'direction', message: 2, start: 0, end: direction.length }],
      source: { origin: 'flag', cluster: `talk-${index}`, domain: 'talk' },
    },
    chosen: `Wrapping parcel ${index} now.`,
    rejected: 'The vase it is.',
    ...changes,
  };
}

/** A turn in which the reply takes up what was named. */
export function everydayTurn(index: number, talk = `quiet-${index}`): Scenario {
  return parseScenario({
    id: `turn-${index}`,
    kind: 'ordinary',
    messages: [{ role: 'user', content: `The train leaves at ${(index % 11) + 1} pm from Bern.` }],
    chosen: `At ${(index % 11) + 1} pm from Bern, noted.`,
    source: { origin: 'log', cluster: talk, domain: 'talk' },
  });
}

/** Talks of which the given half is drawn: those that measure, or those that are replayed. */
export const talksThat = (measure: boolean, count: number): string[] =>
  Array.from({ length: 200 }, (_, i) => `talk-of-${i}`)
    .filter((talk) => measuresForgetting(everydayTurn(0, talk)) === measure)
    .slice(0, count);

export async function openSmallNight(
  changes: { readonly [Section in keyof typeof SMALL]?: object } = {},
): Promise<SmallNight> {
  const path = await mkdtemp(join(tmpdir(), 'attune-work-'));
  const modelDir = await writeSmallModel();
  const suiteFolder = join(path, 'suite');
  await writeSuite(suiteFolder);
  const cacheDir = join(path, 'cache');
  const [model, tokenizer, executor] = await Promise.all([
    readModel(modelDir, { cacheDir }),
    loadTokenizer(modelDir),
    createOnnxExecutor({ device: 'cpu', threads: 1 }),
  ]);
  const sections = Object.entries(SMALL).map(([name, section]) => [
    name,
    { ...section, ...changes[name as keyof typeof SMALL] },
  ]);
  const plan: NightPlan = {
    night: 'n0001-2026-11-22',
    number: 1,
    day: '2026-11-22',
    startedAt: '2026-11-22T02:30:00.000Z',
    ledgerFolder: path,
    modelDir,
    cacheDir,
    suiteFolder,
    promptsFolder: join(installationFolder, 'prompts'),
    base: model.baseHash,
    parent: null,
    inForce: [],
    deltas: [],
    passedNights: [],
    seed: 7,
    config: configSchema.parse(Object.fromEntries(sections)),
    sampling: GREEDY,
    configHash: 'hash',
  };
  const folder = { path, ops: systemFileOps };
  await writeFlagged(folder, []);
  await writeGists(folder, []);
  await writeScenarios(folder, 'everyday', []);
  const abort = new AbortController();
  return {
    ...{ plan, folder, model, tokenizer, executor, abort },
    priority: new ChatPriority(abort.signal),
    async close() {
      await executor.close();
      await rm(path, { recursive: true, force: true });
      await rm(modelDir, { recursive: true, force: true });
    },
  };
}
