// How a night's dreams are spread over the kinds: each kind has a floor, the rest goes by weight.
import type { Random } from '../base/random.ts';
import { KIND, KINDS, type Kind } from '../scenario/kind.ts';

/** A dream to be planned; of a pair both sides, the other one a listen. */
export interface Unit {
  readonly kind: Kind;
  /** Dreams that it makes. */
  readonly size: 1 | 2;
}

/** Each kind gets at least one of this many dreams. */
const DREAMS_PER_FLOOR = 16;
/** In a long night the rest goes by weight. */
const FLOOR_MAX = 12;

/** The least number of dreams of each kind among `dreams`; below one a kind, there is no floor. */
export function floorOf(dreams: number): number {
  return dreams < KINDS.length ? 0 : between(1, Math.floor(dreams / DREAMS_PER_FLOOR), FLOOR_MAX);
}

const between = (least: number, value: number, most: number): number =>
  Math.min(most, Math.max(least, value));

const sizeOf = (kind: Kind): 1 | 2 => (KIND[kind].isPaired ? 2 : 1);

/** Units that make exactly `dreams` dreams, by kind; of one night always the same. */
function unitsOf(dreams: number): Unit[] {
  const units: Unit[] = [];
  const made = new Map<Kind, number>();
  let left = Math.max(0, Math.floor(dreams));
  const of = (kind: Kind): number => made.get(kind) ?? 0;
  const add = (kind: Kind): void => {
    units.push({ kind, size: sizeOf(kind) });
    made.set(kind, of(kind) + 1);
    if (KIND[kind].isPaired) made.set('listen', of('listen') + 1);
    left -= sizeOf(kind);
  };
  const floor = floorOf(left);
  // The listens of the pairs are the floor of `listen`.
  for (const kind of KINDS) {
    for (let i = 0; kind !== 'listen' && i < floor; i += 1) add(kind);
  }
  // Without a floor there is still a pair: listening alone would teach always to follow.
  if (floor === 0 && left >= 2) add('push-back');
  while (left > 0) {
    const fitting = KINDS.filter((kind) => sizeOf(kind) <= left);
    add(fitting.reduce((best, kind) => (due(kind, of) > due(best, of) ? kind : best)));
  }
  return units;
}

/** D'Hondt's quotient: who has the largest gets the next seat. */
const due = (kind: Kind, of: (kind: Kind) => number): number =>
  KIND[kind].dreamWeight / (of(kind) + 1);

/**
 * Units for exactly `dreams` dreams, in an order that may stop anywhere: each kind is spread evenly
 * over it, so that a budget that ends early cuts all of them alike.
 */
export function spreadUnits(dreams: number, random: Random): Unit[] {
  const units = unitsOf(dreams);
  const placed = KINDS.flatMap((kind) => {
    const own = units.filter((unit) => unit.kind === kind);
    return own.map((unit, i) => ({ unit, place: (i + random.uniform()) / own.length }));
  });
  return placed.sort((a, b) => a.place - b.place).map(({ unit }) => unit);
}
