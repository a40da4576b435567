// Undirected dreams out of talks as they were: a reply took up a value that the person had just
// named. Crossed, such a moment teaches to read who said what, in the person's own words.
import type { Random } from '../base/random.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { crossMoment } from './cross-moment.ts';
import type { Draft } from './draft.ts';

/** Messages that stay: moments of one talk would else be near-copies of each other. */
const MESSAGES_MAX = 8;
const PER_TALK_MAX = 3;

/**
 * Both sides of at most `count` pairs, in an order drawn by chance; moments without two values of
 * one sort are passed over. Nothing is sampled.
 * @param everyday answered turns that nobody marked
 */
export function echoes(everyday: readonly Scenario[], count: number, random: Random): Draft[] {
  const drafts: Draft[] = [];
  const taken = new Map<string, number>();
  for (const turn of random.shuffle(everyday)) {
    if (drafts.length >= 2 * count) break;
    const { cluster } = turn.source;
    const ofTalk = taken.get(cluster) ?? 0;
    if (ofTalk >= PER_TALK_MAX) continue;
    const pair = crossMoment(momentOf(turn), random.split(turn.id));
    if (pair === undefined) continue;
    taken.set(cluster, ofTalk + 1);
    drafts.push(...pair);
  }
  return drafts;
}

function momentOf({ id, messages, chosen, source }: Scenario): Draft {
  const system = messages.filter(({ role }) => role === 'system').slice(0, 1);
  const spoken = messages.filter(({ role }) => role !== 'system').slice(-MESSAGES_MAX);
  // It begins with the person.
  const begin = spoken.findIndex(({ role }) => role === 'user');
  const kept = [...system, ...spoken.slice(begin)];
  const end = kept.at(-1)?.content.length ?? 0;
  return {
    id: `dream-e-${id}`,
    kind: 'listen',
    messages: kept,
    spans: [{ feature: 'direction', message: kept.length - 1, start: 0, end }],
    chosen,
    seed: { origin: 'memory', id, cluster: source.cluster },
    isDirected: false,
    angle: { domain: source.domain, distance: 0, tone: 'plain' },
    prompt: { name: 'talk', hash: '' },
    chosenFrom: 'said',
    rejectedFrom: 'nobody',
    sampledShare: 0,
  };
}
