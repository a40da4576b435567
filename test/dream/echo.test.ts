import { describe, expect, it } from 'vitest';
import { echoes } from '../../src/dream/echo.ts';
import { parseScenario, type Scenario } from '../../src/scenario/scenario.ts';
import { listens, random } from './dreaming.ts';

function turn(id: string, conversation: string, said: string[], chosen: string): Scenario {
  return parseScenario({
    id,
    kind: 'ordinary',
    messages: said.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content })),
    chosen,
    source: { origin: 'log', cluster: conversation, domain: 'talk' },
  });
}

const BUS = ['A bus, please.', 'There is one at 6:45 am.', 'Rather at 11:30 am.'];
const bus = (id: string, conversation = 'bus'): Scenario =>
  turn(id, conversation, BUS, 'Booked for 11:30 am.');

describe('echoes of a conversation', () => {
  it('are both sides of moments in which a reply took up what was just said', () => {
    const [a, b, ...more] = echoes([bus('1')], 10, random(1));
    expect(more).toEqual([]);
    expect([a?.facts?.needs, b?.facts?.needs]).toEqual([[['11:30 am']], [['6:45 am']]]);
    expect(b?.messages.at(-1)?.content).toBe('Rather at 6:45 am.');
    for (const side of [a, b]) {
      expect(side).toMatchObject({ kind: 'listen', seed: { cluster: 'bus' } });
      const replies = ['Booked for 11:30 am.', 'Booked for 6:45 am.'];
      expect(side && listens(side, replies)).toBe(true);
    }
  });

  it('pass over replies that take up nothing', () => {
    expect(echoes([turn('1', 't', BUS, 'All right.')], 10, random(1))).toEqual([]);
  });

  it('are capped, in all and for each conversation', () => {
    const many = Array.from({ length: 40 }, (_, i) => bus(`${i}`, `talk-${i % 5}`));
    expect(echoes(many, 4, random(1))).toHaveLength(8);
    expect(echoes(many, 100, random(1))).toHaveLength(2 * 6 * 5);
  });

  it('begin with the person, and not too long ago', () => {
    const early = Array.from({ length: 21 }, (_, i) => `Turn number ${i < 4 ? 45 : 'x'}.`);
    const long = turn('1', 't', [...early, ...BUS.slice(1)], 'Booked 45 for 11:30 am.');
    const [a] = echoes([long], 1, random(1));
    expect(a?.messages.length).toBeLessThanOrEqual(16);
    expect(a?.messages[0]?.role).toBe('user');
    // What was named before that is out of sight.
    expect(a?.facts?.needs).toEqual([['11:30 am']]);
  });

  it('take up what was named some turns ago, too', () => {
    const said = [
      'Two days in Oslo from the 6th.',
      'When back?',
      'Any day.',
      'By bus?',
      'By train.',
    ];
    const [a, b] = echoes([turn('1', 't', said, 'A train on the 6th, then.')], 1, random(1));
    expect(a?.angle.distance).toBe(2);
    expect(a?.spans).toEqual([{ feature: 'direction', message: 0, start: 0, end: 30 }]);
    expect(b?.facts?.needs?.[0]?.[0]).toMatch(/^\d+(?:st|nd|rd|th)$/);
    expect(b?.messages[0]?.content).not.toContain('6th');
  });
});
