// The shape of a flagged moment: who proposed what, and how and when the person directed. No words.

import { extractItems } from '../memory/extract.ts';
import type { FlaggedMoment } from '../scenario/moment.ts';
import { featureText } from '../scenario/span.ts';
import { contentWords } from '../scenario/words.ts';
import { SEED_FEATURES, type SeedFeature, type Shape } from './draft.ts';

const REFUSAL = /\b(?:no|not|don't|do not|never|stop|without|instead|rather than|nothing)\b/i;
const TECHNICAL =
  /`|[a-z]\(\)|\b\w+\.(?:js|ts|py|json|md|txt|csv)\b|\b(?:code|function|script|server|database|software|program|install|compile|api|query|bug|laptop|router|config\w*)\b/i;
/** So many exchanges before the direction, and the conversation runs one way. */
const MOMENTUM_TURNS = 3;

const wordsOf = (texts: readonly string[]): Set<string> =>
  new Set(contentWords(texts.join(' ')).map(({ text }) => text));

/** Where nothing is marked as the direction, it is the last message. */
const directionAt = ({ messages, spans }: FlaggedMoment['context']): number =>
  spans.findLast(({ feature }) => feature === 'direction')?.message ?? messages.length - 1;

export function shapeOf({ context, rejected }: FlaggedMoment): Shape {
  const { messages } = context;
  const at = directionAt(context);
  const marked = featureText(context, 'direction').join(' ');
  const direction = marked === '' ? (messages[at]?.content ?? '') : marked;
  return {
    idea: ideaOf(context, at, rejected),
    form: REFUSAL.test(direction.replaceAll('’', "'")) ? 'refusal' : 'choice',
    turnsAgo: messages.slice(at + 1).filter(({ role }) => role === 'user').length,
  };
}

/** By the words that the ignoring reply took from the model's own turns, not from the person's. */
function ideaOf(
  { messages, spans }: FlaggedMoment['context'],
  direction: number,
  rejected = '',
): Shape['idea'] {
  const marked = featureText({ messages, spans }, 'own-idea');
  const said = messages.filter(({ role }) => role === 'user').map(({ content }) => content);
  const persons = wordsOf(said);
  const drifted = [...wordsOf(marked.length > 0 ? marked : [rejected])];
  const idea = new Set(drifted.filter((word) => !persons.has(word)));
  const puts = messages.flatMap(({ role, content }, at) => {
    const own = role === 'assistant' ? [...wordsOf([content])] : [];
    return own.some((word) => idea.has(word)) ? [at] : [];
  });
  if (puts.some((at) => at > direction)) return 'after';
  return puts.length === 0 ? 'none' : puts.length === 1 ? 'once' : 'pushed';
}

/** Those that the moment has. */
export function featuresOf({ context }: FlaggedMoment): SeedFeature[] {
  const { messages } = context;
  const said = messages.filter(({ role }) => role === 'user').map(({ content }) => content);
  const before = messages.slice(0, directionAt(context)).filter(({ role }) => role === 'assistant');
  const isFelt = said.some((text) =>
    extractItems({ role: 'user', text }).some(({ kind }) => kind === 'feeling'),
  );
  const has: Record<SeedFeature, boolean> = {
    technical: said.some((text) => TECHNICAL.test(text)),
    emotion: isFelt,
    momentum: before.length >= MOMENTUM_TURNS,
  };
  return SEED_FEATURES.filter((feature) => has[feature]);
}
