// Another version of a scenario, for control: without the model's own idea.
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
