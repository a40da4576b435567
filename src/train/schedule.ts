// Learning rate over the steps, and the order of scenarios from broad to narrow.
import { createRandom, type Random } from '../base/random.ts';
import { directionDistance, type Scenario } from '../scenario/scenario.ts';
import { featureText } from '../scenario/span.ts';
import { contentWords } from '../scenario/words.ts';

/** Linear warm-up over `warmupSteps`, then linear decay to nothing at `steps`; step from 0. */
export function learningRate(
  step: number,
  { peak, warmupSteps, steps }: { peak: number; warmupSteps: number; steps: number },
): number {
  const warm = Math.min(warmupSteps, steps);
  if (step < warm) return (peak * (step + 1)) / (warm + 1);
  return peak * Math.max(0, (steps - step) / Math.max(1, steps - warm));
}

/**
 * How narrow a scenario is: 0 for any clear direction in any context, more for an older direction,
 * more own ideas beside it, fewer words of its own, and candidates that hardly differ.
 */
export function narrowness(scenario: Scenario): number {
  const distance = directionDistance(scenario) ?? 1;
  const ideas = featureText(scenario, 'own-idea').length;
  const direction = contentWords(featureText(scenario, 'direction').join(' ')).length;
  return Math.log2(distance) + 0.5 * ideas + 1 / (1 + direction) + sameness(scenario);
}

/** Share of content words that both candidates have. */
function sameness({ chosen, rejected }: Scenario): number {
  if (rejected === undefined) return 0;
  const a = new Set(contentWords(chosen).map((word) => word.text));
  const b = new Set(contentWords(rejected).map((word) => word.text));
  const shared = [...a].filter((word) => b.has(word)).length;
  const all = a.size + b.size - shared;
  return all === 0 ? 0 : shared / all;
}

/**
 * Indices of the scenarios in the order of one epoch. The first epoch goes from broad to narrow
 * (with chance mixed in, so that neighbours vary), later ones are shuffled. The two sides of a pair
 * come one after the other, in one step where batches are even: what they push in common is no
 * listening, and there it cancels instead of swinging to and fro from step to step.
 */
export function epochOrder(
  scenarios: readonly Scenario[],
  epoch: number,
  seed: number | string,
): number[] {
  const random = createRandom(`order:${seed}`).split(epoch);
  const units = unitsOf(scenarios);
  const ordered = epoch > 0 ? random.shuffle(units) : fromBroad(units, scenarios, random);
  // An odd number of scenarios has one single too many: every other epoch begins with it.
  return twoByTwo(ordered, (epoch * scenarios.length) % 2 === 1);
}

/** Indices that stay together: the sides of a pair, or one scenario. */
type Unit = readonly number[];

function unitsOf(scenarios: readonly Scenario[]): Unit[] {
  const units = new Map<string, number[]>();
  for (const [index, { id, pair }] of scenarios.entries()) {
    const key = pair === undefined ? `alone:${id}:${index}` : `pair:${pair.id}`;
    units.set(key, [...(units.get(key) ?? []), index]);
  }
  return [...units.values()];
}

function fromBroad(units: readonly Unit[], scenarios: readonly Scenario[], random: Random): Unit[] {
  const ranked = units.map((unit) => {
    const all = unit.reduce((sum, at) => sum + narrowness(scenarios[at] as Scenario), 0);
    return { unit, rank: all / unit.length + random.uniform() };
  });
  return ranked.sort((a, b) => a.rank - b.rank).map(({ unit }) => unit);
}

/** In the given order, each single with the next one; the one that is left stands at an end. */
function twoByTwo(units: readonly Unit[], isLeftFirst: boolean): number[] {
  const order: number[] = [];
  let waiting: number | undefined;
  for (const unit of units) {
    const [index = 0] = unit;
    if (unit.length > 1) order.push(...unit);
    else if (waiting === undefined) waiting = index;
    else {
      order.push(waiting, index);
      waiting = undefined;
    }
  }
  if (waiting === undefined) return order;
  return isLeftFirst ? [waiting, ...order] : [...order, waiting];
}
