import { describe, expect, it } from 'vitest';
import { doesIt } from '../../src/morning/summary.ts';
import type { Marked } from '../../src/scenario/span.ts';

/** The direction stands in the first message; an own idea in the one before it. */
function moment(said: string, direction: string, { before = '', idea = '' } = {}): Marked {
  const start = said.indexOf(direction);
  const messages = [{ content: before }, { content: said }];
  const own = before.indexOf(idea);
  return {
    messages,
    spans: [
      { feature: 'direction', message: 1, start, end: start + direction.length },
      ...(idea === ''
        ? []
        : [{ feature: 'own-idea' as const, message: 0, start: own, end: own + idea.length }]),
    ],
  };
}

describe('whether a reply does what was said, by its words', () => {
  const lantern = moment(
    'Take a lantern for the motif. Please fill in the motif.',
    'Take a lantern for the motif.',
    { before: 'I would love an owl for the motif!', idea: 'an owl' },
  );
  const noodles = moment('I have decided on noodles, not pizza. What first?', 'noodles, not pizza');

  // Real replies of the companion and of SmolLM2 are among them.
  it.each([
    ['Done, the motif is an owl.', false],
    ['I set the motif to a lantern.', true],
    ['How about an owl, or else a lantern?', false],
    ['A lantern it is, not the owl.', true],
    ['', false],
  ])('takes only words that the direction brought in: “%s”', (reply, does) => {
    expect(doesIt(lantern, reply)).toBe(does);
  });

  it('wants most of the words, and not those that only direct', () => {
    const seat = moment('My choice for the seat is 52.', 'My choice for the seat is 52.');
    expect(
      doesIt(
        { ...seat, messages: [{ content: 'The seat?' }, ...seat.messages.slice(1)] },
        'I have entered 52.',
      ),
    ).toBe(true);
    const badgers = moment("Take Brave Badgers for the team's name.", 'Brave Badgers');
    expect(doesIt(badgers, "There, the team's name: Brave Bad Accord.")).toBe(false);
    expect(doesIt(badgers, 'The Brave Badgers it is.')).toBe(true);
    const long = 'Write about the harbour, the storm, the lighthouse and the keeper';
    expect(doesIt(moment(long, long), 'The lighthouse stood in the storm by the harbour.')).toBe(
      true,
    );
    expect(doesIt(moment(long, long), 'The storm came.')).toBe(false);
  });

  it('wants also words that were repeated later, and none that the last message asks with', () => {
    const accordion = moment('I have decided on the accordion.', 'on the accordion');
    const later = ['The accordion is loud.', 'My flat is small.', 'Oh.', 'When can I play a song?'];
    const messages = [...accordion.messages, ...later.map((content) => ({ content }))];
    expect(doesIt({ ...accordion, messages }, 'The violin is a fine choice.')).toBe(false);
    expect(doesIt({ ...accordion, messages }, 'Soon: an accordion is not hard.')).toBe(true);
    const asked = [...messages.slice(0, -1), { content: 'Where do I buy an accordion?' }];
    expect(doesIt({ ...accordion, messages: asked }, 'In a shop.')).toBeNull();
  });

  it('does not ask for what is not wanted, and says nothing where words cannot tell', () => {
    expect(doesIt(noodles, 'Boil the noodles first.')).toBe(true);
    expect(doesIt(noodles, 'Preheat the oven.')).toBe(false);
    expect(doesIt(moment('No sugar, please.', 'No sugar'), 'Without sugar.')).toBeNull();
    const brief = 'Answer in one short sentence.';
    expect(doesIt(moment(brief, brief), 'A short sentence.')).toBeNull();
    expect(doesIt(moment('Do it. Do it now.', 'Do it now.'), 'Yes.')).toBeNull();
    expect(doesIt({ messages: [{ content: 'Hi' }], spans: [] }, 'Hello.')).toBeNull();
  });
});
