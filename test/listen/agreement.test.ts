import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkListening } from '../../src/listen/reply-check.ts';
import type { Scene } from '../../src/listen/scene.ts';
import { SUITE } from './open-suite.ts';

interface Labelled {
  readonly model: string;
  readonly scene: Scene;
  readonly reply: string;
  readonly label: { readonly right: boolean; readonly other: boolean; readonly answer: boolean };
}

const labelled = readFileSync(join(SUITE, 'agreement.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Labelled);
const table = readFileSync(join(SUITE, 'README.md'), 'utf8');
const VERDICT = { right: 'isRight', other: 'isWrong', answer: 'isAnswer' } as const;

/** Agreement beyond what the two shares give by chance; none where one never varies. */
function kappa(pairs: readonly (readonly [boolean, boolean])[]): string {
  const share = (is: (pair: readonly [boolean, boolean]) => boolean): number =>
    pairs.filter(is).length / pairs.length;
  const [a, b] = [share(([label]) => label), share(([, check]) => check)];
  const chance = a * b + (1 - a) * (1 - b);
  const agreed = share(([label, check]) => label === check);
  return chance === 1 ? '–' : ((agreed - chance) / (1 - chance)).toFixed(2);
}

describe('the check of replies and the labels set by reading', () => {
  it.each(['companion', 'smollm2'])('agree on replies of %s as the table says', (model) => {
    const own = labelled.filter((one) => one.model === model);
    for (const name of ['right', 'other', 'answer'] as const) {
      const pairs = own.map(
        ({ scene, reply, label }) =>
          [label[name], checkListening(scene, reply)[VERDICT[name]]] as const,
      );
      const agreed = pairs.filter(([label, check]) => label === check).length / pairs.length;
      const labels = pairs.filter(([label]) => label).length;
      const row = `| ${model} | ${name} | ${own.length} | ${labels} | ${agreed.toFixed(2)} | ${kappa(pairs)} |`;
      expect(table).toContain(row);
    }
  });
});
