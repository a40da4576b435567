// The dream and admit phases of a night: what the model wrote, and who teaches which of it.

import { groupBy } from '../base/at.ts';
import type { Clock } from '../base/clock.ts';
import { eachAtOnce } from '../base/each.ts';
import { isAttuneError } from '../base/errors.ts';
import { createRandom } from '../base/random.ts';
import type { Config } from '../config/schema.ts';
import type { Draft } from '../dream/draft.ts';
import { dream } from '../dream/dream.ts';
import { echoes } from '../dream/echo.ts';
import { createMaterialWriter } from '../dream/material.ts';
import { createCopyCheck } from '../dream/near-copy.ts';
import { rehearse } from '../dream/rehearse.ts';
import { createWriter, type Writer, type WriterOptions } from '../dream/writer.ts';
import { mean } from '../measure/statistics.ts';
import { type PromptFolder, readPrompts } from '../prompt/prompt.ts';
import { GREEDY } from '../protocol/sampling.ts';
import { answer } from '../reading/answer.ts';
import {
  readDrafts,
  readFlagged,
  readGists,
  readScenarioFile,
  writeDrafts,
  writeScenarios,
} from '../record/files.ts';
import type { NightPlan } from '../record/message.ts';
import { type Admitted, counted, countFlags, type Dreamt } from '../record/phase-result.ts';
import { type FlaggedMoment, measuresForgetting, scenarioOf } from '../scenario/moment.ts';
import { parseScenario, type Scenario } from '../scenario/scenario.ts';
import { type Candidate, hold, NOT_TAUGHT, type TeachOptions, teachSides } from '../teach/teach.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { ChatPriority } from './chat-priority.ts';
import { judgeTexts, readJudges, wordsOf } from './judges.ts';
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
/** Prompt and what is written together. */
const contextTokensMax = 1024;

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
    const { signal } = priority;
    const common = { engine, tokenizer, clock, signal, turn, contextTokensMax };
    const writer = rehearsalWriter(common, plan.config);
    const rehearsed = await rehearse({
      writer,
      random: random.split('rehearsal'),
      conversations: settings.rehearsalTalks,
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
  common: Omit<WriterOptions, 'budget' | 'temperature' | 'topP'>,
  { night }: Pick<Config, 'night'>,
): Writer {
  const budget = {
    tokensMax: night.tokensMax * REHEARSAL_SHARE,
    minutesMax: night.minutesMax * REHEARSAL_SHARE,
  };
  return createWriter({ ...common, budget, temperature: 1, topP: 1 });
}

/** At which a teacher draws another reply. */
const DRAW_TEMPERATURE = 0.8;

/** Finds teachers. Writes `scenarios.jsonl`, the lessons, and `holds.jsonl`, what stays as it is. */
export async function admitNight(
  { plan, folder }: Night,
  { withEngine, tokenizer, clock, priority }: DreamTools,
  tell: Tell,
): Promise<Admitted> {
  const flagged = await readFlagged(folder);
  const training = flagged.filter((moment) => !moment.isHeldBack);
  const drafts = await readDrafts(folder);
  const tests = (await readSuite(plan.suiteFolder)).map(wordsOf);
  const judges = judgeTexts(await readJudges({ plan, folder }));
  const isTestCopy = createCopyCheck([...tests, ...judges], plan.config.dream.nearCopyMax);
  const found = sorted(training, drafts, isTestCopy);
  const moments = withTwins(found.moments);
  const total = moments.length + found.holds.length;
  let done = 0;
  const { taught, held } = await withEngine(async (engine) => {
    const prompts = await readPrompts(plan.promptsFolder);
    const options = teachBy(plan, { engine, tokenizer, clock, priority }, prompts);
    const told = <T>(one: T): T => {
      tell(++done, total);
      return one;
    };
    // The engine batches what is asked at once.
    const atOnce = plan.config.dream.batchSize;
    return {
      taught: (
        await eachAtOnce(moments, atOnce, (one) => teachSides(one, options).then(told))
      ).flat(),
      held: await eachAtOnce(found.holds, atOnce, (one) => hold(one, options).then(told)),
    };
  });
  const lessons = taught.flatMap((one) => ('lesson' in one ? [one.lesson] : []));
  const good = training.flatMap((moment) =>
    moment.kind === 'good' ? (scenarioOf(moment) ?? []) : [],
  );
  const holds = [...good, ...held.filter((one) => one !== undefined)];
  await writeScenarios(folder, 'scenarios', lessons);
  await writeScenarios(folder, 'holds', holds);
  const dreams = lessons.filter(({ source }) => source.origin === 'dream');
  const share = new Map(drafts.map(({ id, sampledShare }) => [id, sampledShare]));
  const sampled = dreams.map(({ id }) => share.get(id) ?? 0);
  return {
    admitted: counted([...dreams, ...holds].map(({ kind }) => kind)),
    refused: counted([
      ...found.refused,
      ...taught.flatMap((one) => ('why' in one ? [one.why] : [])),
      ...held.flatMap((one) => (one === undefined ? [NOT_TAUGHT.broken] : [])),
    ]),
    training: lessons.length,
    teachers: counted(lessons.map(({ teacher }) => teacher?.way ?? '')),
    holds: holds.length,
    flags: countFlags(lessons),
    heldBack: flagged.length - training.length,
    sampledShare: sampled.length === 0 ? null : mean(sampled),
  };
}

/** Asks tonight's start. */
function teachBy(
  plan: NightPlan,
  parts: Omit<DreamTools, 'withEngine'> & Pick<WriterOptions, 'engine'>,
  prompts: PromptFolder,
): TeachOptions {
  const { engine, tokenizer, priority } = parts;
  const { signal } = priority;
  return {
    async say(messages, rendering, draw = 0) {
      await priority.pauseWhileBusy();
      // By the words alone: another flag more or fewer draws nothing else here.
      const seed = createRandom(`teacher:${plan.seed}`).split(JSON.stringify(messages)).split(draw);
      const sampling = draw === 0 ? GREEDY : { ...plan.sampling, temperature: DRAW_TEMPERATURE };
      return answer(
        { messages, rendering },
        {
          ...{ engine, tokenizer, signal, sampling: { ...sampling, seed: seed.uint32() } },
          replyTokensMax: plan.config.train.replyTokensMax,
        },
      );
    },
    others: othersBy(plan, { ...parts, signal, turn: () => priority.pauseWhileBusy() }, prompts),
  };
}

/** A longer first message is no situation that a list could follow. */
const SITUATION_CHARACTERS_MAX = 240;

/** The model itself lists what else could have been chosen; asked once for a conversation's thing. */
function othersBy(
  { seed, config: { night, dream } }: NightPlan,
  parts: Pick<WriterOptions, 'engine' | 'tokenizer' | 'clock' | 'signal' | 'turn'>,
  prompts: PromptFolder,
): NonNullable<TeachOptions['others']> {
  const { tokensMax, minutesMax } = night;
  const writer = createWriter({
    ...parts,
    ...{ contextTokensMax, budget: { tokensMax, minutesMax }, topP: 1 },
    temperature: dream.temperature,
  });
  const material = createMaterialWriter({ writer, prompts, retries: 0 });
  const known = new Map<string, Promise<readonly string[]>>();
  return ({ messages, source }, thing) => {
    const situation = messages.find(({ role }) => role === 'user')?.content ?? '';
    if (situation.length > SITUATION_CHARACTERS_MAX) return Promise.resolve([]);
    const key = JSON.stringify([source.cluster, situation, thing]);
    const random = createRandom(`others:${seed}`).split(key);
    const found =
      known.get(key) ??
      material.others({ random, key }, situation, thing).finally(() => writer.forget(key));
    known.set(key, found);
    return found;
  };
}

interface Sorted {
  readonly moments: readonly Candidate[];
  readonly holds: readonly Candidate[];
  readonly refused: readonly string[];
}

/** What may become a lesson, what is to be held, and why the rest is neither. */
function sorted(
  flags: readonly FlaggedMoment[],
  drafts: readonly Draft[],
  isTestCopy: (text: string) => boolean,
): Sorted {
  const moments = flags.flatMap((flag): Candidate[] => {
    const { kind, context, chosen: better, rejected: said, reason } = flag;
    if (kind !== 'missed') return [];
    return [{ scenario: parseScenario({ ...context, chosen: OPEN }), better, said, reason }];
  });
  const holds: Candidate[] = [];
  const refused: string[] = [];
  for (const draft of drafts) {
    const scenario = draft.problem === undefined ? contextOf(draft) : undefined;
    if (scenario === undefined) refused.push(draft.problem ?? 'it does not parse');
    else if (isTestCopy(wordsOf({ ...scenario, chosen: '' })))
      refused.push('a near-copy of a test conversation');
    else if (draft.kind === 'listen' && draft.role !== 'hold') moments.push({ scenario });
    else holds.push({ scenario });
  }
  return { moments, holds, refused };
}

/** Each moment alone, or with the other side of its pair. */
function withTwins(moments: readonly Candidate[]): Candidate[][] {
  const keyOf = ({ scenario: { id, pair } }: Candidate): string =>
    pair === undefined ? `moment ${id}` : `pair ${pair.id}`;
  return [...groupBy(moments, keyOf).values()];
}

/** In the place of a reply that is still to be found. */
const OPEN = '…';

function contextOf(draft: Draft): Scenario | undefined {
  const { id, kind, messages, spans, facts, pair, seed, angle } = draft;
  const source = { origin: 'dream', cluster: seed.cluster, domain: angle.domain };
  try {
    return parseScenario({ id, kind, messages, spans, facts, pair, source, chosen: OPEN }, id);
  } catch (error) {
    if (isAttuneError(error, 'scenario-invalid')) return undefined;
    throw error;
  }
}
