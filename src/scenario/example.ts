// A scenario as token ids: the context, and each candidate as decision tokens with their targets.
import { at } from '../base/at.ts';
import { AttuneError } from '../base/errors.ts';
import { firstKeptTurn } from '../conversation/window.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Scenario, ScenarioMessage } from './scenario.ts';
import type { Span } from './span.ts';

/** What is needed of a tokenizer. */
export type ChatRenderer = Pick<Tokenizer, 'renderChat' | 'renderReply'>;

/**
 * One candidate reply. Row `i` runs token `ids[i]` and predicts `targets[i]`; row 0 is the last
 * token of the prompt, so the first reply token is learnt too. All of the same length.
 */
export interface Candidate {
  readonly ids: readonly number[];
  readonly targets: readonly number[];
  /** 1 = the target counts. */
  readonly lossMask: readonly number[];
}

export interface TokenSpan {
  readonly feature: Span['feature'];
  /** Positions `[start, end)` in the prompt. */
  readonly start: number;
  readonly end: number;
}

export interface Example {
  readonly scenario: Scenario;
  /** Prompt tokens but the last: they run without gradient. */
  readonly contextIds: readonly number[];
  /** The same for the teacher, where the scenario has one. */
  readonly teacherIds?: readonly number[];
  readonly chosen: Candidate;
  readonly rejected?: Candidate;
  readonly spans: readonly TokenSpan[];
  /** Whole old turns that were left out. */
  readonly droppedTurns: number;
}

export interface ExampleLimits {
  /** Tokens of prompt and reply together. */
  readonly windowTokens: number;
  readonly replyTokensMax: number;
}

/**
 * Renders a scenario. Too long: whole old turns go first, by the rule of the live chat, and replies
 * end at their limit.
 * @throws AttuneError scenario-too-long when the direction would go
 */
export function toExample(
  scenario: Scenario,
  renderer: ChatRenderer,
  limits: ExampleLimits,
): Example {
  const { messages, spans, droppedTurns } = fitted(scenario, renderer, limits);
  const { chosen, rejected, rendering = {}, teacher } = scenario;
  const { prompt, replyIds } = renderer.renderReply(messages, chosen, rendering);
  const last = at(prompt.ids, -1);
  const candidate = (ids: readonly number[]): Candidate =>
    toCandidate(last, ids.slice(0, limits.replyTokensMax));
  return {
    scenario,
    contextIds: prompt.ids.slice(0, -1),
    ...(teacher !== undefined && {
      teacherIds: renderer
        .renderReply(
          [...messages.slice(0, -1), { role: 'user', content: teacher.last }],
          chosen,
          rendering,
        )
        .prompt.ids.slice(0, -1),
    }),
    chosen: candidate(replyIds),
    ...(rejected !== undefined && {
      rejected: candidate(renderer.renderReply(messages, rejected, rendering).replyIds),
    }),
    spans: spans.map((span) => {
      const [start, end] = prompt.spanToTokens(span.message, span.start, span.end);
      return { feature: span.feature, start, end };
    }),
    droppedTurns,
  };
}

/** Messages and spans that stay in the window. */
function fitted(
  scenario: Scenario,
  renderer: ChatRenderer,
  limits: ExampleLimits,
): { messages: readonly ScenarioMessage[]; spans: readonly Span[]; droppedTurns: number } {
  const { messages, spans, rendering } = scenario;
  const rendered = renderer.renderChat(messages, { ...rendering, addGenerationPrompt: true });
  const isSystem = messages[0]?.role === 'system';
  const turns = turnStarts(messages, isSystem ? 1 : 0);
  const turnTokens = turns.map((start, turn) => {
    const next = turns[turn + 1] ?? messages.length;
    return (rendered.messages[next - 1]?.end ?? 0) - (rendered.messages[start]?.start ?? 0);
  });
  const total = turnTokens.reduce((a, b) => a + b, 0);
  const first = firstKeptTurn(turnTokens, {
    windowTokens: limits.windowTokens,
    replyTokens: limits.replyTokensMax,
    fixedTokens: rendered.ids.length - total,
  });
  const kept = turnTokens.slice(first).reduce((a, b) => a + b, 0) + rendered.ids.length - total;
  if (kept + limits.replyTokensMax > limits.windowTokens) {
    throw tooLong(scenario.id, `the last turn alone has ${kept} tokens`, limits);
  }
  const from = turns[first] ?? 0;
  const to = isSystem ? 1 : 0;
  const isDropped = (span: Span): boolean => span.message >= to && span.message < from;
  if (spans.some((span) => span.feature === 'direction' && isDropped(span))) {
    throw tooLong(scenario.id, 'its direction would be left out', limits);
  }
  return {
    messages: [...messages.slice(0, to), ...messages.slice(from)],
    spans: spans
      .filter((span) => !isDropped(span))
      .map((span) => (span.message < to ? span : { ...span, message: span.message - from + to })),
    droppedTurns: first,
  };
}

/** Index of the first message of each turn: a person's message, or a reply at the beginning. */
function turnStarts(messages: readonly ScenarioMessage[], from: number): number[] {
  return messages.flatMap((message, index) =>
    index >= from && (index === from || message.role === 'user') ? [index] : [],
  );
}

/** @param last the last token of the prompt, @param replyIds ends with the token of the turn's end */
export function toCandidate(last: number, replyIds: readonly number[]): Candidate {
  return {
    ids: [last, ...replyIds.slice(0, -1)],
    targets: replyIds,
    lossMask: replyIds.map(() => 1),
  };
}

function tooLong(id: string, reason: string, limits: ExampleLimits): AttuneError {
  const message =
    `${id}: ${reason}; the window holds ${limits.windowTokens} tokens, ` +
    `a reply ${limits.replyTokensMax}`;
  return new AttuneError('scenario-too-long', message, { id });
}
