import { describe, expect, it } from 'vitest';
import { dream } from '../../src/dream/dream.ts';
import { parseWholeScene } from '../../src/dream/whole.ts';
import { fc } from '../property.ts';
import { createModel, gist, options, settings } from './dreaming.ts';

const SCENE = `Person: Help me plan the day.
Companion: How about a museum visit?
Person: No museum, only the plan for Tuesday. Write it down now.
Direction: "only the plan for Tuesday"
Own idea: a museum visit`;

describe('a whole scene', () => {
  it('is read with its quotes looked up', () => {
    const scene = parseWholeScene(SCENE, 'listen');
    if (typeof scene === 'string') throw new Error(scene);
    expect(scene.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user']);
    const words = scene.spans.map((s) => scene.messages[s.message]?.content.slice(s.start, s.end));
    expect(words).toEqual(['only the plan for Tuesday', 'a museum visit']);
  });

  it.each<[string, string, string]>([
    [
      'a quote that stands nowhere',
      SCENE.replace('"only the plan for Tuesday"', 'the plan of Tuesday'),
      'nowhere',
    ],
    [
      'a quote that stands twice',
      SCENE.replace('Help me plan', 'only the plan for Tuesday: help me plan'),
      'twice',
    ],
    [
      'a quote of the wrong side',
      SCENE.replace('Own idea: a museum visit', 'Own idea: No museum'),
      'nowhere',
    ],
    ['no direction', SCENE.replace(/Direction.*\n/, ''), 'marks no direction'],
    [
      'the companion at its end',
      SCENE.replace('Direction', 'Companion: Done.\nDirection'),
      'end with the person',
    ],
    ['the companion at its start', `Companion: Hi.\n${SCENE}`, 'begin with the person'],
    ['one side twice in a row', SCENE.replace('Companion: How', 'Person: How'), 'twice in a row'],
    ['an empty turn', SCENE.replace('How about a museum visit?', ''), 'empty'],
    ['talk around it', `Sure, here is a scene:\n${SCENE}`, 'in no form'],
    ['too few turns', 'Person: hi', 'too few'],
  ])('is refused with %s', (_name, text, reason) => {
    expect(parseWholeScene(text, 'listen')).toContain(reason);
  });

  it('is a scene or a reason, whatever the text', () => {
    const row = fc.oneof(
      fc.string(),
      fc.constantFrom(
        'Person: a b',
        'Companion: c',
        'Direction: a',
        'Own idea: c',
        'Person:',
        '---',
        '',
      ),
    );
    fc.assert(
      fc.property(fc.array(row, { maxLength: 60 }), (rows) => {
        const scene = parseWholeScene(rows.join('\n'), 'listen');
        if (typeof scene === 'string') return scene.length > 0;
        return scene.spans.every(
          (s) => (scene.messages[s.message]?.content.length ?? 0) >= s.end && s.end > s.start,
        );
      }),
    );
  });
});

const gists = [await gist('food', 'Please book a table in Lisbon at 7 pm.')];

describe('a large model', () => {
  const large = { ...settings, strength: 'whole' as const, contextTokensMax: 4096 };
  const budget = { dreamsMax: 8, tokensMax: 1e6, minutesMax: 60 };

  it('writes whole scenes from memory, and candidates for them', async () => {
    const engine = createModel(({ text }) => {
      if (text.includes('Use this form')) return SCENE;
      return text.includes('Listen first')
        ? 'The plan for Tuesday: rest.'
        : 'The museum visit is booked!';
    });
    const { drafts } = await dream(options(engine, { gists, budget, settings: large }));
    const listen = drafts.filter(({ kind }) => kind === 'listen');
    expect(listen.length).toBeGreaterThan(0);
    for (const draft of listen) {
      expect(draft).toMatchObject({
        chosenFrom: 'guided',
        rejectedFrom: 'unguided',
        sampledShare: 1,
      });
      expect(draft.prompt.name).toBe('dream/whole/listen');
    }
  });

  it('fails with the reason when it never writes one', async () => {
    const engine = createModel(() => 'I would rather not.');
    const result = await dream(options(engine, { gists, budget, settings: large }));
    expect(result.drafts).toEqual([]);
    expect(result.failed.length).toBe(8);
    expect(result.failed[0]?.reason).toContain('in no form');
    expect(engine.requests.length).toBe(8 * (settings.retriesPerDream + 1));
  });
});
