// Other versions of one scenario for controls: without the own idea, with another's direction.
import type { Scenario, ScenarioMessage } from './scenario.ts';
import type { Span } from './span.ts';

/** Stands where a cut leaves a message empty. */
const NEUTRAL = { assistant: 'Okay.', user: 'Okay.', system: 'Hello.' } as const;

/**
 * The same scenario with its own-idea spans cut out, for the defence gap (with or without an own
 * idea in the context, the direction is to be heard alike). Undefined when there is none.
 */
export function withoutOwnIdea(scenario: Scenario): Scenario | undefined {
  const cuts = scenario.spans.filter((span) => span.feature === 'own-idea');
  if (cuts.length === 0) return undefined;
  const messages = scenario.messages.map((message, index) =>
    cut(
      message,
      cuts.filter((span) => span.message === index),
    ),
  );
  const spans = scenario.spans
    .filter((span) => span.feature !== 'own-idea')
    .flatMap((span) => moved(span, scenario, messages));
  return { ...scenario, id: `${scenario.id}~bare`, messages, spans };
}

function cut(message: ScenarioMessage, cuts: readonly Span[]): ScenarioMessage {
  let content = message.content;
  for (const span of [...cuts].sort((a, b) => b.start - a.start)) {
    content = `${content.slice(0, span.start).trimEnd()} ${content.slice(span.end).trimStart()}`;
  }
  content = cuts.length === 0 ? content : content.trim();
  return { ...message, content: content === '' ? NEUTRAL[message.role] : content };
}

/** A span's place after the cut: by its words, where they are still there once. */
function moved(span: Span, before: Scenario, after: readonly ScenarioMessage[]): Span[] {
  const words = before.messages[span.message]?.content.slice(span.start, span.end) ?? '';
  const content = after[span.message]?.content ?? '';
  const start = content.indexOf(words);
  if (start < 0) return [];
  return [{ ...span, start, end: start + words.length }];
}

/**
 * The placebo's scenario: the messages that hold the direction (the last one where no direction
 * is marked) are exchanged with another scenario's, so that surface can be learnt and listening
 * cannot. Candidates, kind and everything else stay.
 */
export function withOtherDirection(scenario: Scenario, other: Scenario): Scenario {
  const theirs = directionMessages(other).map((index) => other.messages[index]?.content ?? '');
  const ours = directionMessages(scenario);
  const messages = scenario.messages.map((message, index) => {
    const at = ours.indexOf(index);
    if (at < 0) return message;
    // Align from the end: the latest direction takes the other's latest.
    const content = theirs.at(Math.max(at - ours.length, -theirs.length)) ?? message.content;
    return { ...message, content };
  });
  const spans = scenario.spans.filter((span) => !ours.includes(span.message));
  return { ...scenario, id: `${scenario.id}~deaf`, messages, spans };
}

function directionMessages(scenario: Scenario): number[] {
  const marked = scenario.spans.filter(
    (span) => span.feature === 'direction' && scenario.messages[span.message]?.role === 'user',
  );
  const all = marked.length > 0 ? marked.map((s) => s.message) : [scenario.messages.length - 1];
  return [...new Set(all)].sort((a, b) => a - b);
}
