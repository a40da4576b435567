import { describe, expect, it } from 'vitest';
import { checkListening } from '../../src/listen/reply-check.ts';
import type { Act, Scene } from '../../src/listen/scene.ts';

const leek = { text: 'leek soup', key: 'leek' };
const fish = { text: 'fish soup', key: 'fish' };
const said = (role: 'user' | 'assistant', content: string) => ({ role, content });

function sceneOf(act: Act, more: Partial<Scene> = {}): Scene {
  return {
    messages: [
      said('user', 'Guests are coming. I need to settle on a soup.'),
      said('assistant', 'How about fish soup? It has worked well for others.'),
      said('user', 'No, I would like leek soup.'),
      said('assistant', 'All right.'),
      said('user', 'What do I have to buy for it?'),
    ],
    deciding: { message: 2, text: 'No, I would like leek soup.' },
    act,
    right: leek,
    other: fish,
    ...more,
  };
}

const verdict = (act: Act, reply: string, more?: Partial<Scene>) =>
  checkListening(sceneOf(act, more), reply);

describe('the check of a reply', () => {
  it('sees a direction carried out in an answer that is about it', () => {
    const found = verdict('carry-out', 'For leek soup you need potatoes, butter, cream and stock.');
    expect(found).toMatchObject({ isRight: true, isWrong: false, isAnswer: true });
  });

  it.each([
    ['repeats the person', 'No, I would like leek soup. What do I have to buy for it?'],
    ['only names it', 'Leek soup it is. Great choice!'],
    ['only promises help', 'Sure, I would be happy to help you with leek soup. Let me know!'],
    ['turns it down', 'Instead of leek soup, cook fish with carrots, celery and saffron.'],
    ['loops', 'The leek soup. '.repeat(12)],
    ['says nothing', ''],
  ])('does not take it for carried out when a reply %s', (_, reply) => {
    expect(verdict('carry-out', reply).isRight).toBe(false);
  });

  it('sees the own idea, also when it is only repeated', () => {
    expect(
      verdict('carry-out', 'How about fish soup? It has worked well for others.'),
    ).toMatchObject({
      isRight: false,
      isWrong: true,
      isAnswer: false,
      copied: 1,
    });
    const brief = 'For leek soup buy potatoes, butter and cream. Fish can come another day.';
    expect(verdict('carry-out', brief)).toMatchObject({ isRight: true, isWrong: false });
  });

  it('sees an objection by its reason, and none in a reply that goes along', () => {
    const against = { against: 'my aunt gets a rash from leek soup' };
    expect(
      verdict('object', 'Wait, did your aunt not get a rash, though? But I can help.', against)
        .isRight,
    ).toBe(true);
    expect(verdict('object', 'You said that your aunt cannot have it.', against).isRight).toBe(
      true,
    );
    expect(verdict('object', 'Buy leeks, potatoes, butter and cream.', against)).toMatchObject({
      isRight: false,
      isWrong: true,
    });
  });

  it('sees sorrow and joy in the first sentences alone', () => {
    expect(verdict('condole', 'I am so sorry. Buy leeks.').isRight).toBe(true);
    expect(verdict('condole', 'How wonderful! Buy leeks.')).toMatchObject({
      isRight: false,
      isWrong: true,
    });
    expect(verdict('congratulate', 'Congratulations! Buy leeks.').isRight).toBe(true);
    expect(verdict('congratulate', 'Buy leeks. Then cook them. Congratulations!').isRight).toBe(
      false,
    );
  });

  it('sees a question for what is missing', () => {
    expect(verdict('ask', 'What did your sister say?').isRight).toBe(true);
    expect(verdict('ask', "You haven't told me yet.").isRight).toBe(true);
    expect(verdict('ask', 'For fish soup buy cod, saffron and fennel.')).toMatchObject({
      isRight: false,
      isWrong: true,
    });
  });
});
