// The night slider: flagged moments under every version from the base to a night, lit by the
// attention of the decision row, and answered again by any of them.
import { AttuneError } from '../base/errors.ts';
import type { AttentionCapture, Engine } from '../engine/engine.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { NightId } from '../ledger/manifest.ts';
import { sinkPositions, windowLayers } from '../measure/lift.ts';
import type { Sampling } from '../protocol/sampling.ts';
import type { SliderMoment, SliderReply, SliderView } from '../protocol/summary.ts';
import { answer } from '../reading/answer.ts';
import { readFlagged } from '../record/files.ts';
import type { FlaggedMoment } from '../scenario/moment.ts';
import { featureText } from '../scenario/span.ts';
import { loadableVersion } from '../swap/swap.ts';
import type { ChatTokenizer, ChatTokens } from '../tokenizer/chat-tokenizer.ts';
import { readSummary } from './list.ts';

export interface SliderParts {
  readonly engine: Engine;
  readonly ledger: Ledger;
  readonly tokenizer: ChatTokenizer;
  readonly replyTokensMax: number;
  readonly sampling: Sampling;
}

const MOMENTS_MAX = 3;
/** First takes: the same for every version, so that only the weights differ. */
const REPLY_SEED = 1;

interface Stop {
  readonly label: string;
  readonly nights: readonly NightId[];
}

/** The base, then each night active at that night's end. */
async function stopsOf(ledger: Ledger, night: NightId): Promise<Stop[]> {
  const manifest = await ledger.read(night);
  const all = manifest.delta === null ? manifest.inForce : [...manifest.inForce, night];
  const nights = await Promise.all(all.map((id) => ledger.read(id)));
  return [
    { label: 'Base', nights: [] },
    ...nights.map(({ number }, i) => ({ label: `Night ${number}`, nights: all.slice(0, i + 1) })),
  ];
}

/** Loads the version beside the one in use, where it is not the one in use. */
async function ready({ engine, ledger }: SliderParts, stop: Stop): Promise<string> {
  const source = await loadableVersion(ledger, stop.nights);
  const { version } = await engine.describe();
  if (version !== source.id) await engine.loadVersion(source);
  return source.id;
}

/** @throws night-unknown, version-mismatch while another version is being read elsewhere */
export async function sliderView(parts: SliderParts, night: NightId): Promise<SliderView> {
  const { ledger } = parts;
  const moments = (await momentsOf(ledger, night)).slice(0, MOMENTS_MAX);
  const prompts = await Promise.all(moments.map((moment) => promptOf(parts.tokenizer, moment)));
  const views = moments.map((moment, i) => emptyView(parts, moment, prompts[i] as ChatTokens));
  for (const stop of await stopsOf(ledger, night)) {
    const version = await ready(parts, stop);
    for (const [i, prompt] of prompts.entries()) {
      const rows = [prompt.ids.length - 1];
      const capture = await parts.engine.capture({ ids: prompt.ids, rows, version });
      const attention = decisionAttention(capture, prompt.ids, parts.tokenizer.controlIds);
      const view = views[i] as SliderMoment;
      view.stops.push({ label: stop.label, version, attention, share: shares(view, attention) });
    }
  }
  const summary = await readSummary(ledger, night).catch(() => undefined);
  const measure = (name: string) =>
    summary?.measures.find((one) => one.name === name)?.estimate ?? null;
  return {
    nightId: night,
    moments: views,
    frozenHash: ledger.base,
    bothRight: measure('bothRight'),
    beyondPlacebo: measure('beyondPlacebo'),
  };
}

/** Held-back moments first: they show what carried over, not what was drilled. */
async function momentsOf(ledger: Ledger, night: NightId): Promise<FlaggedMoment[]> {
  const all = await readFlagged(ledger.folderOf(night)).catch(() => []);
  const missed = all.filter(({ kind }) => kind === 'missed');
  return missed.sort(
    (a, b) => Number(b.isHeldBack) - Number(a.isHeldBack) || b.strength - a.strength,
  );
}

function promptOf(tokenizer: ChatTokenizer, { context }: FlaggedMoment): Promise<ChatTokens> {
  const { messages, spans, rendering } = context;
  return tokenizer.renderChat(messages, { ...rendering, addGenerationPrompt: true, spans });
}

function emptyView(
  { tokenizer }: SliderParts,
  { flagId, context }: FlaggedMoment,
  prompt: ChatTokens,
): SliderMoment {
  const decoder = tokenizer.createStreamDecoder();
  const feature = new Array<string | null>(prompt.ids.length).fill(null);
  for (const [index, [from, to]] of prompt.spans.entries()) {
    feature.fill(context.spans[index]?.feature ?? null, from, to);
  }
  const starts = prompt.messages.map((message) => message.start);
  const tokens = prompt.ids.map((id, i) => {
    const text = tokenizer.controlIds.has(id) ? '' : decoder.push(id);
    const said = starts.findLastIndex((start) => start <= i);
    const role = context.messages[Math.max(0, said)]?.role ?? 'user';
    const isFirst = starts.includes(i) && i > 1;
    return { text: isFirst ? `\n${text}` : text, role, feature: feature[i] ?? null };
  });
  const [direction = ''] = featureText(context, 'direction');
  return { flagId, direction, tokens, stops: [] };
}

/**
 * The decision row's attention on each key: mean over the heads of the window's layers, the sink
 * (first positions, control tokens) left out and the rest scaled to a sum of 1.
 */
export function decisionAttention(
  capture: AttentionCapture,
  ids: readonly number[],
  controlIds: ReadonlySet<number>,
): number[] {
  const { layers, heads, keys, weights } = capture;
  const sink = sinkPositions(ids, controlIds);
  const mean = new Array<number>(keys).fill(0);
  const lines = windowLayers(layers) * heads;
  for (let line = 0; line < lines; line += 1) {
    for (let key = 0; key < keys; key += 1) {
      if (!sink.has(key)) mean[key] = (mean[key] ?? 0) + (weights[line * keys + key] ?? 0);
    }
  }
  const total = mean.reduce((sum, value) => sum + value, 0);
  return total === 0 ? mean : mean.map((value) => value / total);
}

function shares({ tokens }: SliderMoment, attention: readonly number[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const [i, { feature }] of tokens.entries()) {
    if (feature !== null) sums[feature] = (sums[feature] ?? 0) + (attention[i] ?? 0);
  }
  return sums;
}

/** Has one version answer a moment again. @throws night-unknown when there is no such moment or stop */
export async function sliderReply(
  parts: SliderParts,
  night: NightId,
  { flagId, stop }: { flagId: string; stop: number },
  signal: AbortSignal,
): Promise<SliderReply> {
  const moment = (await momentsOf(parts.ledger, night)).find((one) => one.flagId === flagId);
  const target = (await stopsOf(parts.ledger, night))[stop];
  if (moment === undefined || target === undefined) {
    const message = `${night} has no such moment or stop.`;
    throw new AttuneError('night-unknown', message, { night, flagId });
  }
  const version = await ready(parts, target);
  const text = await answer(moment.context, {
    engine: parts.engine,
    tokenizer: parts.tokenizer,
    sampling: { ...parts.sampling, seed: REPLY_SEED },
    replyTokensMax: parts.replyTokensMax,
    version,
    signal,
  });
  return { text, version };
}
