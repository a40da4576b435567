// What the model says by itself before and after a night: greedy replies judged by fixed rules, how
// many changed for the worse, and how far the distribution moved on the replies of before.
import { at } from '../base/at.ts';
import { spoken } from '../conversation/spoken.ts';
import type { DecodedToken, Engine, GenerateRequest } from '../engine/engine.ts';
import { GREEDY } from '../protocol/sampling.ts';
import type { RepliesView } from '../protocol/summary.ts';
import { klOfLogits, logSoftmaxRow } from '../reading/logits.ts';
import type { Reader, TrainableWeights } from '../reading/reader.ts';
import type { HostTensor } from '../runtime/executor.ts';
import type { Candidate, ChatRenderer } from '../scenario/example.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { type Estimate, type EstimateOptions, estimate, mean } from './statistics.ts';

export interface Judgement {
  /** 1: what the moment asks for. −1: the opposite of it. */
  readonly rank: -1 | 0 | 1;
  /** What decided, in a few words. */
  readonly reason: string;
}

/** A moment that the model answers by itself. */
export interface Question {
  readonly scenario: Scenario;
  /** What it is shown as. */
  readonly kind: string;
  /** It must not become worse; otherwise it is shown beside those. */
  readonly isHold: boolean;
  readonly judge: (reply: string) => Judgement;
}

/** The reply under the weights before, as token ids. */
export interface Draft {
  readonly question: Question;
  readonly promptIds: readonly number[];
  /** Without the token that ends it. */
  readonly ids: readonly number[];
  /** False: it was cut off at the limit. */
  readonly isEnded: boolean;
  /** The likeliest tokens at each of `ids`, with their log p. */
  readonly tops: readonly (readonly { readonly id: number; readonly logprob: number }[])[];
}

/** A draft as the weights after have it: what they would say as well, and where they depart. */
export interface Checked {
  readonly draft: Draft;
  /** Tokens of the draft that the greedy reply has too. */
  readonly kept: number;
  /** What it says instead at `kept`; undefined: its end, or the draft is all of it. */
  readonly next: number | undefined;
  /** Whether the reply goes on behind these. */
  readonly isOpen: boolean;
  /** Mean KL a token from the weights before, on the draft, nats. */
  readonly kl: number;
}

export interface ReplyOptions {
  readonly engine: Pick<Engine, 'generate'>;
  readonly version: string;
  readonly stopIds: readonly number[];
  readonly replyTokensMax: number;
  readonly signal?: AbortSignal;
  /** Awaited before each batch. */
  readonly beforeEach?: () => Promise<void>;
}

/** Replies that are asked for at once: the engine decodes them together. */
const BATCH = 16;
/** Tokens that KL tells apart; all others are one. So the training counts, too. */
const TOP = 64;

async function inBatches<T, R>(
  items: readonly T[],
  { beforeEach }: Pick<ReplyOptions, 'beforeEach'>,
  run: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  for (let from = 0; from < items.length; from += BATCH) {
    await beforeEach?.();
    results.push(...(await Promise.all(items.slice(from, from + BATCH).map(run))));
  }
  return results;
}

/** @throws the signal's reason: a reply that was cut off is none */
async function decode(
  request: Pick<GenerateRequest, 'ids' | 'topLogprobs' | 'replyTokensMax'>,
  { engine, version, stopIds, signal }: ReplyOptions,
  onToken: (token: DecodedToken) => void = () => undefined,
): Promise<{ ids: readonly number[]; isEnded: boolean }> {
  const sampling = { ...GREEDY, seed: 0 };
  const { ids, stopReason } = await engine.generate(
    { ...request, sampling, version, stopIds },
    onToken,
    signal,
  );
  signal?.throwIfAborted();
  return { ids, isEnded: stopReason === 'stop' };
}

/** The greedy reply to each question that leaves it room in the window. */
export function draftReplies(
  questions: readonly Question[],
  renderer: Pick<ChatRenderer, 'renderChat'>,
  options: ReplyOptions & { readonly windowTokens: number },
): Promise<Draft[]> {
  const { windowTokens, replyTokensMax } = options;
  const asked = questions.flatMap((question) => {
    const { messages, rendering } = question.scenario;
    const { ids } = renderer.renderChat(messages, { ...rendering, addGenerationPrompt: true });
    return ids.length + replyTokensMax > windowTokens ? [] : [{ question, promptIds: ids }];
  });
  return inBatches(asked, options, async ({ question, promptIds }) => {
    const tops: DecodedToken['top'][] = [];
    const request = { ids: promptIds, topLogprobs: TOP, replyTokensMax };
    const reply = await decode(request, options, ({ top }) => void tops.push(top));
    return { question, promptIds, ...reply, tops: tops.map((top) => top ?? []) };
  });
}

export interface CheckOptions extends Pick<ReplyOptions, 'stopIds' | 'beforeEach'> {
  readonly reader: Reader;
  /**
   * The weights before, where the engine that made the drafts rounds otherwise than the reader:
   * both distributions are then read here and the reply is decoded again as a whole, so that no
   * difference of the two counts as one of the weights.
   */
  readonly before?: TrainableWeights | undefined;
}

/**
 * One pass over each draft under other weights: it says where the greedy reply departs from it. A
 * reply that is the same to the token costs no decoding, and cannot be worse.
 */
export async function checkDrafts(
  drafts: readonly Draft[],
  weights: TrainableWeights,
  { reader, stopIds, beforeEach, before }: CheckOptions,
): Promise<Checked[]> {
  const checked: Checked[] = [];
  const logitsOf = async (draft: Draft, under: TrainableWeights): Promise<HostTensor> => {
    const cache = await reader.prefill(draft.promptIds.slice(0, -1), under);
    return reader.logits(cache, rowsOf(draft), under).finally(() => cache.release());
  };
  for (const draft of drafts) {
    await beforeEach?.();
    const logits = await logitsOf(draft, weights);
    if (before !== undefined) {
      const kl = klOfLogits(await logitsOf(draft, before), logits);
      checked.push({ draft, kept: 0, next: undefined, isOpen: true, kl });
      continue;
    }
    const { data, shape } = logits;
    const size = shape[1] as number;
    const rows = Array.from({ length: shape[0] as number }, (_, row) =>
      data.subarray(row * size, (row + 1) * size),
    );
    const said = rows.map((row) => greedy(row));
    const end = draft.ids.length;
    const isSame = (id: number, row: number): boolean =>
      row < end ? id === draft.ids[row] : stopIds.includes(id);
    const first = said.findIndex((id, row) => !isSame(id, row));
    const kept = first < 0 ? end : first;
    const next = first < 0 || stopIds.includes(at(said, first)) ? undefined : said[first];
    const kls = draft.tops.map((top, row) => klOfTop(top, at(rows, row)));
    checked.push({ draft, kept, next, isOpen: next !== undefined, kl: mean(kls) });
  }
  return checked;
}

/** The draft as decision rows; one that came to its end has a row for the token that ends it. */
function rowsOf({ promptIds, ids, isEnded }: Draft): Candidate {
  const all = [at(promptIds, -1), ...ids];
  const rows = isEnded ? all : all.slice(0, -1);
  return { ids: rows, targets: rows.map(() => 0), lossMask: rows.map(() => 0) };
}

function greedy(logits: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) {
    if ((logits[i] as number) > (logits[best] as number)) best = i;
  }
  return best;
}

/** `Σ p (log p − log q)` over the tokens of `top` and all the others as one, nats. */
function klOfTop(top: Draft['tops'][number], logits: ArrayLike<number>): number {
  const after = logSoftmaxRow(logits);
  let [kl, p, q] = [0, 0, 0];
  for (const { id, logprob } of top) {
    const share = Math.exp(logprob);
    kl += share * (logprob - at(after, id));
    p += share;
    q += Math.exp(at(after, id));
  }
  const [rest, other] = [1 - p, Math.max(1 - q, 1e-12)];
  return Math.max(0, rest <= 1e-9 ? kl : kl + rest * Math.log(rest / other));
}

export interface ChangedReply {
  readonly question: Question;
  readonly before: Judgement & { readonly reply: string };
  readonly after: Judgement & { readonly reply: string };
  readonly isSame: boolean;
  readonly kl: number;
}

/** Decodes the rest of the replies that depart from their draft, and judges both. */
export function finishReplies(
  checked: readonly Checked[],
  decoder: { decode(ids: readonly number[]): string },
  options: ReplyOptions,
): Promise<ChangedReply[]> {
  return inBatches(checked, options, async ({ draft, kept, next, isOpen, kl }) => {
    const { question, promptIds, ids } = draft;
    const begun = [...ids.slice(0, kept), ...(next === undefined ? [] : [next])];
    const left = options.replyTokensMax - begun.length;
    const rest =
      isOpen && left > 0
        ? (await decode({ ids: [...promptIds, ...begun], replyTokensMax: left }, options)).ids
        : [];
    const all = [...begun, ...rest];
    const judged = (said: readonly number[]): ChangedReply['after'] => {
      const reply = spoken(decoder.decode(said)).trim();
      return { ...question.judge(reply), reply };
    };
    const isSame = all.length === ids.length && all.every((id, i) => id === ids[i]);
    const before = judged(ids);
    return { question, before, after: isSame ? before : judged(all), isSame, kl };
  });
}

/** Counted over replies. */
export interface ReplyShares {
  readonly replies: number;
  /** Shares that do what the moment asks for. */
  readonly before: number;
  readonly after: number;
  readonly change: Estimate;
  /** The same to the token. */
  readonly same: number;
  /** Changed for the better, and for the worse. */
  readonly won: number;
  readonly lost: number;
  /** One-sided 95 % bound of the share that changed for the worse, net of those for the better. */
  readonly lossBound: number;
  /** Nats a token, on the replies of before. */
  readonly kl: number;
}

/** Plain JSON. */
export interface ReplyChange {
  /** All kinds that must not become worse, together. */
  readonly holds: ReplyShares;
  readonly kinds: readonly (ReplyShares & { readonly kind: string; readonly isHold: boolean })[];
  /** The first of each kind that differ; none from a person's conversations. */
  readonly samples: RepliesView['samples'];
}

const SAMPLES_PER_KIND = 2;

export function replyChange(
  replies: readonly ChangedReply[],
  options: EstimateOptions,
): ReplyChange {
  const kinds = [...new Set(replies.map(({ question }) => question.kind))];
  const ofKind = (kind: string): ChangedReply[] =>
    replies.filter(({ question }) => question.kind === kind);
  return {
    holds: sharesOf(
      replies.filter(({ question }) => question.isHold),
      options,
    ),
    kinds: kinds.map((kind) => {
      const own = ofKind(kind);
      return { kind, isHold: own[0]?.question.isHold === true, ...sharesOf(own, options) };
    }),
    samples: kinds.flatMap((kind) => samplesOf(ofKind(kind))),
  };
}

function sharesOf(replies: readonly ChangedReply[], options: EstimateOptions): ReplyShares {
  const ranked = replies.map(({ question, before, after }) => ({
    value: after.rank - before.rank,
    cluster: question.scenario.source.cluster,
  }));
  const passing = replies.map(({ question, before, after }) => ({
    value: Number(after.rank === 1) - Number(before.rank === 1),
    cluster: question.scenario.source.cluster,
  }));
  const share = (side: 'before' | 'after'): number =>
    mean(replies.map((reply) => Number(reply[side].rank === 1)));
  return {
    replies: replies.length,
    before: share('before'),
    after: share('after'),
    change: estimate(passing, options),
    same: replies.filter(({ isSame }) => isSame).length,
    won: ranked.filter(({ value }) => value > 0).length,
    lost: ranked.filter(({ value }) => value < 0).length,
    lossBound: lossBound(ranked, options),
    kl: mean(replies.map(({ kl }) => kl)),
  };
}

/** The standard normal's 95 % quantile. */
const Z = 1.645;

/**
 * Upper 95 % bound of (lost − won) / all: the larger of the clustered bootstrap's and of that made
 * of Wilson's bounds of both shares, since a bootstrap of equal replies knows no doubt.
 * Source: Newcombe 1998, "Improved confidence intervals for the difference between binomial
 * proportions based on paired data".
 */
function lossBound(
  ranked: readonly { readonly value: number; readonly cluster: string }[],
  options: EstimateOptions,
): number {
  const all = ranked.length;
  if (all === 0) return 1;
  const losses = ranked.map(({ value, cluster }) => ({ value: -Math.sign(value), cluster }));
  const lost = losses.filter(({ value }) => value > 0).length / all;
  const won = losses.filter(({ value }) => value < 0).length / all;
  const doubt = Math.hypot(wilson(lost, all, Z) - lost, won - wilson(won, all, -Z));
  const clustered = estimate(losses, { ...options, level: 0.9 });
  const bound = lost - won + doubt;
  return Math.min(1, clustered.clusters < 2 ? bound : Math.max(bound, clustered.high));
}

/** The end of Wilson's interval of a share of `all`, `z` standard errors away. */
function wilson(share: number, all: number, z: number): number {
  const root = Math.sqrt((share * (1 - share)) / all + z ** 2 / (4 * all ** 2));
  return (share + z ** 2 / (2 * all) + z * root) / (1 + z ** 2 / all);
}

function samplesOf(replies: readonly ChangedReply[]): ReplyChange['samples'] {
  return replies
    .filter(({ question }) => question.scenario.source.origin === 'suite')
    .filter(({ before, after }) => before.reply !== after.reply)
    .slice(0, SAMPLES_PER_KIND)
    .map(({ question: { scenario, kind }, before, after }) => ({
      id: scenario.id,
      kind,
      said: scenario.messages.at(-1)?.content ?? '',
      before: sampled(before),
      after: sampled(after),
    }));
}

const sampled = ({ reply, rank, reason }: ChangedReply['after']) => ({
  reply,
  passes: rank === 1,
  reason,
});
