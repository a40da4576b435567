import { describe, expect, it } from 'vitest';
import { fakeTokenizer } from '../fakes/fake-tokenizer.ts';
import { canBrowse, NEEDS, openPage, replied, SLOW, say } from './browser.ts';
import { HOLD } from './held-engine.ts';
import { openHouse } from './house.ts';

describe.skipIf(!canBrowse)(`a model that thinks, in the browser ${NEEDS}`, SLOW, () => {
  const house = openHouse({}, { ...fakeTokenizer, thoughts: 'written' });
  const { engine } = house;

  it('shows its thought folded, while it thinks and afterwards', async () => {
    engine.answer = `<think>\nThey greet me.${HOLD}\n</think>\n\nHello!`;
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'Hi');
    await page.getByText('Thinking…').waitFor();
    expect(await page.getByText('They greet me.').isVisible()).toBe(false);
    // The thought is shown before the engine reaches the place at which it is held.
    const greetings = async (): Promise<number> => {
      engine.release();
      return page.getByText('Hello!').count();
    };
    await expect.poll(greetings, { timeout: 30_000 }).toBeGreaterThan(0);
    await replied(page, 'Hello!');
    const thought = page.getByText('They greet me.');
    expect(await thought.isVisible()).toBe(false);
    await page.getByText('What it thought').click();
    await thought.waitFor();
    expect(complaints).toEqual([]);
    await close();
  });
});
