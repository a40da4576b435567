import { describe, expect, it } from 'vitest';
import { toCandidate, toExample } from '../../src/scenario/example.ts';
import { parseScenario } from '../../src/scenario/scenario.ts';
import { chance, choiceKl, choiceOf } from '../../src/train/choice.ts';
import { wordRenderer } from '../fakes/word-renderer.ts';

function example(chosen: string, rejected: string | undefined) {
  const scenario = parseScenario({
    id: 'one',
    kind: 'listen',
    messages: [{ role: 'user', content: 'which one' }],
    chosen,
    ...(rejected === undefined ? {} : { rejected }),
    source: { origin: 'suite', cluster: 'c', domain: 'words' },
  });
  return toExample(scenario, wordRenderer(100), { windowTokens: 200, replyTokensMax: 60 });
}

describe('a choice between two replies', () => {
  it('counts from the first word in which they differ, and ends a little later', () => {
    const later = Array.from({ length: 30 }, (_, i) => `x${i}`).join(' ');
    const [one, other] = choiceOf(example(`take the leek ${later}`, `take the pea ${later}`)) ?? [];
    const first = one?.lossMask.indexOf(1) ?? -1;
    expect(one?.targets.slice(0, first)).toEqual(other?.targets.slice(0, first));
    expect(one?.targets[first]).not.toBe(other?.targets[first]);
    expect(one?.lossMask.filter((counts) => counts === 1)).toHaveLength(12);
    expect(one?.ids).toHaveLength(first + 12);
  });

  it('is none where there is one reply, or one is the beginning of the other', () => {
    expect(choiceOf(example('take the leek', undefined))).toBeUndefined();
    const [long, short] = [toCandidate(1, [2, 3, 4]), toCandidate(1, [2, 3])];
    const { scenario, contextIds, spans, droppedTurns } = example('a', 'b');
    const rest = { scenario, contextIds, spans, droppedTurns };
    expect(choiceOf({ ...rest, chosen: long, rejected: short })).toBeUndefined();
  });

  it('is as likely as the log-probabilities of what counts say', () => {
    const one = { ids: [1, 2], targets: [2, 3], lossMask: [0, 1] };
    const other = { ids: [1, 2], targets: [2, 4], lossMask: [0, 1] };
    const of = (a: number, b: number) =>
      chance([one, other], [Float32Array.of(-9, a), Float32Array.of(-1, b)]);
    expect(of(-1, -1)).toBeCloseTo(0.5);
    expect(of(Math.log(0.3), Math.log(0.1))).toBeCloseTo(0.75);
  });

  it('has no distance from itself, and a finite one from what was thought impossible', () => {
    expect(choiceKl(0.3, 0.3)).toBeCloseTo(0);
    expect(choiceKl(0.9, 0.5)).toBeCloseTo(0.9 * Math.log(1.8) + 0.1 * Math.log(0.2));
    expect(choiceKl(1, 0)).toBeLessThan(20);
    expect(choiceKl(0, 0)).toBe(0);
  });
});
