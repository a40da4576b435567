// The measure and gate phases: what changed between the weights before and after, and whether to
// trust it. The numbers are made in `measure/`; here is what they are made of on a night.
import { join } from 'node:path';
import { writeJsonAtomic } from '../base/atomic-file.ts';
import type { Folder } from '../base/file-ops.ts';
import { decideGate, gateEvidence } from '../measure/gate.ts';
import { type MeasuredWeights, measureWeights } from '../measure/measure.ts';
import { renderMeasuringSet } from '../measure/measuring-set.ts';
import { readDelta } from '../model/delta.ts';
import type { Model } from '../model/model.ts';
import { loadVersion, type WeightsVersion } from '../model/versions.ts';
import { keepContexts } from '../reading/kept-contexts.ts';
import { createReader, type Reader } from '../reading/reader.ts';
import { render } from '../reading/render.ts';
import { scoreExamples } from '../reading/scenario-margin.ts';
import { FILE, PLACEBO_DELTA, writeScenarios } from '../record/files.ts';
import {
  type Measured,
  type NightMeasures,
  readMeasures,
  type Trained,
  type Verdict,
} from '../record/phase-result.ts';
import type { Executor } from '../runtime/executor.ts';
import type { Example } from '../scenario/example.ts';
import type { Probe } from '../swap/probe.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { exampleLimits } from '../train/plan.ts';
import type { ChatPriority } from './chat-priority.ts';
import { readNightSet } from './measuring-set.ts';
import type { WithEngine } from './night-engine.ts';
import type { Night, Tell } from './phase.ts';
import { measureNightReplies } from './replies.ts';

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

/** Leaves `own.jsonl`, `probe.json`, `replies.json` and `measures.json`. */
export async function measureNight(
  night: Night,
  tools: MeasuringTools,
  tell: Tell,
): Promise<Measured> {
  const { plan, folder } = night;
  const { model, tokenizer: renderer, priority } = tools;
  const set = await readNightSet(night);
  // Written down, so that a deleted talk is found in them too.
  await writeScenarios(folder, 'own', set.own);
  const versions = await readVersions(night, model);
  const rendering = { renderer, limits: exampleLimits(plan.config.train, model) };
  const rendered = renderMeasuringSet(set, rendering);
  const flagged = render(set.flagged, rendering, []);
  const probed = rendered.trained.slice(0, PROBE_SEQUENCES);
  const { measures, margins } = await withReader(plan, tools, async (reader) => {
    const measures = await measureWeights(rendered, weightsOf(versions), {
      reader,
      controlIds: renderer.controlIds,
      statistics: { resamples: plan.config.measure.resamples, seed: plan.seed },
      beforePart: () => priority.pauseWhileBusy(),
      onProgress: (done, total) => tell(done, total + 2),
    });
    await writeProbe(folder, versions.candidate, { reader, examples: probed });
    return { measures, margins: await flaggedMargins(reader, flagged, versions) };
  });
  const replies = await measureNightReplies(night, { ...set, ...versions }, tools);
  const result: NightMeasures = { measures, replies, flagged: margins };
  await writeJsonAtomic(join(folder.path, FILE.measures), result, folder.ops);
  return {
    examples: measures.examples,
    heldBackFlags: set.heldBack.length,
    everyday: set.everyday.length,
  };
}

/** The weights before the night and after it, those of its placebo, and the model's own. */
interface Versions {
  readonly parent: WeightsVersion;
  readonly candidate: WeightsVersion;
  readonly placebo?: WeightsVersion;
  readonly base: WeightsVersion;
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

const weightsOf = ({ parent, candidate, placebo, base }: Versions): MeasuredWeights => ({
  parent: parent.weights,
  candidate: candidate.weights,
  ...(placebo === undefined ? {} : { placebo: placebo.weights }),
  base: base.weights,
});

async function withReader<T>(
  { config }: Night['plan'],
  { model, executor }: MeasuringTools,
  run: (reader: Reader) => Promise<T>,
): Promise<T> {
  const reader = keepContexts(createReader({ model, executor }), config.train.contextCacheBytesMax);
  return run(reader).finally(() => reader.close());
}

async function flaggedMargins(
  reader: Reader,
  examples: readonly Example[],
  { parent, candidate }: Versions,
): Promise<NightMeasures['flagged']> {
  const before = await scoreExamples(reader, examples, parent.weights);
  const after = await scoreExamples(reader, examples, candidate.weights);
  return after.map(({ example, margin }, i) => ({
    id: example.scenario.id,
    before: before[i]?.margin.perToken ?? Number.NaN,
    after: margin.perToken,
  }));
}

/** What the engine must say of these examples once it has the candidate's weights. */
async function writeProbe(
  { path, ops }: Folder,
  { id: version, weights }: WeightsVersion,
  { reader, examples }: { reader: Reader; examples: readonly Example[] },
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
  await writeJsonAtomic(join(path, FILE.probe), probe, ops);
}

export async function gateNight({ plan, folder }: Night, { sources }: Trained): Promise<Verdict> {
  const { measures } = await readMeasures(folder);
  const { tensors } = await readDelta(join(folder.path, FILE.delta), folder.ops);
  const { number: night, passedNights } = plan;
  const evidence = gateEvidence(measures, { tensors, sources, night, passedNights });
  const { passes, reasons } = decideGate(evidence, plan.config.gate);
  return { passed: passes, reasons: [...reasons] };
}
