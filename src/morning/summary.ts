// The morning's summary of a night: gathered from its folder, written as JSON and as Markdown.
import { join } from 'node:path';
import { writeFileAtomic, writeJsonAtomic } from '../base/atomic-file.ts';
import type { Folder } from '../base/file-ops.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Manifest } from '../ledger/manifest.ts';
import { OWN_TALKS_MIN } from '../measure/compare.ts';
import { windowLayers } from '../measure/lift.ts';
import type { Measures } from '../measure/measure.ts';
import type { ReplyChange } from '../measure/reply-change.ts';
import type { Estimate } from '../measure/statistics.ts';
import type {
  EstimateView,
  LiftView,
  MeasureView,
  NightSummary,
  RepliesView,
} from '../protocol/summary.ts';
import { FILE, readFlagged } from '../record/files.ts';
import { type JournalLine, resultOf } from '../record/journal.ts';
import {
  admittedSchema,
  dreamtSchema,
  gatheredSchema,
  type NightMeasures,
  readMeasures,
  readReplies,
  type Swapped,
  trainedSchema,
  verdictOf,
} from '../record/phase-result.ts';
import { KIND, KINDS } from '../scenario/kind.ts';
import { featureText } from '../scenario/span.ts';
import { versionOf } from '../swap/swap.ts';
import { headlineOf } from './headline.ts';
import { againText } from './review.ts';
import { readLosses, readSamples } from './samples.ts';
import { summaryMarkdown } from './summary-markdown.ts';

/** The night's manifest, what came of the swap, its journal. */
export interface SummaryInput {
  readonly ledger: Ledger;
  readonly manifest: Manifest;
  readonly swapped: Swapped;
  readonly lines: readonly JournalLine[];
}

/** Writes `summary.json` and `summary.md` into the night's folder; returns the headline. */
export async function writeSummary(input: SummaryInput): Promise<string> {
  const summary = await summaryOf(input);
  const { path, ops } = input.ledger.folderOf(input.manifest.night);
  await writeJsonAtomic(join(path, FILE.summary), summary, ops);
  await writeFileAtomic(join(path, FILE.summaryText), summaryMarkdown(summary), ops);
  return summary.headline;
}

async function summaryOf(input: SummaryInput): Promise<NightSummary> {
  const { ledger, manifest, swapped, lines } = input;
  const folder = ledger.folderOf(manifest.night);
  const measured = manifest.delta === null ? undefined : await readMeasures(folder);
  const verdict = verdictOf(manifest, swapped);
  const { number, day } = manifest;
  const reasons = manifest.gate?.reasons ?? [];
  const { swap } = swapped;
  return {
    schema: 1,
    nightId: manifest.night,
    number,
    day,
    verdict,
    headline: headlineOf({ verdict, number, measured, reasons }),
    versions: { from: (await versionOf(ledger, manifest.inForce)).id, to: swap?.to ?? null },
    reasons,
    evidence: againText(manifest) + evidenceOf(lines, measured),
    measures: measured === undefined ? [] : measuresOf(measured.measures),
    retention: measured === undefined ? [] : retentionOf(measured.measures),
    bothRight: measured === undefined ? null : bothRightOf(measured.measures),
    flagged: await flaggedOf(folder, measured),
    replies: repliesOf(measured?.replies ?? null),
    dreams: { ...dreamsOf(lines), samples: await readSamples(folder) },
    training: await trainingOf(folder, lines),
    lift: measured === undefined ? [] : liftOf(measured.measures),
    facts: factsOf(lines, measured),
    phases: lines.map(({ phase, ms }) => ({ phase, ms })),
    swap: swap && {
      repliesInFlight: swap.repliesInFlight,
      stallMs: swap.stallMs,
      probeWorstNats: swap.probe?.worstNats ?? null,
    },
    back: verdict === 'swapped' ? `attune night revert ${manifest.night}` : null,
  };
}

function evidenceOf(lines: readonly JournalLine[], measured: NightMeasures | undefined): string {
  const gathered = gatheredSchema.safeParse(resultOf(lines, 'gather')).data;
  if (gathered === undefined) return '';
  const { flagged, heldBack } = gathered;
  const clusters = measured?.measures.gate.margin.clusters ?? 0;
  const held = heldBack === 0 ? 'none is held back yet' : `${heldBack} are held back`;
  const learnt = `Learnt from ${flagged - heldBack} flagged moments; ${held}.`;
  if (measured === undefined) return learnt;
  const { gate, examples } = measured.measures;
  const judges =
    gate.elsewhere === undefined
      ? `${clusters} sources of directions, since a verdict on your own conversations needs ${OWN_TALKS_MIN} of them`
      : `${gate.margin.observations} moments of ${clusters} of your own conversations that nothing trained on`;
  return `${learnt} Measured on ${examples} conversations; listening is judged on ${judges}.`;
}

type Wish = MeasureView['wish'];

function measuresOf(measures: Measures): MeasureView[] {
  const { gate, realMinusDeaf, kinds, defenceGap, knockOut } = measures;
  const ungated = KINDS.filter((kind) => !KIND[kind].isGated);
  /** What was not measured is left out. */
  const rows: readonly (readonly [string, string, Estimate | undefined, Wish])[] = [
    ['margin', KIND.listen.label, gate.margin, 'gain'],
    ['elsewhere', 'Listening in the shipped conversations', gate.elsewhere, 'guard'],
    ['realMinusDeaf', 'Listening beyond the placebo', realMinusDeaf, 'gain'],
    ['pushBack', KIND['push-back'].label, gate.pushBack, 'guard'],
    ['invite', KIND.invite.label, gate.invite, 'guard'],
    ['ordinary', KIND.ordinary.label, gate.ordinary, 'guard'],
    ...ungated.map((kind) => [kind, KIND[kind].label, kinds[kind]?.change, 'guard'] as const),
    ['defenceGap', 'Defence gap (an own idea in the way)', defenceGap.change, 'gap'],
    ['knockOut', 'Use of the direction (knock-out)', knockOut.change, 'gain'],
  ];
  return rows.flatMap(([name, label, estimate, wish]) => {
    if (estimate === undefined) return [];
    return [{ name, label, unit: 'nats a token', estimate: view(estimate), wish }];
  });
}

function retentionOf({ retention }: Measures): NightSummary['retention'] {
  const line = (against: string, { perplexity }: Measures['retention']['parent']) => ({
    against,
    ratio: finite(perplexity.ratio) ?? 0,
    high: finite(perplexity.high) ?? 0,
  });
  return [line('the night before', retention.parent), line('the base model', retention.base)];
}

function repliesOf(replies: ReplyChange | null): RepliesView | null {
  // None was written, or none fitted the window.
  if (replies === null || replies.all.replies === 0) return null;
  const { all, kinds, samples } = replies;
  return {
    ...all,
    change: view(all.change),
    kinds: kinds.map((kind) => ({ ...kind, change: view(kind.change) })),
    samples: [...samples],
  };
}

function bothRightOf({ bothRight }: Measures): NightSummary['bothRight'] {
  const { pairs, before, after } = bothRight;
  return pairs === 0 ? null : { pairs, before, after };
}

async function flaggedOf(
  folder: Folder,
  measured: NightMeasures | undefined,
): Promise<NightSummary['flagged']> {
  const moments = await readFlagged(folder);
  const replies = await readReplies(folder);
  return replies.flatMap(({ flagId, oldReply, newReply }) => {
    const moment = moments.find((one) => one.flagId === flagId);
    if (moment === undefined) return [];
    const { context, isHeldBack } = moment;
    const [direction = context.messages.at(-1)?.content ?? ''] = featureText(context, 'direction');
    const margins = measured?.flagged.find((one) => one.id === context.id);
    return [
      {
        flagId,
        conversationId: context.source.cluster,
        direction,
        oldReply,
        newReply,
        marginBefore: margins?.before ?? null,
        marginAfter: margins?.after ?? null,
        isHeldBack,
      },
    ];
  });
}

function dreamsOf(
  lines: readonly JournalLine[],
): Pick<NightSummary['dreams'], 'byKind' | 'refused' | 'sampledShare'> {
  const written = dreamtSchema.safeParse(resultOf(lines, 'dream')).data?.written ?? [];
  const admission = admittedSchema.safeParse(resultOf(lines, 'admit')).data;
  const { admitted = [], refused = [] } = admission ?? {};
  const byKind = written.map(({ name, count }) => ({
    kind: name,
    written: count,
    admitted: admitted.find((one) => one.name === name)?.count ?? 0,
  }));
  return {
    byKind,
    refused: refused.map(({ name, count }) => ({ reason: name, count })),
    sampledShare: admission?.sampledShare ?? null,
  };
}

async function trainingOf(
  folder: Folder,
  lines: readonly JournalLine[],
): Promise<NightSummary['training']> {
  const trained = trainedSchema.safeParse(resultOf(lines, 'train')).data;
  if (trained === undefined) return null;
  const { examples, steps, tokens, relativeNorm, stop } = trained;
  const losses = await readLosses(folder);
  return { examples, steps, tokens, relativeNorm, stoppedBecause: stop, losses };
}

function liftOf({ attention }: Measures): LiftView[] {
  return [attention.direction, attention.ownIdea].flatMap((change) => {
    if (change === undefined) return [];
    const { layers, heads } = change.before;
    return [
      {
        feature: change.feature,
        layers,
        heads,
        before: change.before.values.map(finite),
        after: change.after.values.map(finite),
        window: view(change.window),
        windowLayers: windowLayers(layers),
      },
    ];
  });
}

/** Named numbers at the foot of a summary. */
function factsOf(
  lines: readonly JournalLine[],
  measured: NightMeasures | undefined,
): Record<string, number> {
  const trained = trainedSchema.safeParse(resultOf(lines, 'train')).data;
  const gathered = gatheredSchema.safeParse(resultOf(lines, 'gather')).data;
  const facts: Record<string, number> = {};
  if (gathered !== undefined && gathered.replies > 0) {
    facts.flagsPer100 = (100 * gathered.flagsNew) / gathered.replies;
  }
  if (trained !== undefined) {
    facts['training seconds'] = trained.seconds;
    facts['tokens a second'] = trained.seconds === 0 ? 0 : trained.tokens / trained.seconds;
    facts['memory bytes'] = trained.memoryBytes;
    if (trained.deafRelativeNorm !== null) facts['W_q moved, placebo'] = trained.deafRelativeNorm;
  }
  if (measured !== undefined) {
    const { retention, trainedKl, defenceGap } = measured.measures;
    facts['everyday KL, nats a token'] = retention.parent.kl;
    if (trainedKl !== undefined) facts["KL on the night's own inputs"] = trainedKl;
    facts['defence gap before'] = defenceGap.before;
    facts['defence gap after'] = defenceGap.after;
  }
  return facts;
}

/** Unknown ends of an interval are written as the largest numbers; a page shows them as unknown. */
const finite = (value: number): number | null =>
  Number.isFinite(value) && Math.abs(value) < 1e300 ? value : null;

const view = ({ mean, low, high, p, clusters, observations }: Estimate): EstimateView =>
  observations === 0
    ? { mean: null, low: null, high: null, p: null, clusters }
    : { mean: finite(mean), low: finite(low), high: finite(high), p, clusters };
