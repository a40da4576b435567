// The measure and gate phases: what changed between the weights before and after, and whether to
// trust it. The numbers are made in `measure/`; here is what they are made of on a night.
import { join } from 'node:path';
import { writeJsonAtomic } from '../base/atomic-file.ts';
import type { Folder } from '../base/file-ops.ts';
import { createRandom } from '../base/random.ts';
import { judgeWords, scenarioOfDraft, wordsOf } from '../dream/admit.ts';
import { echoes } from '../dream/echo.ts';
import { createCopyCheck } from '../dream/near-copy.ts';
import { decideGate, type GateEvidence } from '../measure/gate.ts';
import { measureWeights } from '../measure/measure.ts';
import { type Delta, readDelta } from '../model/delta.ts';
import { loadVersion, type WeightsVersion } from '../model/versions.ts';
import { isQProj } from '../model/weight-names.ts';
import { Reader } from '../reading/reader.ts';
import { scoreExamples } from '../reading/scenario-margin.ts';
import {
  DEAF_DELTA,
  FILE,
  readFlagged,
  readScenarioFile,
  writeScenarios,
} from '../record/files.ts';
import { measuresForgetting, scenarioOf } from '../record/moment.ts';
import {
  type Measured,
  type NightMeasures,
  readMeasures,
  type Trained,
  type Verdict,
} from '../record/phase-result.ts';
import { type Example, toExample } from '../scenario/example.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { Probe } from '../swap/probe.ts';
import { nightReplies } from './replies.ts';
import { nightSuite, readSuite, stratified, toAnswer } from './suite.ts';
import type { WorkParts } from './work.ts';

type Parts = WorkParts & { folder: Folder };
type Tell = (done: number, total: number | null, facts?: Record<string, number>) => void;

/** Probes that a swap compares with; kernels of another shape round differently. */
const PROBE_SEQUENCES = 4;
const PROBE_TOLERANCE_NATS = 2e-3;

export async function measureNight(parts: Parts, trained: Trained, tell: Tell): Promise<Measured> {
  const { plan, folder, model, tokenizer, executor, courtesy, signal } = parts;
  const { measure } = plan.config;
  const load = (deltas: readonly string[]): Promise<WeightsVersion> =>
    loadVersion(model, deltas, { ops: folder.ops });
  const parent = await load(plan.deltas);
  const candidate = await load([...plan.deltas, join(folder.path, FILE.delta)]);
  const hasDeaf = trained.deafHash !== null;
  const deaf = hasDeaf ? await load([...plan.deltas, join(folder.path, DEAF_DELTA)]) : undefined;
  const moments = await momentScenarios(folder);
  const suite = nightSuite(await untrained(parts), {
    gated: measure.scenariosPerKind,
    ungated: measure.scenariosPerUngatedKind,
  });
  const held = moments.heldBack.filter(({ rejected }) => rejected !== undefined);
  const ordinary = suite.filter(({ kind }) => kind === 'ordinary');
  // Half of the talks replay, the other half measures.
  const quiet = (await readScenarioFile(folder, 'everyday')).filter(measuresForgetting);
  const everyday = [...quiet, ...ordinary].slice(0, measure.everydayTurns);
  const measures = await measureWeights({
    model,
    executor,
    renderer: tokenizer,
    controlIds: tokenizer.controlIds,
    parent: parent.weights,
    candidate: candidate.weights,
    ...(deaf === undefined ? {} : { deaf: deaf.weights }),
    base: plan.deltas.length === 0 ? parent.weights : (await load([])).weights,
    scenarios: [...suite, ...held, ...(await ownMoments(parts, quiet))],
    everyday,
    trained: await readScenarioFile(folder, 'scenarios'),
    limits: limitsOf(parts),
    contextCacheBytesMax: plan.config.train.contextCacheBytesMax,
    statistics: { resamples: measure.resamples, seed: plan.seed },
    beforePart: () => courtesy.turn(signal),
    onProgress: (done, total) => tell(done, total + 2),
  });
  const flagged = await flaggedMargins(parts, moments.all, { parent, candidate });
  const replies = await nightReplies(parts, {
    candidate,
    deaf,
    scenarios: toAnswer(suite, moments.heldBack, measure.repliesPerKind),
  });
  const result: NightMeasures = { measures, replies, flagged };
  await writeJsonAtomic(join(folder.path, FILE.measures), result, folder.ops);
  return { examples: measures.examples, heldBackFlags: held.length, everyday: everyday.length };
}

/**
 * Crossed moments of the talks that measure and of which nothing trains: whether it listens better
 * in the person's own world. Written down, so that a deleted talk is found in them too.
 */
async function ownMoments(
  { folder, plan }: Parts,
  quiet: readonly Scenario[],
): Promise<Scenario[]> {
  const trained = new Set(
    (await readScenarioFile(folder, 'scenarios')).map(({ source }) => source.cluster),
  );
  const untouched = quiet.filter(({ source }) => !trained.has(source.cluster));
  const drafts = echoes(untouched, untouched.length, createRandom('own moments'));
  const sides = drafts.flatMap((draft) => {
    if (judgeWords(draft) !== undefined) return [];
    const scenario = scenarioOfDraft(draft);
    return [{ ...scenario, source: { ...scenario.source, origin: 'log' as const } }];
  });
  const isWhole = ({ pair }: Scenario): boolean =>
    sides.filter((one) => one.pair?.id === pair?.id).length === 2;
  const own = stratified(sides.filter(isWhole), plan.config.measure.scenariosPerKind);
  await writeScenarios(folder, 'own', own);
  return own;
}

/** The test conversations, without any that a flag of the person nearly copies: it has trained. */
async function untrained({ plan, folder }: Parts): Promise<Scenario[]> {
  const trained = (await readScenarioFile(folder, 'scenarios')).map(wordsOf);
  const isTrained = createCopyCheck(trained, plan.config.dream.nearCopyMax);
  return (await readSuite(plan.suiteFolder)).filter((scenario) => !isTrained(wordsOf(scenario)));
}

function limitsOf({ plan, model }: Parts): { windowTokens: number; replyTokensMax: number } {
  const { contextTokensMax, replyTokensMax } = plan.config.train;
  return {
    windowTokens: Math.min(model.windowTokens, contextTokensMax + replyTokensMax),
    replyTokensMax,
  };
}

async function momentScenarios(folder: Folder): Promise<{ all: Scenario[]; heldBack: Scenario[] }> {
  const moments = await readFlagged(folder);
  const toScenarios = (list: typeof moments): Scenario[] =>
    list.flatMap((m) => scenarioOf(m) ?? []);
  return {
    all: toScenarios(moments),
    heldBack: toScenarios(moments.filter((moment) => moment.isHeldBack)),
  };
}

/** Margins of the flagged moments, and the probe that the swap compares with. */
async function flaggedMargins(
  parts: Parts,
  scenarios: readonly Scenario[],
  { parent, candidate }: { parent: WeightsVersion; candidate: WeightsVersion },
): Promise<NightMeasures['flagged']> {
  const { model, executor, tokenizer } = parts;
  const reader = new Reader({ model, executor });
  try {
    const paired = scenarios.filter(({ rejected }) => rejected !== undefined);
    const examples = paired.map((scenario) => toExample(scenario, tokenizer, limitsOf(parts)));
    const before = await scoreExamples(reader, examples, parent.weights);
    const after = await scoreExamples(reader, examples, candidate.weights);
    const trained = await readScenarioFile(parts.folder, 'scenarios');
    const probed = trained.slice(0, PROBE_SEQUENCES);
    await writeProbe(
      parts,
      reader,
      candidate,
      probed.map((scenario) => toExample(scenario, tokenizer, limitsOf(parts))),
    );
    return after.map(({ example, margin }, i) => ({
      id: example.scenario.id,
      before: before[i]?.margin.perToken ?? Number.NaN,
      after: margin.perToken,
    }));
  } finally {
    await reader.close();
  }
}

async function writeProbe(
  { folder }: Parts,
  reader: Reader,
  { id: version, weights }: WeightsVersion,
  examples: readonly Example[],
): Promise<void> {
  const sequences: Probe['sequences'] = [];
  for (const { contextIds, chosen } of examples) {
    const cache = await reader.prefill(contextIds, weights);
    const [logprobs] = await reader.logProbabilities(cache, [chosen], weights);
    cache.release();
    const ids = [...contextIds, ...chosen.ids.slice(0, 1), ...chosen.targets];
    sequences.push({ ids, from: contextIds.length + 1, logprobs: [...(logprobs ?? [])] });
  }
  const probe: Probe = { schema: 1, version, toleranceNats: PROBE_TOLERANCE_NATS, sequences };
  await writeJsonAtomic(join(folder.path, FILE.probe), probe, folder.ops);
}

export async function gateNight(parts: Parts, trained: Trained): Promise<Verdict> {
  const { plan, folder } = parts;
  const { measures } = await readMeasures(folder);
  const delta = await readDelta(join(folder.path, FILE.delta), folder.ops);
  const evidence: GateEvidence = {
    ...measures.gate,
    ...(measures.realMinusDeaf === undefined ? {} : { realMinusDeaf: measures.realMinusDeaf }),
    perplexityParent: measures.retention.parent.perplexity,
    perplexityBase: measures.retention.base.perplexity,
    sources: trained.sources,
    isFinite: hasOnlyFinite(delta),
    isOnlyQueryMoved: Object.keys(delta.tensors).every(isQProj),
    night: plan.number,
    passedNights: plan.passedNights,
  };
  const { passes, reasons } = decideGate(evidence, plan.config.gate);
  return { passed: passes, reasons: [...reasons] };
}

function hasOnlyFinite({ tensors }: Delta): boolean {
  return Object.values(tensors).every(({ data }) => data.every(Number.isFinite));
}
