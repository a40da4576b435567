// The measure and gate phases: what changed between the weights before and after, and whether to
// trust it. The numbers are made in `measure/`; here is what they are made of on a night.
import { join } from 'node:path';
import { writeJsonAtomic } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import type { Folder } from '../base/file-ops.ts';
import { attentionChanges } from '../measure/attention-change.ts';
import { listeningOf, scorePairs } from '../measure/crossed.ts';
import { decideGate } from '../measure/gate.ts';
import {
  type ChangedReply,
  type Checked,
  checkDrafts,
  type Draft,
  draftReplies,
  finishReplies,
  type ReplyOptions,
  replyChange,
} from '../measure/reply-change.ts';
import { perplexityRatios } from '../measure/retention.ts';
import { rankCorrelation } from '../measure/statistics.ts';
import { arraysOf, firstNonFinite, readDelta } from '../model/delta.ts';
import type { Model } from '../model/model.ts';
import { loadVersion, type WeightsVersion } from '../model/versions.ts';
import { isQProj } from '../model/weight-names.ts';
import { createReader, type Reader, type TrainableWeights } from '../reading/reader.ts';
import { render } from '../reading/render.ts';
import { FILE, PLACEBO_DELTA, readFlagged, readScenarioFile } from '../record/files.ts';
import {
  type Measured,
  type NightMeasures,
  readMeasures,
  type Trained,
  type Verdict,
  writeReplies,
} from '../record/phase-result.ts';
import type { Executor, Value } from '../runtime/executor.ts';
import { releaseAll, uploadAll } from '../runtime/host-tensor.ts';
import type { Example } from '../scenario/example.ts';
import type { FlaggedMoment } from '../scenario/moment.ts';
import { parseScenario, type Scenario } from '../scenario/scenario.ts';
import { type Probe, withServed } from '../swap/probe.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { ChatPriority } from './chat-priority.ts';
import { type Judges, readJudges, withoutCopies, wordsOf } from './judges.ts';
import type { WithEngine } from './night-engine.ts';
import type { Night, Tell } from './phase.ts';
import { answersAgain, toAnswerAgain } from './replies.ts';

export interface MeasuringTools {
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  readonly executor: Executor;
  readonly withEngine: WithEngine;
  readonly priority: ChatPriority;
}

/** Sequences that a swap compares with; kernels of another shape round differently. */
const PROBE_SEQUENCES = 4;
const PROBE_TOLERANCE_NATS = 2e-3;
/** Longest free reply that is judged. */
const REPLY_TOKENS_MAX = 32;
/** An everyday turn is read with so much before it; whole old turns go first. */
const LIMITS = { windowTokens: 512, replyTokensMax: 160 };
/** Pairs that are read without the model's own idea too. */
const BARE_PAIRS = 16;

/** What judges, without what the night has learnt from. */
async function judgesApart(night: Night): Promise<Judges> {
  const lessons = (await readScenarioFile(night.folder, 'scenarios')).map(wordsOf);
  return withoutCopies(await readJudges(night), lessons, night.plan.config.dream.nearCopyMax);
}

/** Leaves `probe.json`, `replies.json` and `measures.json`. */
export async function measureNight(
  night: Night,
  tools: MeasuringTools,
  tell: Tell,
): Promise<Measured> {
  const { plan, folder } = night;
  const judges = await judgesApart(night);
  const moments = toAnswerAgain(await readFlagged(folder));
  const versions = await readVersions(night, tools.model);
  const statistics = { resamples: plan.config.measure.resamples, seed: plan.seed };
  const steps = judges.pairs.length + 3;
  const start = await saidBefore(night, { judges, moments }, tools);
  tell(1, steps);
  const read = await readPlaced(
    night,
    { judges, moments, versions, ...start },
    {
      ...{ ...tools, statistics },
      onPair: (done) => tell(done + 1, steps),
    },
  );
  tell(steps - 1, steps);
  const end = await saidAfter(night, { ...read, moments, versions }, tools);
  const replies = moments.map(({ flagId }, i) => ({
    flagId,
    oldReply: start.answers[i] ?? '',
    newReply: end.answers[i] ?? '',
  }));
  await writeReplies(folder, replies);
  const changed = new Map(
    end.changed.map(({ question, isSame }) => [question.scenario.id, !isSame]),
  );
  for (const [i, { context }] of moments.entries()) {
    changed.set(context.id, replies[i]?.oldReply !== replies[i]?.newReply);
  }
  const { listening, perplexity, attention } = read;
  const measures: NightMeasures = {
    schema: 2,
    listening,
    replies: replyChange(end.changed, statistics),
    perplexity,
    attention: attention.changes,
    predicts: rankCorrelation(
      attention.movements.flatMap(({ id, feature, moved }) => {
        const isChanged = changed.get(id);
        if (feature !== 'direction' || isChanged === undefined) return [];
        return [{ x: Math.abs(moved), y: Number(isChanged), cluster: id }];
      }),
      statistics,
    ),
  };
  await writeJsonAtomic(join(folder.path, FILE.measures), measures, folder.ops);
  return {
    pairs: listening.pairs,
    replies: end.changed.length,
    everyday: judges.everyday.length,
  };
}

interface Spoken {
  readonly judges: Judges;
  readonly moments: readonly FlaggedMoment[];
}

interface Said {
  readonly drafts: readonly Draft[];
  readonly answers: readonly string[];
  /** The engine rounds otherwise than the reader does. */
  readonly isQuantised: boolean;
}

/** What the weights before say. Its engine is closed before anything else is loaded. */
function saidBefore(
  night: Night,
  { judges, moments }: Spoken,
  tools: MeasuringTools,
): Promise<Said> {
  const { tokenizer, priority } = tools;
  return tools.withEngine(async (engine, version) => {
    const { windowTokens, isQuantised } = await engine.describe();
    const options = { ...replyOptions(tools), engine, version, windowTokens };
    return {
      isQuantised,
      drafts: await draftReplies(judges.questions, tokenizer, options),
      answers: await answersAgain(moments, night, { engine, version, tokenizer, priority }),
    };
  });
}

/** What the weights after say otherwise. */
function saidAfter(
  night: Night,
  { checked, moments, versions, probe }: Pick<Reading, 'moments' | 'versions'> & Read,
  tools: MeasuringTools,
): Promise<{ changed: ChangedReply[]; answers: string[] }> {
  const { tokenizer, priority } = tools;
  const { id: version, deltas } = versions.candidate;
  return tools.withEngine(async (engine) => {
    await engine.loadVersion({ id: version, deltas: deltas.map(({ path }) => path) });
    await writeProbe(night.folder, await withServed(engine, probe, version));
    const options = { ...replyOptions(tools), engine, version };
    return {
      changed: await finishReplies(checked, tokenizer, options),
      answers: await answersAgain(moments, night, { engine, version, tokenizer, priority }),
    };
  });
}

const replyOptions = ({
  tokenizer,
  priority,
}: MeasuringTools): Omit<ReplyOptions, 'engine' | 'version'> => ({
  stopIds: tokenizer.stopIds,
  replyTokensMax: REPLY_TOKENS_MAX,
  signal: priority.signal,
  beforeEach: () => priority.pauseWhileBusy(),
});

interface Read {
  readonly checked: Checked[];
  readonly probe: Probe;
}

interface Reading extends Spoken, Said {
  readonly versions: Versions;
}

interface ReadTools extends MeasuringTools {
  readonly reader: Reader;
  readonly placed: Placed;
  readonly statistics: { readonly resamples: number; readonly seed: number };
  readonly onPair: (done: number) => void;
}

/** The same, with the weights where they are read, for as long as they are. */
async function readPlaced(
  night: Night,
  reading: Reading,
  tools: Omit<ReadTools, 'reader' | 'placed'>,
) {
  const reader = createReader(tools);
  const placed = await place(reading.versions, tools.executor);
  try {
    return await readAll(night, reading, { ...tools, reader, placed });
  } finally {
    for (const weights of Object.values(placed)) releaseAll(weights);
    await reader.close();
  }
}

/** Everything that is read off the weights without decoding. */
async function readAll(
  { folder }: Night,
  { judges, moments, versions, drafts, answers, isQuantised }: Reading,
  { reader, placed, tokenizer: renderer, model, priority, statistics, onPair }: ReadTools,
) {
  const { candidate } = versions;
  const beforeEach = (): Promise<void> => priority.pauseWhileBusy();
  const { stopIds, controlIds } = renderer;
  const { base, ...weights } = placed;
  const scores = await scorePairs(judges.pairs, weights, {
    ...{ reader, renderer, stopIds, barePairs: BARE_PAIRS },
    async beforeEach(index) {
      onPair(index);
      await beforeEach();
    },
  });
  const checked = await checkDrafts(drafts, weights.candidate, {
    ...{ reader, stopIds, beforeEach },
    before: isQuantised ? weights.parent : undefined,
  });
  const limits = { ...LIMITS, windowTokens: Math.min(LIMITS.windowTokens, model.windowTokens) };
  const rendered = (scenarios: readonly Scenario[]): Example[] =>
    render(scenarios, { renderer, limits }, []);
  const [againstParent, againstBase] = await perplexityRatios(
    reader,
    rendered(judges.everyday),
    weights.candidate,
    [weights.parent, base],
    statistics,
  );
  const marked = drafts.filter(({ question }) => question.kind === 'listen');
  const attention = await attentionChanges(
    reader,
    rendered([
      ...marked.map(({ question }) => question.scenario),
      ...moments.map(({ context }, i) => parseScenario({ ...context, chosen: answers[i] || '…' })),
    ]),
    { before: weights.parent, after: weights.candidate },
    { features: ['direction', 'own-idea'], controlIds, statistics, beforeEach },
  );
  const trained = await readScenarioFile(folder, 'scenarios');
  const examples = rendered(trained.slice(0, PROBE_SEQUENCES));
  return {
    probe: await probeOf({ id: candidate.id, weights: weights.candidate }, { reader, examples }),
    listening: listeningOf(scores, statistics),
    checked,
    perplexity: { parent: againstParent, base: againstBase } as NightMeasures['perplexity'],
    attention,
  };
}

/** The weights before the night and after it, those of its placebo, and the model's own. */
interface Versions {
  readonly parent: WeightsVersion;
  readonly candidate: WeightsVersion;
  readonly placebo?: WeightsVersion;
  readonly base: WeightsVersion;
}

/** Their matrices where they are read. */
type Placed = { readonly [Name in keyof Versions]: Readonly<Record<string, Value>> };

async function place(
  { parent, candidate, placebo, base }: Versions,
  executor: Executor,
): Promise<Placed> {
  const put = ({ weights }: WeightsVersion) => uploadAll(executor, weights);
  const ofParent = await put(parent);
  return {
    parent: ofParent,
    candidate: await put(candidate),
    ...(placebo === undefined ? {} : { placebo: await put(placebo) }),
    base: base === parent ? ofParent : await put(base),
  };
}

async function readVersions({ plan, folder }: Night, model: Model): Promise<Versions> {
  const { path, ops } = folder;
  const load = (...own: readonly string[]): Promise<WeightsVersion> =>
    loadVersion(model, [...plan.deltas, ...own.map((name) => join(path, name))], { ops });
  const parent = await load();
  return {
    parent,
    candidate: await load(FILE.delta),
    // There is none where no moment had another sentence to say again.
    ...((await ops.stat(join(path, PLACEBO_DELTA))) === undefined
      ? {}
      : { placebo: await load(PLACEBO_DELTA) }),
    base: plan.deltas.length === 0 ? parent : await loadVersion(model, []),
  };
}

/** What the engine must say of these examples once it has the candidate's weights. */
async function probeOf(
  { id: version, weights }: { readonly id: string; readonly weights: TrainableWeights },
  { reader, examples }: { reader: Reader; examples: readonly Example[] },
): Promise<Probe> {
  const sequences: Probe['sequences'] = [];
  for (const { contextIds, chosen } of examples) {
    const cache = await reader.prefill(contextIds, weights);
    const [logprobs] = await reader.logProbabilities(cache, [chosen], weights);
    cache.release();
    const ids = [...contextIds, ...chosen.ids.slice(0, 1), ...chosen.targets];
    sequences.push({ ids, from: contextIds.length + 1, logprobs: [...(logprobs ?? [])] });
  }
  return { schema: 1, version, toleranceNats: PROBE_TOLERANCE_NATS, sequences };
}

const writeProbe = ({ path, ops }: Folder, probe: Probe): Promise<void> =>
  writeJsonAtomic(join(path, FILE.probe), probe, ops);

export async function gateNight(
  { plan, folder }: Night,
  { outputKl, placeboOutputKl }: Pick<Trained, 'outputKl' | 'placeboOutputKl'>,
): Promise<Verdict> {
  const measures = await readMeasures(folder);
  if (measures === undefined) {
    const message = `${folder.path} has measures of an earlier release.`;
    throw new AttuneError('night-failed', message, { night: plan.night });
  }
  const { listening, replies, perplexity } = measures;
  const { tensors } = await readDelta(join(folder.path, FILE.delta), folder.ops);
  const flags = (await readFlagged(folder)).filter(({ isHeldBack }) => !isHeldBack).length;
  const held = replies.kinds.filter(({ isHold }) => isHold);
  const [furthest] = held.sort((a, b) => b.kl - a.kl);
  const { passes, isOffered, reasons } = decideGate(
    {
      bothRight: listening.change,
      beyondPlacebo: listening.beyondPlacebo,
      outputKl: { real: outputKl, placebo: placeboOutputKl },
      lossBound: replies.holds.lossBound,
      heldKl: { kind: furthest?.kind ?? 'nothing', kl: furthest?.kl ?? Number.NaN },
      perplexityParent: perplexity.parent,
      perplexityBase: perplexity.base,
      isFinite: arraysOf(tensors).every(({ data }) => firstNonFinite(data) < 0),
      isOnlyQueryMoved: Object.keys(tensors).every(isQProj),
      flags,
      night: plan.number,
      passedNights: plan.passedNights,
    },
    plan.config.gate,
  );
  return { passed: passes, ...(isOffered ? { offered: true } : {}), reasons: [...reasons] };
}
