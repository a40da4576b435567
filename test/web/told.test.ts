// "Hear me now" in a real browser: asked by mouse, touch and keys, kept, refused, reloaded.
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import {
  atRest,
  canBrowse,
  NEEDS,
  openPage,
  PATIENT,
  press,
  replied,
  SLOW,
  say,
  wholeBox,
} from './browser.ts';
import { HOLD } from './held-engine.ts';
import { openHouse } from './house.ts';

const DRIFTED = 'How about the red room?';
const HEARD = 'The blue room is yours.';

describe.skipIf(!canBrowse)(`hear me now in the browser ${NEEDS}`, SLOW, () => {
  const house = openHouse();
  const { engine } = house;

  const told = (page: Page) => page.getByRole('region', { name: 'Told, it says' });

  async function flagged(page: Page): Promise<void> {
    engine.answer = DRIFTED;
    await say(page, 'I want the blue room.');
    await replied(page, DRIFTED);
    engine.answer = HEARD;
    await page.getByRole('button', { name: 'Not heard' }).last().click();
    await page.getByRole('button', { name: 'Flag this moment' }).click();
  }

  const lastFlag = () => house.daemon.store.flags.list().at(-1);

  it.each([
    [1200, 800, {}],
    [390, 780, { hasTouch: true, isMobile: true }],
  ])(
    'answers a flag at once, %s wide, and puts the kept reply in its place',
    async (width, height, more) => {
      const { page, complaints, close } = await openPage(house.browser, house.daemon.url, {
        viewport: { width, height },
        ...more,
      });
      await flagged(page);
      await told(page).getByText(HEARD).waitFor();
      const box = await wholeBox(told(page));
      const reply = await wholeBox(page.getByText(DRIFTED));
      // Beside the reply where there is room, else below it.
      if (width > 1000) expect(box.x).toBeGreaterThan(reply.x + reply.width);
      else expect(box.y).toBeGreaterThan(reply.y + reply.height);
      await told(page).getByText('by tomorrow it should do so without being told').waitFor();
      await press(page, told(page).getByRole('button', { name: 'Keep this reply' }));
      await replied(page, HEARD);
      await page.getByText('Another reply took its place.').waitFor();
      await page.getByText('You kept what it said when it was told.').waitFor();
      expect(await told(page).count()).toBe(0);
      expect(lastFlag()).toMatchObject({ betterWords: HEARD, told: 'kept' });
      expect(complaints).toEqual([]);
      await close();
    },
  );

  it('stays in view while it grows beside a reply, also where that is not the end', async () => {
    const { page, close } = await openPage(house.browser, house.daemon.url, {
      viewport: { width: 1440, height: 850 },
    });
    for (const word of ['first', 'second', 'third', 'fourth', 'fifth']) {
      engine.answer = `The ${word} one is fine with me.`;
      await say(page, `This is the ${word} room.`);
      await replied(page, engine.answer);
    }
    engine.answer = Array(10).fill(DRIFTED).join(' ');
    await say(page, 'I want the blue room.');
    await replied(page, engine.answer);
    // No word twice: a reply that loops is asked for again.
    const more = Array.from({ length: 25 }, (_, i) => `with-room-${i}`).join(' ');
    engine.answer = `Well.${HOLD} ${HEARD} It goes ${more}.`;
    await page.getByRole('button', { name: 'Not heard' }).last().click();
    await page.getByRole('button', { name: 'Flag this moment' }).click();
    await told(page).getByText('Well.', { exact: true }).waitFor();
    const { x, y } = await wholeBox(told(page));
    await page.mouse.move(x, y);
    await page.mouse.wheel(0, -80);
    await page.getByRole('button', { name: 'To the latest words' }).waitFor();
    await atRest(told(page));
    await wholeBox(told(page));
    engine.release();
    await told(page).getByRole('button', { name: 'Keep this reply' }).waitFor();
    await wholeBox(told(page));
    await close();
  });

  it('is kept with one key, by who uses no mouse', async () => {
    const { page, close } = await openPage(house.browser, house.daemon.url);
    engine.answer = DRIFTED;
    await page.keyboard.type('I want the blue room.');
    await page.keyboard.press('Enter');
    await replied(page, DRIFTED);
    engine.answer = HEARD;
    await page.keyboard.press('Escape');
    await page.keyboard.press('f');
    await page.getByRole('form', { name: 'Flag: not heard' }).waitFor();
    await page.keyboard.press('Control+Enter');
    await told(page).getByText(HEARD).waitFor();
    const named = () => page.evaluate('document.activeElement.ariaLabel');
    await expect.poll(named, PATIENT).toBe('Told, it says');
    await page.keyboard.press('k');
    await replied(page, HEARD);
    await expect.poll(named, PATIENT).toBe('Your message');
    await close();
  });

  it('takes "still not", and opens the field for what would have been better', async () => {
    const { page, close } = await openPage(house.browser, house.daemon.url);
    await flagged(page);
    await told(page).getByRole('button', { name: 'Still not' }).click();
    const better = page.getByLabel('A reply that listens');
    await expect
      .poll(() => page.evaluate('document.activeElement.id'), PATIENT)
      .toBe('better-words');
    expect(lastFlag()).toMatchObject({ told: 'missed', betterWords: null });
    await page.keyboard.press('Escape');
    await page.reload();
    await page.getByRole('button', { name: 'Say what would have been better' }).click();
    await better.fill('The blue one, gladly.');
    await page.getByRole('button', { name: 'Change this moment' }).click();
    await expect.poll(() => lastFlag()?.betterWords, PATIENT).toBe('The blue one, gladly.');
    expect(await told(page).count()).toBe(0);
    await close();
  });

  it('goes on after a reload in the middle, and beside a reply that runs', async () => {
    const { page, close } = await openPage(house.browser, house.daemon.url);
    await flagged(page);
    await told(page).getByText(HEARD).waitFor();
    await page.getByRole('button', { name: 'Edit this flag' }).click();
    engine.answer = `The blue${HOLD} room is yours.`;
    await page.getByLabel('Why').fill('Not red.');
    await page.getByRole('button', { name: 'Change this moment' }).click();
    await told(page).getByText('The blue', { exact: true }).waitFor();
    await page.reload();
    await told(page).getByText('The blue', { exact: true }).waitFor();
    expect(await told(page).getAttribute('aria-busy')).toBe('true');
    const release = engine.release.bind(engine);
    release();
    await told(page).getByText(HEARD).waitFor();
    engine.answer = `Breakfast${HOLD} is at eight.`;
    await say(page, 'And breakfast?');
    await page.getByText('Breakfast', { exact: true }).waitFor();
    await told(page).getByRole('button', { name: 'Keep this reply' }).click();
    await page.getByText('The conversation has gone on').waitFor();
    engine.release();
    await replied(page, 'Breakfast is at eight.');
    expect(lastFlag()).toMatchObject({ betterWords: HEARD, told: 'kept' });
    await close();
  });

  it('says what went wrong and tells it once more; a withdrawn flag takes it away', async () => {
    const { page, close } = await openPage(house.browser, house.daemon.url);
    engine.answer = DRIFTED;
    await say(page, 'I want the blue room.');
    await replied(page, DRIFTED);
    engine.die();
    await page.getByRole('button', { name: 'Not heard' }).last().click();
    await page.getByRole('button', { name: 'Flag this moment' }).click();
    await told(page).getByText('It came to no end').waitFor();
    engine.revive();
    engine.answer = HEARD;
    await told(page).getByRole('button', { name: 'Tell it once more' }).click();
    await told(page).getByText(HEARD).waitFor();
    await house.daemon.conversations.withdrawFlag(lastFlag()?.id ?? '');
    await expect.poll(() => told(page).count(), PATIENT).toBe(0);
    await close();
  });
});
