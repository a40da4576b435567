// The morning's summary of a night: gathered from its folder, written as JSON and as Markdown.
import { join } from 'node:path';
import { writeFileAtomic, writeJsonAtomic } from '../base/atomic-file.ts';
import type { Folder } from '../base/file-ops.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Manifest } from '../ledger/manifest.ts';
import { windowLayers } from '../measure/lift.ts';
import type { ReplyChange, ReplyShares } from '../measure/reply-change.ts';
import type { Estimate } from '../measure/statistics.ts';
import type { NightVerdict } from '../protocol/night.ts';
import type {
  EstimateView,
  LiftView,
  LitWords,
  MeasureView,
  NightSummary,
  RepliesView,
} from '../protocol/summary.ts';
import { againstReasons, changeText, elsewhereText } from '../protocol/verdict-text.ts';
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
import { brokenness } from '../scenario/kind.ts';
import { featureText, type Marked } from '../scenario/span.ts';
import { UNWANTED } from '../scenario/thing.ts';
import { contentWords, stem, wordsOf } from '../scenario/words.ts';
import { versionOf } from '../swap/swap.ts';
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
  const { number, day, gate } = manifest;
  const reasons = gate?.reasons ?? [];
  const isOffered = gate?.offered === true;
  const listening = measured === undefined ? null : listeningOf(measured);
  const flagged = await flaggedOf(folder);
  const { swap } = swapped;
  const lessons = admittedSchema.safeParse(resultOf(lines, 'admit')).data?.training;
  return {
    schema: 1,
    nightId: manifest.night,
    number,
    day,
    verdict,
    isOffered,
    headline: headlineOf({ verdict, number, lessons, listening, reasons, flagged }),
    versions: { from: (await versionOf(ledger, manifest.inForce)).id, to: swap?.to ?? null },
    reasons,
    evidence: againText(manifest) + evidenceOf(lines, measured),
    measures: measured === undefined ? [] : measuresOf(measured),
    retention: measured === undefined ? [] : retentionOf(measured),
    listening,
    bothRight: null,
    flagged,
    replies: measured === undefined ? null : repliesOf(measured.replies),
    dreams: { ...dreamsOf(lines), samples: await readSamples(folder) },
    training: await trainingOf(folder, lines),
    lift: measured === undefined ? [] : liftOf(measured),
    predicts: measured?.predicts ?? null,
    facts: factsOf(lines, measured),
    phases: lines.map(({ phase, ms }) => ({ phase, ms })),
    swap: swap && { repliesInFlight: swap.repliesInFlight, stallMs: swap.stallMs },
    back: verdict === 'swapped' ? `attune night revert ${manifest.night}` : null,
  };
}

function evidenceOf(lines: readonly JournalLine[], measured: NightMeasures | undefined): string {
  const gathered = gatheredSchema.safeParse(resultOf(lines, 'gather')).data;
  if (gathered === undefined) return '';
  const { flagged, heldBack } = gathered;
  const held = heldBack === 0 ? 'none is held back yet' : `${heldBack} are held back`;
  const admitted = admittedSchema.safeParse(resultOf(lines, 'admit')).data;
  const dreams = (admitted?.training ?? 0) - (admitted?.flags ?? 0);
  const flags = `${admitted?.flags ?? 0} of ${flagged - heldBack} flagged moments`;
  const isTrained = resultOf(lines, 'train') !== null;
  const learnt = `${isTrained ? 'Learnt' : 'Lessons'} from ${flags} (${held}) and ${dreams} dreams.`;
  if (measured === undefined) return learnt;
  const { listening, replies } = measured;
  return (
    `${learnt} Judged on ${listening.pairs} pairs of moments and ${replies.holds.replies} replies ` +
    'that nothing trained on.'
  );
}

type Wish = MeasureView['wish'];

function measuresOf({ listening }: NightMeasures): MeasureView[] {
  const { change, beyondPlacebo, defenceGap } = listening;
  /** What was not measured is left out. */
  const rows: readonly (readonly [string, string, string, Estimate | null, Wish])[] = [
    ['bothRight', 'Listening: right on both sides', 'of the pairs', change, 'gain'],
    ['beyondPlacebo', 'Listening beyond the placebo', 'of the pairs', beyondPlacebo, 'gain'],
    [
      ...(['defenceGap', 'Defence gap (an own idea in the way)', 'nats a token'] as const),
      defenceGap.change,
      'gap',
    ],
  ];
  return rows.flatMap(([name, label, unit, estimate, wish]) => {
    if (estimate === null) return [];
    return [{ name, label, unit, estimate: view(estimate), wish }];
  });
}

function listeningOf({ listening }: NightMeasures): NightSummary['listening'] {
  const { change, beyondPlacebo, gap, defenceGap: _, byDistance, ...numbers } = listening;
  return {
    ...numbers,
    byDistance: [...byDistance],
    change: view(change),
    beyondPlacebo: beyondPlacebo && view(beyondPlacebo),
    gap: view(gap),
  };
}

function retentionOf({ perplexity }: NightMeasures): NightSummary['retention'] {
  const line = (against: string, { ratio, high }: NightMeasures['perplexity']['parent']) => ({
    against,
    ratio: finite(ratio) ?? 0,
    high: finite(high) ?? 0,
  });
  return [line('the night before', perplexity.parent), line('the base model', perplexity.base)];
}

function repliesOf({ holds, kinds, samples }: ReplyChange): RepliesView | null {
  // None fitted the window.
  if (holds.replies === 0) return null;
  return {
    ...sharesView(holds),
    kinds: kinds.map(({ kind, ...shares }) => ({ kind, ...sharesView(shares) })),
    samples: [...samples],
  };
}

function sharesView({ replies, before, after, change, ...held }: ReplyShares) {
  const { same, won, lost, lossBound, kl } = held;
  const moved = { same, won, lost, lossBound, kl };
  return { replies, before, after, deaf: null, change: view(change), held: moved };
}

async function flaggedOf(folder: Folder): Promise<NightSummary['flagged']> {
  const moments = await readFlagged(folder);
  const replies = await readReplies(folder);
  return replies.flatMap(({ flagId, oldReply, newReply }) => {
    const moment = moments.find((one) => one.flagId === flagId);
    if (moment === undefined) return [];
    const { context, isHeldBack, kind } = moment;
    const before = doesIt(context, oldReply);
    const after = doesIt(context, newReply);
    const isRead = kind === 'missed' && before !== null && after !== null;
    const last = context.messages.at(-1)?.content ?? '';
    const [direction = last] = featureText(context, 'direction');
    return [
      {
        flagId,
        conversationId: context.source.cluster,
        direction,
        asked: last.includes(direction) ? '' : last,
        oldReply,
        newReply,
        isHeldBack,
        does: isRead ? { before, after } : null,
        lit: { before: litWords(context, oldReply), after: litWords(context, newReply) },
      },
    ];
  });
}

/** The words of a reply that a person looks for: of the direction, and of the model's own idea. */
function litWords(moment: Marked, reply: string): LitWords[] {
  const idea = featureText(moment, 'own-idea').join(' ');
  const ideas = new Set(contentWords(idea).map(({ text }) => text));
  const wanted = new Set(wantedWords(moment));
  const lengths = new Map(wordsOf(reply).map(({ text, at }) => [at, text.length]));
  return contentWords(reply).flatMap(({ text, at }): LitWords[] => {
    const feature = ideas.has(text) ? 'own-idea' : wanted.has(text) ? 'direction' : undefined;
    return feature === undefined ? [] : [{ feature, start: at, end: at + (lengths.get(at) ?? 0) }];
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

function liftOf({ attention }: NightMeasures): LiftView[] {
  return attention.map(({ feature, before, after, window }) => ({
    feature,
    layers: before.layers,
    heads: before.heads,
    before: before.values.map(finite),
    after: after.values.map(finite),
    window: view(window),
    windowLayers: windowLayers(before.layers),
  }));
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
    const { deafRelativeNorm, outputKl, placeboOutputKl } = trained;
    if (deafRelativeNorm !== null) facts['W_q moved, placebo'] = deafRelativeNorm;
    if (outputKl !== null) facts['output moved, nats a token'] = outputKl;
    if (placeboOutputKl !== null) facts['output moved, placebo'] = placeboOutputKl;
  }
  if (measured !== undefined) {
    const { defenceGap, margins } = measured.listening;
    facts['defence gap before'] = defenceGap.before;
    facts['defence gap after'] = defenceGap.after;
    for (const [arm, { mean, median, trimmed }] of Object.entries(margins)) {
      facts[`margin, ${arm}: mean`] = mean;
      facts[`margin, ${arm}: median`] = median;
      facts[`margin, ${arm}: without tails`] = trimmed;
    }
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

// The first line of a morning: what became of a night, in plain words. What was decided since is
// said by its status.

export interface HeadlineInput extends Pick<NightSummary, 'flagged' | 'listening' | 'reasons'> {
  readonly verdict: NightVerdict;
  readonly number: number;
  /** Those of a night without a delta are to be trained elsewhere. */
  readonly lessons?: number | undefined;
}

export function headlineOf(input: HeadlineInput): string {
  const { verdict, number, lessons = 0 } = input;
  const night = `Night ${number}`;
  if (verdict === 'nothing-to-learn' && lessons > 0) {
    return `${night} has ${lessons} lessons, to be trained elsewhere: attune night export-job.`;
  }
  if (verdict === 'nothing-to-learn') return `${night} had nothing to learn.`;
  if (verdict === 'failed' || verdict === 'stopped') return `${night} failed.`;
  // One reason is enough for a line; the page has them all.
  const [why = ''] = againstReasons(input);
  const isAgainst = verdict === 'refused' && why !== '';
  const rest = isAgainst ? `Not recommended: ${why}.` : elsewhereText(input);
  const said = [changeText(input), rest].filter(Boolean).join(' ');
  return `${night}: ${said || 'nothing was measured.'}`;
}

// Whether a reply does what the person said, as far as its words tell: for a page on which both
// stand, and for nothing that judges a night.

/** They ask how to reply, which the words of a reply do not show. */
const MANNER = new RegExp(
  String.raw`\b(?:answer|reply|respond|sentences?|words?|lists?|bullets?|paragraphs?|short(?:er)?|` +
    String.raw`brief(?:ly)?|call me|language|tone|advice|listen)\b`,
  'i',
);
/** They direct and are no part of what is wanted. */
const DIRECTING = new Set(
  `choice choose decided decision enter fill keep like make note pick prefer put set take use want
  write`
    .split(/\s+/)
    .map(stem),
);

const stemsOf = (text: string): string[] => contentWords(text).map((word) => word.text);

/**
 * All before the marked direction, what stands beside it, and the last message. What was said
 * between them may only repeat it.
 */
function besides({ messages, spans }: Marked): string {
  const directed = spans.findLast(({ feature }) => feature === 'direction')?.message ?? 0;
  const texts = messages.map(({ content }, at) =>
    at > directed && at < messages.length - 1 ? '' : content,
  );
  for (const { feature, message, start, end } of spans) {
    const text = texts[message];
    if (feature !== 'direction' || text === undefined) continue;
    texts[message] = text.slice(0, start) + ' '.repeat(end - start) + text.slice(end);
  }
  return texts.join('\n');
}

/** Stems of the words that only the direction brought in, and that a reply can take up. */
function wantedWords(moment: Marked): string[] {
  const direction = featureText(moment, 'direction').join(' ').replace(UNWANTED, ' ');
  const known = new Set(stemsOf(besides(moment)));
  const isBroughtIn = (word: string): boolean => !known.has(word) && !DIRECTING.has(word);
  return [...new Set(stemsOf(direction))].filter(isBroughtIn);
}

/**
 * True when the reply takes up most words that only the direction brought in, before any word of
 * the model's own idea. Null where words cannot tell: it brought in none, or asks how to reply.
 */
export function doesIt(moment: Marked, reply: string): boolean | null {
  const wanted = wantedWords(moment);
  const direction = featureText(moment, 'direction').join(' ');
  if (wanted.length === 0 || MANNER.test(direction)) return null;
  if (brokenness(reply) !== undefined) return false;
  const said = stemsOf(reply);
  const taken = wanted.filter((word) => said.includes(word));
  if (taken.length * 2 <= wanted.length) return false;
  const ideas = new Set(stemsOf(featureText(moment, 'own-idea').join(' ')));
  const ideaAt = said.findIndex((word) => ideas.has(word) && !wanted.includes(word));
  return ideaAt < 0 || said.findIndex((word) => wanted.includes(word)) < ideaAt;
}
