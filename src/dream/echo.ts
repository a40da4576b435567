// Undirected dreams out of conversations as they were: a reply took up a value that the person had
// named, just now or some turns ago. Crossed, such a moment teaches to read who said what, in the
// person's own words.
import type { Random } from '../base/random.ts';
import { valuesOf } from '../memory/gist.ts';
import { exchangeAll, mentions } from '../scenario/exchange.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { featureText } from '../scenario/span.ts';
import type { Draft } from './draft.ts';

/** Messages that stay: the value was named in one of them. */
const MESSAGES_MAX = 16;
const PER_CONVERSATION_MAX = 6;
/** What such a draft names as its prompt. */
const TALK = 'talk';

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
  for (const moment of moments.sort((a, b) => distanceOf(a) - distanceOf(b))) {
    if (drafts.length >= 2 * count) break;
    const { cluster, id } = moment.draft.seed;
    const ofConversation = taken.get(cluster) ?? 0;
    if (ofConversation >= PER_CONVERSATION_MAX) continue;
    const pair = crossMoment(moment, random.split(id));
    if (pair === undefined) continue;
    taken.set(cluster, ofConversation + 1);
    drafts.push(...pair);
  }
  return drafts;
}

/** A moment, and the reply that took up what the person had said in it. */
interface Moment {
  readonly draft: Draft;
  readonly chosen: string;
}

const distanceOf = ({ draft }: Moment): number => draft.angle.distance;

/** Undefined where the reply takes up nothing that the person had said. */
function momentOf({ id, messages, chosen, source }: Scenario): Moment | undefined {
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
  const draft: Draft = {
    id: `dream-e-${id}`,
    role: 'lesson',
    kind: 'listen',
    messages: kept,
    spans: [{ feature: 'direction', message, start: 0, end: kept[message]?.content.length ?? 0 }],
    seed: { origin: 'memory', id, cluster: source.cluster },
    angle: { domain: source.domain, distance: later.length },
    prompt: { name: TALK, hash: '' },
    sampledShare: 1,
  };
  return { draft, chosen };
}

// The other side of a moment of a conversation: the value that was asked for and another one
// exchanged.

/** A shorter word with a capital is mostly no name. */
const NAME_MIN = 3;

/**
 * Both sides of a crossed pair out of a moment whose direction names a value that the reply takes
 * up: the conversation as it was, and with that value and another one of its sort exchanged
 * throughout. Undefined where there is no such value, or it is a name and the conversation has no
 * other.
 */
export function crossMoment({ draft, chosen }: Moment, random: Random): [Draft, Draft] | undefined {
  const { messages, id } = draft;
  const wanted = valuesOf(featureText(draft, 'direction')).filter((value) =>
    mentions(chosen, value),
  );
  const wish = wanted.reduce((longest, one) => (one.length > longest.length ? one : longest), '');
  if (wish === '') return undefined;
  const isOther = (value: string): boolean =>
    sortOf(value) === sortOf(wish) &&
    value.length >= (sortOf(value) === 'name' ? NAME_MIN : 1) &&
    !mentions(chosen, value) &&
    !mentions(value, wish) &&
    !mentions(wish, value);
  const said = valuesOf(messages.map(({ content }) => content)).filter(isOther);
  const others = said.length > 0 ? said : inventedLike(wish, random).filter(isOther);
  if (others.length === 0) return undefined;
  const other = random.pick(others);
  return [
    { ...draft, facts: { needs: [[wish]] }, pair: { id, side: 'a' } },
    {
      ...draft,
      id: `${id}-twin`,
      ...exchangeAll(draft, wish, other),
      facts: { needs: [[other]] },
      pair: { id, side: 'b' },
    },
  ];
}

const WEEKDAYS = 'Monday Tuesday Wednesday Thursday Friday Saturday Sunday'.split(' ');
/** Without the one that is a verb, too. */
const MONTHS =
  'January February March April June July August September October November December'.split(' ');
const DATES = Array.from({ length: 28 }, (_, at) => {
  const suffix = Math.floor(at / 10) === 1 ? undefined : ['st', 'nd', 'rd'][at % 10];
  return `${at + 1}${suffix ?? 'th'}`;
});
const isAnyOf = (names: readonly string[], value: string): boolean =>
  names.some((name) => name.toLowerCase() === value.toLowerCase());

type Sort = 'amount' | 'time' | 'count' | 'number' | 'date' | 'weekday' | 'month' | 'name';

/** Only a time takes the place of a time, and a house number none of a count. */
function sortOf(value: string): Sort {
  if (value.startsWith('$')) return 'amount';
  if (/\d:\d|\d ?[ap]\.?m\b/i.test(value)) return 'time';
  if (/\d(?:st|nd|rd|th)$/i.test(value)) return 'date';
  if (/^\d{1,2}$/.test(value)) return 'count';
  if (/^\d/.test(value)) return 'number';
  if (isAnyOf(WEEKDAYS, value)) return 'weekday';
  return isAnyOf(MONTHS, value) ? 'month' : 'name';
}

/**
 * Where the conversation has no other: another hour, or other digits. Never out of another
 * conversation, whose words would outlive it here.
 */
function inventedLike(value: string, random: Random): string[] {
  const sort = sortOf(value);
  if (sort === 'name') return [];
  if (sort === 'weekday') return WEEKDAYS;
  if (sort === 'month') return MONTHS;
  if (sort === 'date') return DATES;
  if (sort === 'time') {
    const hour = `${1 + random.int(12)}`;
    const minute = random.pick(['00', '15', '30', '45']);
    return [value.replace(/^\d{1,2}/, hour).replace(/(?<=:)\d\d/, minute)];
  }
  const first = value.search(/\d/);
  return [
    value.replace(/\d/g, (_, at: number) => `${at === first ? 1 + random.int(9) : random.int(10)}`),
  ];
}
