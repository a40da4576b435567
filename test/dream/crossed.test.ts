import { describe, expect, it } from 'vitest';
import { scenarioOfDraft } from '../../src/dream/admit.ts';
import { dream } from '../../src/dream/dream.ts';
import { checkReply } from '../../src/scenario/check.ts';
import { createModel, flag, gist, options } from './dreaming.ts';

const GISTS = [
  await gist('walk', 'No, not that one. I am so worried about Anna.'),
  await gist('food', 'Please book a table in Lisbon at 7 pm.'),
];

describe('a crossed scene', () => {
  it('writes both sides of a scene: the candidates exchanged, each right on its own side only', async () => {
    const { drafts } = await dream(options(createModel(), { flagged: [flag('a')], gists: GISTS }));
    const twins = drafts.filter(({ chosenFrom }) => chosenFrom === 'crossed');
    const kinds = new Set<string>();
    for (const twin of twins) {
      const first = drafts.find(({ id }) => id === twin.pair?.id);
      if (first === undefined) throw new Error(`${twin.id} has no other side`);
      kinds.add(`${first.kind} and ${twin.kind}`);
      expect(first.pair).toEqual({ id: first.id, side: 'a' });
      expect([twin.chosen, twin.rejected]).toEqual([first.rejected, first.chosen]);
      expect(twin.messages).not.toEqual(first.messages);
      for (const side of [first, twin].map(scenarioOfDraft)) {
        expect(checkReply(side, side.chosen).passes).toBe(true);
        expect(checkReply(side, side.rejected ?? '').passes).toBe(false);
      }
    }
    expect([...kinds].sort()).toEqual([
      'compressed and compressed',
      'hostile and ordinary',
      'invite and listen',
      'listen and listen',
      'longing and compressed',
      'push-back and listen',
      'undercurrent and ordinary',
    ]);
  });

  it('says on both sides of a push-back the same words at the end', async () => {
    const { drafts } = await dream(options(createModel(), { flagged: [flag('a')], gists: GISTS }));
    const firsts = drafts.filter(({ kind, pair }) => kind === 'push-back' && pair !== undefined);
    expect(firsts.length).toBeGreaterThan(0);
    for (const first of firsts) {
      const twin = drafts.find(({ id, pair }) => pair?.id === first.id && id !== first.id);
      expect(twin?.messages.at(-1)).toEqual(first.messages.at(-1));
    }
  });
});
