// What a training changed on crossed pairs, taken apart: listening, and habits of speech.
import type { ScoredExample } from '../src/reading/scenario-margin.ts';
import type { Scenario } from '../src/scenario/scenario.ts';

export interface PairChange {
  readonly pairs: number;
  /** Half the sum of both margins' changes, nats a token; with its standard error. */
  readonly listening: number;
  readonly error: number;
  /** Half their difference: what moved whatever stood before. Mean, and mean of its size. */
  readonly surface: number;
  readonly surfaceSize: number;
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

/** By group; pairs of which a side is missing do not count. Both lists are in one order. */
export function pairChanges(
  before: readonly ScoredExample[],
  after: readonly ScoredExample[],
  groupOf: (scenario: Scenario) => string,
): Record<string, PairChange> {
  const pairs = new Map<string, { group: string; a?: number; b?: number }>();
  for (const [i, { example, margin }] of after.entries()) {
    const { pair } = example.scenario;
    if (pair === undefined) continue;
    const known = pairs.get(pair.id) ?? { group: groupOf(example.scenario) };
    // The group of a pair is that of its first side.
    const group = pair.side === 'a' ? groupOf(example.scenario) : known.group;
    const change = margin.perToken - (before[i]?.margin.perToken ?? Number.NaN);
    pairs.set(pair.id, { ...known, group, [pair.side]: change });
  }
  const groups = new Map<string, { listening: number[]; surface: number[] }>();
  for (const { group, a, b } of pairs.values()) {
    if (a === undefined || b === undefined) continue;
    const own = groups.get(group) ?? { listening: [], surface: [] };
    own.listening.push((a + b) / 2);
    own.surface.push((a - b) / 2);
    groups.set(group, own);
  }
  return Object.fromEntries([...groups].map(([group, own]) => [group, changeOf(own)]));
}

function changeOf({
  listening,
  surface,
}: {
  listening: readonly number[];
  surface: readonly number[];
}): PairChange {
  const middle = mean(listening);
  const variance = mean(listening.map((value) => (value - middle) ** 2));
  return {
    pairs: listening.length,
    listening: middle,
    error: Math.sqrt(variance / listening.length),
    surface: mean(surface),
    surfaceSize: mean(surface.map(Math.abs)),
  };
}
