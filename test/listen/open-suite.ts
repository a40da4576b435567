// The scenes of a part for tests.
import { fileURLToPath } from 'node:url';
import { generatePairs, inBalancedOrder } from '../../src/listen/generate.ts';
import type { ScenePair } from '../../src/listen/scene.ts';
import { type Part, readSuite } from '../../src/listen/suite.ts';

export const SUITE = fileURLToPath(new URL('../../suites/listen', import.meta.url));

export async function pairsOf(part: Part, seed = 1): Promise<ScenePair[]> {
  return generatePairs(await readSuite(SUITE, part), seed);
}

/** The first pairs of a balanced order. */
export async function samplePairs(count: number): Promise<ScenePair[]> {
  return inBalancedOrder(await pairsOf('develop'), 1).slice(0, count);
}
