// A scenario: a conversation up to a decision point, marked spans, a reply that listens and one
// that does not. It is also the training example's file format. It knows text, never tokens.
import { z } from 'zod';
import { AttuneError } from '../base/errors.ts';
import { TemplateVariables } from '../protocol/conversation.ts';
import { KINDS } from './kind.ts';
import { placeQuote, type Span, spanSchema } from './span.ts';

/** Where a scenario comes from. `suite` and `sgd` are never dreamt. */
const ORIGINS = ['suite', 'sgd', 'flag', 'dream', 'log'] as const;

const messageSchema = z.strictObject({
  role: z.enum(['system', 'user', 'assistant']),
  content: z.string().min(1).max(100_000),
});

/** A span as written in a file: by offsets, or by words that occur exactly once in the message. */
const writtenSpanSchema = z.union([
  spanSchema,
  spanSchema.pick({ feature: true, message: true }).extend({ quote: z.string().min(1) }),
]);

/**
 * What the check of the kind looks for beyond the spans. Each entry is a list of phrases; a list
 * of lists means "one of each". Phrases match whole words, whatever their case.
 */
const factsSchema = z.strictObject({
  /** A listening reply has one phrase of each inner list. */
  needs: z.array(z.array(z.string().min(1)).min(1)).exactOptional(),
  /** A listening reply has none of these. */
  avoids: z.array(z.string().min(1)).exactOptional(),
});

/** Who teaches: the same model with another last message. `chosen` is what it says to that. */
const teacherSchema = z.strictObject({
  way: z.enum(['restated', 'hint', 'better']),
  last: z.string().min(1).max(100_000),
});
export type TeacherWay = z.infer<typeof teacherSchema>['way'];

/** The placebo's teacher: another sentence of the person said again, and what the model says then. */
const placeboSchema = z.strictObject({
  last: z.string().min(1).max(100_000),
  reply: z.string().min(1).max(20_000),
});

export const writtenScenarioSchema = z.strictObject({
  id: z.string().min(1).max(200),
  kind: z.enum(KINDS),
  messages: z.array(messageSchema).min(1).max(1000),
  spans: z.array(writtenSpanSchema).max(200).default([]),
  /** The reply that listens. */
  chosen: z.string().min(1).max(20_000),
  /** The reply that does not, where there is one. */
  rejected: z.string().min(1).max(20_000).exactOptional(),
  source: z.strictObject({
    origin: z.enum(ORIGINS),
    /** Statistics treat everything of one cluster (dialogue, flag, template) as one source. */
    cluster: z.string().min(1),
    domain: z.string().min(1),
  }),
  /** How the chat rendered it, and a night does: when it began, variables of the template. */
  rendering: z.strictObject({ at: z.int(), variables: TemplateVariables }).exactOptional(),
  /** The two sides of a crossed pair have the same two candidates, exchanged. */
  pair: z.strictObject({ id: z.string().min(1), side: z.enum(['a', 'b']) }).exactOptional(),
  facts: factsSchema.exactOptional(),
  /** Of a lesson. A scenario without one trains only to stay as it is. */
  teacher: teacherSchema.exactOptional(),
  placebo: placeboSchema.exactOptional(),
});
type WrittenScenario = z.output<typeof writtenScenarioSchema>;

export type Rendering = NonNullable<WrittenScenario['rendering']>;
export type ScenarioMessage = z.infer<typeof messageSchema>;

/** A checked scenario: the last message is the person's, spans lie where they claim. */
export interface Scenario extends Readonly<Omit<WrittenScenario, 'messages' | 'spans'>> {
  readonly messages: readonly Readonly<ScenarioMessage>[];
  readonly spans: readonly Span[];
}

/** Checks a written scenario. @throws AttuneError scenario-invalid with what does not fit. */
export function parseScenario(value: unknown, where = 'scenario'): Scenario {
  const parsed = writtenScenarioSchema.safeParse(withoutUndefined(value));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const path = issue?.path.join('.') ?? '';
    throw invalid(where, `${path === '' ? '' : `${path}: `}${issue?.message ?? 'does not fit'}`);
  }
  const { data } = parsed;
  if (data.messages.at(-1)?.role !== 'user') {
    throw invalid(where, 'the last message must be the person’s (role "user")');
  }
  if (data.rejected === data.chosen) {
    throw invalid(where, 'chosen and rejected are the same words');
  }
  return { ...data, spans: data.spans.map((span) => placeSpan(span, data.messages, where)) };
}

/** What is undefined is as if it were not there. */
function withoutUndefined(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined));
}

function placeSpan(
  span: z.output<typeof writtenSpanSchema>,
  messages: readonly ScenarioMessage[],
  where: string,
): Span {
  const content = messages[span.message]?.content;
  if (content === undefined) {
    throw invalid(where, `a span names message ${span.message}, there are ${messages.length}`);
  }
  if ('quote' in span) {
    const { start, end } = placeQuote(span.quote, content, where);
    return { feature: span.feature, message: span.message, start, end };
  }
  if (span.start >= span.end || span.end > content.length) {
    throw invalid(where, `span [${span.start}, ${span.end}) is not inside its message`);
  }
  return span;
}

function invalid(where: string, reason: string): AttuneError {
  return new AttuneError('scenario-invalid', `${where}: ${reason}`, { where });
}

/** How many of the person's turns ago the latest direction was given; 1 = the last turn. */
export function directionDistance(scenario: Scenario): number | undefined {
  const at = Math.max(
    ...scenario.spans.filter((s) => s.feature === 'direction').map((s) => s.message),
  );
  if (!Number.isFinite(at)) return undefined;
  return scenario.messages.slice(at).filter((m) => m.role === 'user').length;
}

// Another version of a scenario, for control: without the model's own idea.

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
