// Learning rate over the steps, and the order of scenarios from broad to narrow.
import { createRandom } from '../base/random.ts';
import { directionDistance, featureText, type Scenario } from '../scenario/scenario.ts';
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
 * (with chance mixed in, so that neighbours vary), later ones are shuffled.
 */
export function epochOrder(
  scenarios: readonly Scenario[],
  epoch: number,
  seed: number | string,
): number[] {
  const random = createRandom(`order:${seed}`).split(epoch);
  const indices = scenarios.map((_, index) => index);
  if (epoch > 0) return random.shuffle(indices);
  const ranks = scenarios.map((scenario) => narrowness(scenario) + random.uniform());
  return indices.sort((a, b) => (ranks[a] as number) - (ranks[b] as number) || a - b);
}
