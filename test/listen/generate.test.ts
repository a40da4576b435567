import { describe, expect, it, vi } from 'vitest';
import { inBalancedOrder, names } from '../../src/listen/generate.ts';
import { CELLS, cellOf, type Scene, type ScenePair } from '../../src/listen/scene.ts';
import { pairsOf } from './open-suite.ts';

// Every scene of the test is generated several times.
vi.setConfig({ testTimeout: 60_000 });

const judge = await pairsOf('judge');
const release = await pairsOf('release');
const textOf = ({ messages }: Scene): string =>
  messages.map(({ role, content }) => `${role}: ${content}`).join('\n');
const sides = (pairs: readonly ScenePair[]): Scene[] => pairs.flatMap((pair) => [...pair.sides]);

describe('the scenes of the listening test', () => {
  it('are the same for the same seed, and others for another', async () => {
    expect(await pairsOf('develop')).toEqual(await pairsOf('develop'));
    expect(await pairsOf('develop', 2)).not.toEqual(await pairsOf('develop'));
  });

  it('judge with at least 400 crossed pairs of each distance and each twin', () => {
    for (const cell of CELLS) {
      expect(judge.filter((pair) => cellOf(pair) === cell).length, cell).toBeGreaterThanOrEqual(
        400,
      );
    }
  });

  it('are all different', () => {
    const texts = sides([...judge, ...release]).map(textOf);
    expect(new Set(texts).size).toBe(texts.length);
  });

  it('have every placeholder filled and no blank beside a stop', () => {
    for (const pair of [...judge, ...release]) {
      const words = [...pair.sides.map(textOf), ...pair.candidates.flat()].join('\n');
      expect(words).not.toMatch(/[{}[\]]|undefined| {2}| [.,?!]|[,:;]\./);
    }
  });

  it('alternate between person and model, and end with the person', () => {
    for (const { messages } of sides(judge)) {
      expect(messages.map(({ role }) => role)).toEqual(
        messages.map((_, i) => (i % 2 === 0 ? 'user' : 'assistant')),
      );
      expect(messages.length % 2).toBe(1);
    }
  });

  it('exchange the two things of a pair throughout', () => {
    const crossed = judge.filter(({ kind }) =>
      ['listen', 'accepted', 'asked-again'].includes(kind),
    );
    expect(crossed.length).toBeGreaterThan(3000);
    for (const { sides: both, candidates } of crossed) {
      const [a, b] = both;
      expect([a.right, a.other]).toEqual([b.other, b.right]);
      const marked = (scene: Scene): string =>
        textOf(scene)
          .replace(new RegExp(`\\b${scene.right.text}\\b`, 'gi'), 'RIGHT')
          .replace(new RegExp(`\\b${scene.other.text}\\b`, 'gi'), 'OTHER');
      expect(marked(a)).toBe(marked(b));
      expect(candidates[0].every((text) => names(text, a.right))).toBe(true);
      expect(candidates[1].every((text) => names(text, b.right))).toBe(true);
    }
  });

  it('say nothing of either thing after the direction, but for the model’s own idea', () => {
    for (const { pressure, sides: both, kind } of judge) {
      if (kind !== 'listen') continue;
      for (const { messages, deciding, right, other } of both) {
        const later = messages.slice(deciding.message + 1).map(({ content }) => content);
        expect(later.filter((text) => names(text, right))).toEqual([]);
        const pushed = later.filter((text) => names(text, other));
        expect(pushed.length > 0).toBe(pressure === 'after');
        expect(names(messages.at(-1)?.content ?? '', other)).toBe(false);
      }
    }
  });

  it('have the direction as many exchanges before the question as they say', () => {
    for (const { distance, sides: both, kind } of judge) {
      if (kind !== 'listen') continue;
      const [{ messages, deciding }] = both;
      expect(messages[deciding.message]?.content).toBe(deciding.text);
      expect((messages.length - 1 - deciding.message) / 2 - 1).toBe(distance);
    }
  });

  it('repeat the own idea once, pushed and after the direction about equally often', () => {
    for (const pressure of ['once', 'pushed', 'after']) {
      const share = judge.filter((pair) => pair.pressure === pressure).length / 2250;
      expect(share).toBeGreaterThan(0.25);
    }
  });

  it('differ in a push-back and its harmless twin by the warning alone', () => {
    for (const { sides: both } of judge.filter(({ kind }) => kind === 'push-back')) {
      const [wrong, harmless] = both;
      expect(wrong.messages.slice(1)).toEqual(harmless.messages.slice(1));
      expect(names(wrong.against ?? '', wrong.right)).toBe(true);
      expect(names(harmless.against ?? '', wrong.right)).toBe(false);
    }
  });

  it('are drawn so that every beginning of the order is balanced', () => {
    const first = inBalancedOrder(judge, 7).slice(0, CELLS.length * 10);
    for (const cell of CELLS) {
      const own = first.filter((pair) => cellOf(pair) === cell);
      expect(own).toHaveLength(10);
      expect(new Set(own.map(({ domain }) => domain)).size).toBe(10);
    }
    expect(inBalancedOrder(judge, 7)).toHaveLength(judge.length);
    const listening = inBalancedOrder(judge, 7).filter(({ kind }) => kind === 'listen');
    const few = new Set(listening.slice(0, 15).map(({ domain }) => domain));
    expect(few.size).toBe(15);
  });
});
