// The cells of the dream experiment: what each of them trains on, drawn from the pool by the seed.
import { createRandom } from '../src/base/random.ts';
import type { Scenario } from '../src/scenario/scenario.ts';
import type { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import type { Pool } from './dream-pool.ts';
import { paraphrase } from './paraphrase.ts';

/** What a cell trains on: so many scenarios of each sort, drawn by the seed. */
export interface Cell {
  readonly name: string;
  readonly steps: number;
  readonly arm: 'real' | 'deaf';
  draw(pool: Pool, seed: number): Scenario[];
}

/** Tokens that one showing of a scenario runs. */
function tokensOf(scenario: Scenario, tokenizer: Tokenizer): number {
  const { prompt, replyIds } = tokenizer.renderReply(scenario.messages, scenario.chosen);
  const other = scenario.rejected;
  const rejected = other === undefined ? 0 : tokenizer.encode(other).length + 1;
  return prompt.ids.length + replyIds.length + rejected;
}

/** Without its oldest exchanges, as long as it is longer than `tokensMax` and its marks stay. */
function cut(scenario: Scenario, tokenizer: Tokenizer, tokensMax: number): Scenario {
  let kept = scenario;
  while (tokensOf(kept, tokenizer) > tokensMax && kept.messages.length > 3) {
    if (kept.spans.some(({ message, feature }) => message < 2 && feature === 'direction')) break;
    kept = {
      ...kept,
      messages: kept.messages.slice(2),
      spans: kept.spans
        .filter(({ message }) => message >= 2)
        .map((span) => ({ ...span, message: span.message - 2 })),
    };
  }
  return kept;
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

/**
 * Flags are longer than dreams: their oldest exchanges go until both run about as many tokens.
 * Dreams stay as they are, since what they are about may stand at their beginning.
 */
export function asLongAsDreams(pool: Pool, tokenizer: Tokenizer): Pool {
  const length = (list: readonly Scenario[]): number =>
    mean(list.map((scenario) => tokensOf(scenario, tokenizer)));
  const wanted = length(pool.admitted.map(({ scenario }) => scenario));
  let best = pool.flags;
  for (let tokensMax = 400; tokensMax >= 40; tokensMax -= 10) {
    const shorter = pool.flags.map((flag) => cut(flag, tokenizer, tokensMax));
    if (Math.abs(length(shorter) - wanted) < Math.abs(length(best) - wanted)) best = shorter;
  }
  return { ...pool, flags: best };
}

/** `count` scenarios, pairs whole, in a random order. */
function some(list: readonly Scenario[], count: number, seed: string): Scenario[] {
  const groups = new Map<string, Scenario[]>();
  for (const scenario of list) {
    const key = scenario.pair?.id ?? scenario.id;
    groups.set(key, [...(groups.get(key) ?? []), scenario]);
  }
  const drawn: Scenario[] = [];
  for (const group of createRandom(seed).shuffle([...groups.values()])) {
    if (drawn.length + group.length <= count) drawn.push(...group);
  }
  return drawn;
}

const admitted = (pool: Pool, isDirected?: boolean): Scenario[] =>
  pool.admitted
    .filter((one) => isDirected === undefined || one.isDirected === isDirected)
    .map(({ scenario }) => scenario);

const refused = (pool: Pool): Scenario[] => pool.refused.map(({ scenario }) => scenario);

type Draw = Cell['draw'];

/** Cells that are held against each other: `count` of each, or as many as the fewer has. */
function alike(
  count: number,
  seedName: string,
  lists: Readonly<Record<string, (pool: Pool) => Scenario[]>>,
): Record<string, Draw> {
  const least = (pool: Pool): number =>
    Math.min(count, ...Object.values(lists).map((list) => list(pool).length));
  return Object.fromEntries(
    Object.entries(lists).map(([name, list]) => [
      name,
      (pool: Pool, seed: number) => some(list(pool), least(pool), `${seedName}:${seed}`),
    ]),
  );
}

const DRAWS: Readonly<Record<string, Cell['draw']>> = {
  'flags only': (pool) => [...pool.flags],
  'flags + paraphrases': (pool, seed) => [
    ...pool.flags,
    ...pool.flags.map((flag) => paraphrase(flag, createRandom(`${flag.id}:${seed}`))),
  ],
  'flags + dreams': (pool, seed) => [
    ...pool.flags,
    ...some(admitted(pool), pool.flags.length, `mixed:${seed}`),
  ],
  'dreams only': (pool, seed) => some(admitted(pool), 2 * pool.flags.length, `dreams:${seed}`),
  ...alike(50, 'fifty', {
    'admitted 50': (pool) => admitted(pool),
    'refused 50': refused,
  }),
  ...alike(50, 'fifty', {
    'directed 50': (pool) => admitted(pool, true),
    'undirected 50': (pool) => admitted(pool, false),
  }),
};
const LARGE = alike(500, 'large', {
  'admitted 500': (pool) => admitted(pool),
  'refused 500': refused,
});
const LARGE_STEPS = 63;

/** Cells with a deaf arm, seed for seed. */
const DEAF = ['flags only', 'flags + dreams', 'dreams only'];

interface CellOptions {
  readonly steps: number;
  readonly seeds: number;
  readonly isLarge: boolean;
}

/** Seed by seed, so that an early end leaves every cell as many seeds. */
export function cells({ steps, seeds, isLarge }: CellOptions): (Cell & { seed: number })[] {
  const real = { arm: 'real' as const, steps };
  return Array.from({ length: seeds }, (_, i) => i + 1).flatMap((seed) => [
    ...Object.entries(DRAWS).map(([name, draw]) => ({ ...real, name, draw, seed })),
    ...DEAF.map((name) => ({
      name: `${name}, deaf`,
      arm: 'deaf' as const,
      draw: DRAWS[name] as Cell['draw'],
      steps,
      seed,
    })),
    ...Object.entries(isLarge ? LARGE : {}).map(([name, draw]) => ({
      ...real,
      name,
      draw,
      steps: LARGE_STEPS,
      seed,
    })),
  ]);
}

export function countsOf(list: readonly Scenario[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind } of list) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}
