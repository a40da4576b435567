// Undirected dreams out of conversations as they were: a reply took up a value that the person had
// named, just now or some turns ago. Crossed, such a moment teaches to read who said what, in the
// person's own words.
import type { Random } from '../base/random.ts';
import { valuesOf } from '../memory/gist.ts';
import { mentions } from '../scenario/exchange.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { crossMoment } from './cross-moment.ts';
import type { Draft } from './draft.ts';

/** Messages that stay: the value was named in one of them. */
const MESSAGES_MAX = 16;
const PER_CONVERSATION_MAX = 6;
/** What such a draft names as its prompt. */
export const TALK = 'talk';

/**
 * Both sides of at most `count` pairs: what was just named before what was named earlier, else in
 * an order drawn by chance; moments without two values of one sort are passed over. Nothing is
 * sampled.
 * @param everyday answered turns that nobody marked
 */
export function echoes(everyday: readonly Scenario[], count: number, random: Random): Draft[] {
  const moments = random.shuffle(everyday).flatMap((turn) => momentOf(turn) ?? []);
  const drafts: Draft[] = [];
  const taken = new Map<string, number>();
  for (const moment of moments.sort((a, b) => a.angle.distance - b.angle.distance)) {
    if (drafts.length >= 2 * count) break;
    const { cluster, id } = moment.seed;
    const ofConversation = taken.get(cluster) ?? 0;
    if (ofConversation >= PER_CONVERSATION_MAX) continue;
    const pair = crossMoment(moment, random.split(id));
    if (pair === undefined) continue;
    taken.set(cluster, ofConversation + 1);
    drafts.push(...pair);
  }
  return drafts;
}

/** Undefined where the reply takes up nothing that the person had said. */
function momentOf({ id, messages, chosen, source }: Scenario): Draft | undefined {
  const system = messages.filter(({ role }) => role === 'system').slice(0, 1);
  const spoken = messages.filter(({ role }) => role !== 'system').slice(-MESSAGES_MAX);
  // It begins with the person.
  const begin = spoken.findIndex(({ role }) => role === 'user');
  const kept = [...system, ...spoken.slice(begin)];
  const isTakenUp = (value: string): boolean => mentions(chosen, value);
  const message = kept.findLastIndex(
    ({ role, content }) => role === 'user' && valuesOf([content]).some(isTakenUp),
  );
  if (message < 0) return undefined;
  const later = kept.slice(message + 1).filter(({ role }) => role === 'user');
  return {
    id: `dream-e-${id}`,
    role: 'lesson',
    kind: 'listen',
    messages: kept,
    spans: [{ feature: 'direction', message, start: 0, end: kept[message]?.content.length ?? 0 }],
    chosen,
    seed: { origin: 'memory', id, cluster: source.cluster },
    isDirected: false,
    angle: { domain: source.domain, distance: later.length, tone: 'plain' },
    prompt: { name: TALK, hash: '' },
    chosenFrom: 'said',
    rejectedFrom: 'nobody',
    sampledShare: 1,
  };
}
