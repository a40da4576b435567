// Placebo arms: the same training with listening made impossible, or its labels made worthless.
import { createRandom } from '../base/random.ts';
import type { HostTensor } from '../runtime/executor.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { deafened, flipped } from '../scenario/variant.ts';
import { type FloatTensor, normOf } from './difference.ts';

/**
 * `real`: as it is. `deaf`: each direction's turn is exchanged with another source's, so every
 * surface habit can be learnt and no listening. `sham`: half the labels are exchanged.
 */
export type Arm = 'real' | 'deaf' | 'sham';

/** The scenarios of an arm, in the same order. @param seed of the exchange */
export function armScenarios(
  arm: Arm,
  scenarios: readonly Scenario[],
  seed: number | string,
): Scenario[] {
  if (arm === 'real') return [...scenarios];
  const random = createRandom(`arm:${arm}:${seed}`);
  if (arm === 'sham') {
    const half = new Set(random.shuffle(scenarios).slice(0, Math.floor(scenarios.length / 2)));
    return scenarios.map((scenario) => (half.has(scenario) ? flipped(scenario) : scenario));
  }
  // A shuffle in which nobody keeps its own source: take the next of another cluster.
  const others = random.shuffle(scenarios);
  return scenarios.map((scenario, index) => {
    const { cluster } = scenario.source;
    for (let step = 0; step < others.length; step++) {
      const other = others[(index + step) % others.length] as Scenario;
      if (other.source.cluster !== cluster) return deafened(scenario, other);
    }
    return scenario;
  });
}

/** The delta with its norm made `norm`, so that arms are compared at the same distance. */
export function rescaled(
  delta: Readonly<Record<string, FloatTensor>>,
  norm: number,
): Record<string, FloatTensor> {
  const own = normOf(delta);
  const factor = own === 0 ? 0 : norm / own;
  return Object.fromEntries(
    Object.entries(delta).map(([name, tensor]) => [
      name,
      { ...tensor, data: tensor.data.map((value) => value * factor) },
    ]),
  );
}

/** True when every value of every tensor is finite. */
export function isFiniteDelta(tensors: Readonly<Record<string, HostTensor>>): boolean {
  return Object.values(tensors).every(({ data }) => data.every((v) => Number.isFinite(v)));
}
