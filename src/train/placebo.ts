// The placebo of a training: every surface habit can be learnt from it, and no listening.
import { createRandom } from '../base/random.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { withOtherDirection } from '../scenario/variant.ts';

/**
 * The scenarios in the same order, each direction's turn exchanged with that of another source;
 * candidates and labels stay.
 * @param seed of the exchange
 */
export function placeboScenarios(
  scenarios: readonly Scenario[],
  seed: number | string,
): Scenario[] {
  // A shuffle in which nobody keeps its own source: take the next of another cluster.
  const others = createRandom(`arm:deaf:${seed}`).shuffle(scenarios);
  return scenarios.map((scenario, index) => {
    const { cluster } = scenario.source;
    for (let step = 0; step < others.length; step++) {
      const other = others[(index + step) % others.length] as Scenario;
      if (other.source.cluster !== cluster) return withOtherDirection(scenario, other);
    }
    return scenario;
  });
}
