// Which dreams may train: quality before quantity, each refusal with its reason.
import { isAttuneError } from '../base/errors.ts';
import type { Engine } from '../engine/engine.ts';
import { mean } from '../measure/statistics.ts';
import { checkReply } from '../scenario/check.ts';
import { KIND } from '../scenario/kind.ts';
import { parseScenario, type Scenario } from '../scenario/scenario.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Draft } from './draft.ts';
import { TALK } from './echo.ts';
import { isNearCopy, shingles } from './near-copy.ts';

export interface AdmitOptions {
  readonly engine: Engine;
  readonly tokenizer: Tokenizer;
  /** Whether a text nearly copies a conversation that measures: what measures must never train. */
  readonly isTestCopy?: (text: string) => boolean;
  readonly signal?: AbortSignal;
  readonly beforeEach?: () => Promise<void>;
}

export interface Dream {
  readonly draft: Draft;
  readonly scenario: Scenario;
  /** Mean log-probability a token of `chosen` minus that of `rejected`, under the current weights. */
  readonly margin: number | null;
}

export interface Refusal {
  readonly draft: Draft;
  readonly reason: string;
}

export interface Admitted {
  readonly dreams: readonly Dream[];
  readonly refused: readonly Refusal[];
}

/** The draft as a scenario. @throws scenario-invalid */
export function scenarioOfDraft(draft: Draft): Scenario {
  const { id, kind, messages, spans, chosen, rejected, facts, pair, seed, angle } = draft;
  return parseScenario(
    {
      id,
      kind,
      messages,
      spans,
      chosen: chosen ?? '',
      ...(rejected === undefined ? {} : { rejected }),
      ...(facts === undefined ? {} : { facts }),
      ...(pair === undefined ? {} : { pair }),
      source: { origin: 'dream', cluster: seed.cluster, domain: angle.domain },
    },
    id,
  );
}

/** Why the words themselves keep a dream out; undefined when they do not. */
export function judgeWords(draft: Draft): string | undefined {
  if (draft.problem !== undefined) return draft.problem;
  let scenario: Scenario;
  try {
    scenario = scenarioOfDraft(draft);
  } catch (error) {
    if (isAttuneError(error, 'scenario-invalid')) return 'it does not parse';
    throw error;
  }
  if (draft.kind === 'listen' && !scenario.spans.some((span) => span.feature === 'direction')) {
    return 'it marks no direction';
  }
  // The person's own words are the best there are; the check only judges the model's.
  const isPersons = draft.chosenFrom === 'person';
  if (!isPersons && !checkReply(scenario, scenario.chosen).passes)
    return '`chosen` does not listen';
  if (scenario.rejected === undefined) {
    return !KIND[draft.kind].hasRejected ? undefined : 'no reply that fails to listen was found';
  }
  if (draft.rejectedFrom !== 'said' && checkReply(scenario, scenario.rejected).passes) {
    return '`rejected` listens too';
  }
  return undefined;
}

/** Tokens of context and reply, and margins in nats a token. */
const LIMITS = {
  contextTokensMax: 1024,
  replyTokensMax: 96,
  marginMin: -4,
  marginMax: 1,
  nearCopyMax: 0.6,
};

/** Nothing is to be learnt from it, and what it shows is to stay. */
export const TOO_EASY = 'it is too easy now';

/** Too long, too easy or hopeless under the current weights? */
async function judgeDifficulty(
  scenario: Scenario,
  { engine, tokenizer, signal }: AdmitOptions,
): Promise<{ margin: number | null; reason?: string }> {
  const candidates = [scenario.chosen, scenario.rejected].filter((text) => text !== undefined);
  const rendered = candidates.map((reply) => tokenizer.renderReply(scenario.messages, reply));
  const length = rendered[0]?.prompt.ids.length ?? 0;
  if (length > LIMITS.contextTokensMax) return { margin: null, reason: 'its context is too long' };
  if (rendered.some(({ replyIds }) => replyIds.length > LIMITS.replyTokensMax)) {
    return { margin: null, reason: 'a reply is too long' };
  }
  if (candidates.length < 2) return { margin: null };
  const scored = await engine.score(
    {
      sequences: rendered.map(({ prompt, replyIds }) => ({
        ids: [...prompt.ids, ...replyIds],
        from: prompt.ids.length,
      })),
    },
    signal,
  );
  const margin = mean(scored[0] ?? new Float32Array()) - mean(scored[1] ?? new Float32Array());
  if (!Number.isFinite(margin)) return { margin: null, reason: 'its margin is no number' };
  // Of a pair the harder side decides (`judgePairs`): the easy one keeps the other in check.
  const isAlone = scenario.pair === undefined;
  if (isAlone && margin > LIMITS.marginMax) return { margin, reason: TOO_EASY };
  if (margin < LIMITS.marginMin) return { margin, reason: 'it is out of reach now' };
  return { margin };
}

/**
 * A pair comes whole or not at all: one side alone would teach always, or never, to follow. It is
 * too easy when both of its sides are.
 */
function judgePairs(
  dreams: readonly Dream[],
  drafts: readonly Draft[],
  marginMax: number,
): Admitted {
  const sidesOf = (id: string): Dream[] => dreams.filter(({ draft }) => draft.pair?.id === id);
  const written = (id: string): number => drafts.filter(({ pair }) => pair?.id === id).length;
  const reasonOf = ({ draft: { pair } }: Dream): string | undefined => {
    if (pair === undefined) return undefined;
    const sides = sidesOf(pair.id);
    if (sides.length < written(pair.id)) return 'the other side of its pair was refused';
    return sides.every(({ margin }) => (margin ?? 0) > marginMax) ? TOO_EASY : undefined;
  };
  return {
    dreams: dreams.filter((one) => reasonOf(one) === undefined),
    refused: dreams.flatMap((one) => {
      const reason = reasonOf(one);
      return reason === undefined ? [] : [{ draft: one.draft, reason }];
    }),
  };
}

/** Judges drafts in order; of two near-copies the first stays. */
export async function admit(drafts: readonly Draft[], options: AdmitOptions): Promise<Admitted> {
  const { signal } = options;
  const seen: ReadonlySet<string>[] = [];
  const dreams: Dream[] = [];
  const refused: Refusal[] = [];
  for (const draft of drafts) {
    signal?.throwIfAborted();
    await options.beforeEach?.();
    const problem = judgeWords(draft);
    if (problem !== undefined) {
      refused.push({ draft, reason: problem });
      continue;
    }
    const scenario = scenarioOfDraft(draft);
    if (options.isTestCopy?.(wordsOf(scenario)) === true) {
      refused.push({ draft, reason: 'a near-copy of a test conversation' });
      continue;
    }
    const own = shingles(wordsOf(scenario));
    const others = seen.filter((_, index) => !isAlikeOnPurpose(dreams[index]?.draft, draft));
    if (others.some((other) => isNearCopy(own, other, LIMITS.nearCopyMax))) {
      refused.push({ draft, reason: 'a near-copy of another' });
      continue;
    }
    const { margin, reason } = await judgeDifficulty(scenario, options);
    if (reason !== undefined) {
      refused.push({ draft, reason });
      continue;
    }
    dreams.push({ draft, scenario, margin });
    seen.push(own);
  }
  const paired = judgePairs(dreams, drafts, LIMITS.marginMax);
  return { dreams: paired.dreams, refused: [...refused, ...paired.refused] };
}

/**
 * The two sides of a pair, one flagged moment with its direction at several distances, and moments
 * of one talk, of which each has another reply.
 */
function isAlikeOnPurpose(one: Draft | undefined, other: Draft): boolean {
  if (one === undefined) return false;
  if (one.pair !== undefined && one.pair.id === other.pair?.id) return true;
  if (one.prompt.name === TALK && other.prompt.name === TALK) {
    return one.seed.cluster === other.seed.cluster && one.chosen !== other.chosen;
  }
  const isReplay = (draft: Draft): boolean => draft.prompt.name === 'dream/unfold';
  const isSameFlag = one.seed.id === other.seed.id && isReplay(one) && isReplay(other);
  return isSameFlag && one.angle.distance !== other.angle.distance;
}

/** All that is said in a scenario, its listening reply included. */
export const wordsOf = ({ messages, chosen }: Scenario): string =>
  [...messages.map(({ content }) => content), chosen].join(' ');
