import { describe, expect, it } from 'vitest';
import { parseScenarios, printScenarios } from '../../src/scenario/file.ts';
import { directionDistance, parseScenario, withoutOwnIdea } from '../../src/scenario/scenario.ts';
import { featureText, placeQuote } from '../../src/scenario/span.ts';

const written = (changes: Record<string, unknown> = {}): unknown => ({
  id: 'one',
  kind: 'listen',
  messages: [
    { role: 'user', content: 'My shelf is crooked.' },
    { role: 'assistant', content: 'Shelves bend. You could paint it blue.' },
    { role: 'user', content: 'Tell me how to level it.' },
  ],
  spans: [
    { feature: 'own-idea', message: 1, quote: 'You could paint it blue.' },
    { feature: 'direction', message: 2, quote: 'how to level it' },
  ],
  chosen: 'Loosen the left bracket and raise it.',
  rejected: 'Blue paint would suit it.',
  source: { origin: 'suite', cluster: 'shelf', domain: 'shelf' },
  ...changes,
});

describe('a scenario file', () => {
  it('places quoted spans by character and prints to lines that read back the same', () => {
    const scenario = parseScenario(written());
    expect(featureText(scenario, 'direction')).toEqual(['how to level it']);
    expect(scenario.spans[1]).toEqual({ feature: 'direction', message: 2, start: 8, end: 23 });
    expect(parseScenarios(printScenarios([scenario]), 'file')).toEqual([scenario]);
  });

  it('refuses a bad line with its number', () => {
    const good = JSON.stringify(written());
    expect(() => parseScenarios(`${good}\n\n{"id":`, 'dreams.jsonl')).toThrow(/dreams\.jsonl:3/);
    expect(() => parseScenarios(`${good}\n${good}`, 'dreams.jsonl')).toThrow(/2: the id "one"/);
  });

  it.each([
    ['an unknown kind', { kind: 'obey' }, /kind/],
    ['an unknown key', { guidance: 'listen!' }, /guidance/],
    [
      'a last message of the assistant',
      { messages: [{ role: 'assistant', content: 'x' }] },
      /last/,
    ],
    ['equal candidates', { rejected: 'Loosen the left bracket and raise it.' }, /same words/],
    ['a quote that is not there', span('blue shelf', 1), /does not occur/],
    ['a quote that is there twice', span('e', 1), /more than once/],
    ['a span in a message that is not there', span('e', 7), /message 7/],
    [
      'offsets beyond the message',
      { spans: [{ feature: 'direction', message: 2, start: 3, end: 400 }] },
      /not inside/,
    ],
  ])('refuses %s', (_title, changes, message) => {
    expect(() => parseScenario(written(changes as Record<string, unknown>))).toThrow(message);
  });

  it('finds a quote exactly once or throws scenario-invalid', () => {
    expect(placeQuote('bend', 'Shelves bend.')).toEqual({ start: 8, end: 12 });
    expect(() => placeQuote('bend', 'none')).toThrow(
      expect.objectContaining({ code: 'scenario-invalid' }),
    );
  });

  it('counts how many of the person’s turns ago the direction was given', () => {
    const scenario = parseScenario(written());
    expect(directionDistance(scenario)).toBe(1);
    const older = { ...scenario, messages: [...scenario.messages, ...scenario.messages.slice(1)] };
    expect(directionDistance(older)).toBe(2);
    expect(directionDistance({ ...scenario, spans: [] })).toBeUndefined();
  });
});

function span(quote: string, message: number): unknown {
  return { spans: [{ feature: 'direction', message, quote }] };
}

describe('variants for controls', () => {
  it('cut the own idea and keep the direction where it now stands', () => {
    const bare = withoutOwnIdea(parseScenario(written()));
    expect(bare?.messages[1]?.content).toBe('Shelves bend.');
    expect(bare && featureText(bare, 'direction')).toEqual(['how to level it']);
    expect(bare && withoutOwnIdea(bare)).toBeUndefined();
  });

  it('leave a neutral word where the cut empties a message', () => {
    const spans = [{ feature: 'own-idea', message: 1, start: 0, end: 38 }];
    expect(withoutOwnIdea(parseScenario(written({ spans })))?.messages[1]?.content).toBe('Okay.');
  });
});
