// The dream and admit phases of a night: what the model wrote, and which of it may train.
import type { Clock } from '../base/clock.ts';
import { createRandom } from '../base/random.ts';
import type { Config } from '../config/schema.ts';
import { admit, scenarioOfDraft, TOO_EASY, wordsOf } from '../dream/admit.ts';
import { dream } from '../dream/dream.ts';
import { echoes } from '../dream/echo.ts';
import { createCopyCheck } from '../dream/near-copy.ts';
import { rehearse } from '../dream/rehearse.ts';
import { createWriter, type Writer, type WriterOptions } from '../dream/writer.ts';
import { mean } from '../measure/statistics.ts';
import { readPrompts } from '../prompt/prompt.ts';
import {
  readDrafts,
  readFlagged,
  readGists,
  readScenarioFile,
  writeDrafts,
  writeScenarios,
} from '../record/files.ts';
import { measuresForgetting, scenarioOf } from '../record/moment.ts';
import { type Admitted, counted, type Dreamt } from '../record/phase-result.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { ChatPriority } from './chat-priority.ts';
import type { WithEngine } from './night-engine.ts';
import type { Night, Tell } from './phase.ts';
import { readSuite } from './suite.ts';

export interface DreamTools {
  readonly withEngine: WithEngine;
  readonly tokenizer: Tokenizer;
  readonly clock: Clock;
  readonly priority: ChatPriority;
}

/** Of the night's tokens and minutes, what its rehearsals may take. */
const REHEARSAL_SHARE = 0.25;

/** Writes `dreams.jsonl`: every draft, judged later. */
export async function dreamNight(
  { plan, folder }: Night,
  { withEngine, tokenizer, clock, priority }: DreamTools,
  tell: Tell,
): Promise<Dreamt> {
  const { dreamsMax, tokensMax, minutesMax } = plan.config.night;
  const prompts = await readPrompts(plan.promptsFolder);
  const flagged = (await readFlagged(folder)).filter((moment) => !moment.isHeldBack);
  const gists = await readGists(folder);
  if (dreamsMax === 0 || (flagged.length === 0 && gists.length === 0)) {
    await writeDrafts(folder, []);
    return {
      written: [],
      failed: [],
      rehearsals: 0,
      tokens: 0,
      stop: 'nothing to dream of',
      prompts: prompts.hash,
    };
  }
  const settings = plan.config.dream;
  const random = createRandom(plan.seed);
  const { dreamt, rehearsed } = await withEngine(async (engine) => {
    const turn = (): Promise<void> => priority.pauseWhileBusy();
    const common = { engine, tokenizer, clock, signal: priority.signal, turn };
    const writer = rehearsalWriter(common, plan.config);
    const rehearsed = await rehearse({
      writer,
      random: random.split('rehearsal'),
      talks: settings.rehearsalTalks,
      batchSize: settings.batchSize,
    });
    const dreamt = await dream({
      ...common,
      prompts,
      settings,
      flagged,
      gists,
      budget: { dreamsMax, tokensMax: tokensMax - writer.tokens, minutesMax },
      random: random.split('dream'),
      onProgress: (written, planned) => tell(written, planned),
    });
    return { dreamt: { ...dreamt, tokens: dreamt.tokens + writer.tokens }, rehearsed };
  });
  const learnable = (await readScenarioFile(folder, 'everyday')).filter(
    (turn) => !measuresForgetting(turn),
  );
  const drafts = [...dreamt.drafts, ...echoes(learnable, settings.echoes, random.split('echoes'))];
  await writeScenarios(folder, 'rehearsal', rehearsed);
  await writeDrafts(folder, drafts);
  return {
    written: counted(drafts.map(({ kind }) => kind)),
    failed: counted(dreamt.failed.map(({ reason }) => reason)),
    rehearsals: rehearsed.length,
    tokens: dreamt.tokens,
    stop: dreamt.stop,
    prompts: prompts.hash,
  };
}

/** Writes what the model says, with nothing made likelier. */
function rehearsalWriter(
  common: Omit<WriterOptions, 'budget' | 'temperature' | 'topP' | 'contextTokensMax'>,
  { night, dream: { contextTokensMax } }: Pick<Config, 'night' | 'dream'>,
): Writer {
  const budget = {
    tokensMax: night.tokensMax * REHEARSAL_SHARE,
    minutesMax: night.minutesMax * REHEARSAL_SHARE,
  };
  return createWriter({ ...common, budget, temperature: 1, topP: 1, contextTokensMax });
}

/** Writes `scenarios.jsonl`, everything that trains, and `easy.jsonl`, what is held as it is. */
export async function admitNight(
  { plan, folder }: Night,
  { withEngine, tokenizer, priority }: Omit<DreamTools, 'clock'>,
  tell: Tell,
): Promise<Admitted> {
  const moments = await readFlagged(folder);
  const training = moments.filter((moment) => !moment.isHeldBack);
  const flags = training.flatMap((moment) => scenarioOf(moment) ?? []);
  const drafts = await readDrafts(folder);
  const tests = await readSuite(plan.suiteFolder);
  const isTestCopy = createCopyCheck(tests.map(wordsOf), plan.config.dream.nearCopyMax);
  let judged = 0;
  const { dreams, refused } =
    drafts.length === 0
      ? { dreams: [], refused: [] }
      : await withEngine((engine) =>
          admit(drafts, {
            engine,
            tokenizer,
            settings: plan.config.dream,
            isTestCopy,
            signal: priority.signal,
            async beforeEach() {
              await priority.pauseWhileBusy();
              tell(judged++, drafts.length);
            },
          }),
        );
  const easy = refused.filter(({ reason }) => reason === TOO_EASY);
  await writeScenarios(
    folder,
    'easy',
    easy.map(({ draft }) => scenarioOfDraft(draft)),
  );
  await writeScenarios(folder, 'scenarios', [...flags, ...dreams.map(({ scenario }) => scenario)]);
  const open = training.length - flags.length;
  const sampled = dreams.map(({ draft }) => draft.sampledShare);
  return {
    admitted: counted(dreams.map(({ scenario }) => scenario.kind)),
    refused: counted([
      ...refused.map(({ reason }) => reason),
      ...new Array<string>(open).fill('a flag without a listening reply'),
    ]),
    training: flags.length + dreams.length,
    flags: flags.length,
    heldBack: moments.length - training.length,
    sampledShare: sampled.length === 0 ? null : mean(sampled),
  };
}
