import { describe, expect, it } from 'vitest';
import { judgeWords } from '../../src/dream/admit.ts';
import { echoes } from '../../src/dream/echo.ts';
import { parseScenario, type Scenario } from '../../src/scenario/scenario.ts';
import { random } from './dreaming.ts';

function turn(id: string, talk: string, said: string[], chosen: string): Scenario {
  return parseScenario({
    id,
    kind: 'ordinary',
    messages: said.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content })),
    chosen,
    source: { origin: 'log', cluster: talk, domain: 'talk' },
  });
}

const BUS = ['A bus, please.', 'There is one at 6:45 am.', 'Rather at 11:30 am.'];
const bus = (id: string, talk = 'bus'): Scenario => turn(id, talk, BUS, 'Booked for 11:30 am.');

describe('echoes of a talk', () => {
  it('are both sides of moments in which a reply took up what was just said', () => {
    const [a, b, ...more] = echoes([bus('1')], 10, random(1));
    expect(more).toEqual([]);
    expect([a?.chosen, a?.rejected]).toEqual(['Booked for 11:30 am.', 'Booked for 6:45 am.']);
    expect(b?.messages.at(-1)?.content).toBe('Rather at 6:45 am.');
    expect([b?.chosen, b?.rejected]).toEqual([a?.rejected, a?.chosen]);
    for (const side of [a, b]) {
      expect(side).toMatchObject({ kind: 'listen', seed: { cluster: 'bus' }, isDirected: false });
      expect(side && judgeWords(side)).toBeUndefined();
    }
  });

  it('pass over replies that take up nothing', () => {
    expect(echoes([turn('1', 't', BUS, 'All right.')], 10, random(1))).toEqual([]);
  });

  it('are capped, in all and for each talk', () => {
    const many = Array.from({ length: 40 }, (_, i) => bus(`${i}`, `talk-${i % 5}`));
    expect(echoes(many, 4, random(1))).toHaveLength(8);
    expect(echoes(many, 100, random(1))).toHaveLength(2 * 3 * 5);
  });

  it('begin with the person, and not too long ago', () => {
    const said = [...Array.from({ length: 14 }, (_, i) => `Turn ${i}.`), ...BUS.slice(1)];
    const long = turn('1', 't', [...said.slice(0, 13), ...BUS.slice(1)], 'Booked for 11:30 am.');
    const [a] = echoes([long], 1, random(1));
    expect(a?.messages.length).toBeLessThanOrEqual(8);
    expect(a?.messages[0]?.role).toBe('user');
  });
});
