import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkListening } from '../../src/listen/reply-check.ts';
import type { Scene } from '../../src/listen/scene.ts';
import { SUITE } from './open-suite.ts';

interface Labelled {
  readonly model: string;
  /** Whether the check was changed after these replies had been looked at. */
  readonly part: 'seen' | 'fresh';
  readonly scene: Scene;
  readonly reply: string;
  readonly label: Label;
  /** By the hand that wrote the check. */
  readonly first?: Label;
}

type Label = Readonly<Record<'right' | 'other' | 'answer', boolean>>;

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

function row(name: string, pairs: readonly (readonly [boolean, boolean])[]): string {
  const agreed = pairs.filter(([label, other]) => label === other).length / pairs.length;
  const labels = pairs.filter(([label]) => label).length;
  return `| ${name} | ${pairs.length} | ${labels} | ${agreed.toFixed(2)} | ${kappa(pairs)} |`;
}

describe('the check of replies and the labels set by reading', () => {
  it.each([
    ['companion', 'seen'],
    ['smollm2', 'seen'],
    ['smollm2', 'fresh'],
  ] as const)('agree on replies of %s, %s, as the table says', (model, part) => {
    const own = labelled.filter((one) => one.model === model && one.part === part);
    for (const name of ['right', 'other', 'answer'] as const) {
      const pairs = own.map(
        ({ scene, reply, label }) =>
          [label[name], checkListening(scene, reply)[VERDICT[name]]] as const,
      );
      expect(table).toContain(row(`${model}, ${part} | ${name}`, pairs));
    }
  });

  it.each(['companion', 'smollm2'])('are set alike by two hands for %s', (model) => {
    for (const name of ['right', 'other', 'answer'] as const) {
      const pairs = labelled.flatMap(({ model: of, label, first }) =>
        of === model && first !== undefined ? [[label[name], first[name]] as const] : [],
      );
      expect(table).toContain(row(`${model}, two hands | ${name}`, pairs));
    }
  });
});
