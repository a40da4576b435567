import { describe, expect, it } from 'vitest';
import { epochOrder, learningRate } from '../../src/train/schedule.ts';

describe('the learning rate', () => {
  it('warms up, then decays to nothing', () => {
    const rates = Array.from({ length: 11 }, (_, step) =>
      learningRate(step, { peak: 1, warmupSteps: 4, steps: 10 }),
    );
    expect(rates[0]).toBeCloseTo(0.2);
    expect(Math.max(...rates)).toBe(1);
    expect(rates[10]).toBe(0);
    for (let i = 5; i < 11; i++) expect(rates[i]).toBeLessThan(rates[i - 1] as number);
  });
});

describe('the order of an epoch', () => {
  const ids = Array.from({ length: 40 }, (_, i) => `lesson-${i}`);
  const named = (order: readonly number[], of = ids) => order.map((index) => of[index]);

  it('has each once, another order in each epoch and for each seed', () => {
    const first = epochOrder(ids, 0, 1);
    expect([...first].sort((a, b) => a - b)).toEqual(ids.map((_, i) => i));
    expect(epochOrder(ids, 0, 1)).toEqual(first);
    expect(epochOrder(ids, 1, 1)).not.toEqual(first);
    expect(epochOrder(ids, 0, 2)).not.toEqual(first);
  });

  it('stays as it is for the others when one is gone', () => {
    const fewer = ids.filter((id) => id !== 'lesson-7');
    const left = named(epochOrder(ids, 0, 1)).filter((id) => id !== 'lesson-7');
    expect(named(epochOrder(fewer, 0, 1), fewer)).toEqual(left);
  });

  it('has both sides of a pair as neighbours', () => {
    const order = epochOrder([...ids, ...ids], 0, 1);
    for (const [place, index] of order.entries()) {
      if (index < ids.length) expect(order[place + 1]).toBe(index + ids.length);
    }
  });
});
