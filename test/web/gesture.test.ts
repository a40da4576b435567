// The two gestures of a day, by where things are on the screen: flagging selected words, and
// following a reply.
import type { Locator, Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import {
  type Box,
  canBrowse,
  drag,
  inPage,
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

/** The gap between two boxes, in CSS pixels; 0 where they touch. */
function gap(a: Box, b: Box): number {
  const x = Math.max(a.x - (b.x + b.width), b.x - (a.x + a.width), 0);
  const y = Math.max(a.y - (b.y + b.height), b.y - (a.y + a.height), 0);
  return Math.hypot(x, y);
}

describe.skipIf(!canBrowse)(`the gestures of a day in the browser ${NEEDS}`, SLOW, () => {
  const house = openHouse();
  const { engine } = house;
  const bar = (page: Page): Locator => page.getByRole('toolbar', { name: 'Flag the selected' });
  const reply = (page: Page): Locator =>
    page.getByRole('article', { name: 'Attune', exact: true }).last();

  it.each([
    ['a wide window', { width: 1440, height: 900 }, 1],
    ['a tablet', { width: 820, height: 1180 }, 1],
    ['a narrow window', { width: 390, height: 780 }, 1],
    ['a page that is zoomed to twice its size', { width: 600, height: 400 }, 2],
  ])(
    'shows the bar beside the words that the mouse selected, in %s',
    async (...[, viewport, deviceScaleFactor]) => {
      engine.answer = 'First line.\n\nonly words\n\nLast line.';
      const options = { viewport, deviceScaleFactor };
      const { page, complaints, close } = await openPage(house.browser, house.daemon.url, options);
      await say(page, 'Say three lines');
      await replied(page, 'Last line.');
      const words = await drag(page, reply(page).getByText('only words').first());
      const shown = await wholeBox(bar(page));
      expect(gap(shown, words)).toBeLessThan(30);
      await press(page, bar(page).getByRole('button', { name: 'Not heard' }));
      expect(await page.getByLabel('Where it drifted').inputValue()).not.toBe('');
      expect(complaints).toEqual([]);
      await close();
    },
  );

  it('puts the bar below the words where fingers select, clear of the handles of the system', async () => {
    engine.answer = 'First line.\n\nonly words\n\nLast line.';
    const options = { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true };
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url, options);
    await say(page, 'Say three lines');
    await replied(page, 'Last line.');
    const words = await drag(page, reply(page).getByText('only words').first());
    const { y } = await wholeBox(bar(page));
    expect(y - words.y - words.height).toBeGreaterThan(20);
    expect(y - words.y - words.height).toBeLessThan(60);
    expect(complaints).toEqual([]);
    await close();
  });

  it('moves the bar with the words when the page scrolls, and hides it when they are gone', async () => {
    engine.answer = `${'line\n\n'.repeat(30)}only words\n\n${'line\n\n'.repeat(30)}end`;
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'Say many lines');
    await replied(page, 'end');
    const words = reply(page).getByText('only words').first();
    await words.evaluate(inPage("element.scrollIntoView({ block: 'center' })"));
    await drag(page, words);
    await bar(page).waitFor();
    const top = (await words.boundingBox())?.y;
    await page.mouse.wheel(0, 120);
    const near = async (): Promise<number> => {
      const [shown, own] = [await bar(page).boundingBox(), await words.boundingBox()];
      return shown === null || own === null ? Infinity : gap(shown, own);
    };
    await expect.poll(async () => (await words.boundingBox())?.y, PATIENT).not.toBe(top);
    await expect.poll(near, PATIENT).toBeLessThan(30);
    // A busy browser may drop a turn of the wheel: who scrolls away turns it again.
    const scrolled = async (): Promise<number> => {
      await page.mouse.wheel(0, 2000);
      return bar(page).count();
    };
    await expect.poll(scrolled, PATIENT).toBe(0);
    expect(complaints).toEqual([]);
    await close();
  });

  it('says that words of two messages cannot be flagged together', async () => {
    engine.answer = 'The reply.';
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'The message');
    await replied(page, 'The reply.');
    const from = await wholeBox(page.locator('[data-role="user"] span').first());
    const to = await wholeBox(reply(page).getByText('The reply.').first());
    await page.mouse.move(from.x + 2, from.y + from.height / 2);
    await page.mouse.down();
    await page.mouse.move(to.x + to.width - 2, to.y + to.height / 2, { steps: 5 });
    await page.mouse.up();
    await bar(page).getByText('Select words of one message').waitFor();
    expect(await bar(page).getByRole('button').count()).toBe(0);
    expect(complaints).toEqual([]);
    await close();
  });

  it('says of a reply that is flagged already that it is', async () => {
    engine.answer = 'Flag me twice.';
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'Once');
    await replied(page, 'Flag me twice.');
    await press(page, page.getByRole('button', { name: 'Not heard' }));
    await press(page, page.getByRole('button', { name: 'Flag this moment' }));
    await page.getByRole('button', { name: 'Edit this flag' }).waitFor();
    await press(page, page.getByRole('button', { name: 'Listened' }));
    await page.getByText('This reply is flagged already: not heard.').waitFor();
    expect(complaints).toEqual([]);
    await close();
  });

  const LONG = 'line\n\n'.repeat(40);

  /** The end of the last words is on the screen, above the field. */
  async function isFollowed(page: Page): Promise<boolean> {
    return page.evaluate<boolean>(`(() => {
      const last = [...document.querySelectorAll('article')].at(-1).getBoundingClientRect();
      const { bottom } = document.querySelector('.scroller').getBoundingClientRect();
      return last.bottom <= bottom + 60;
    })()`);
  }

  it.each([
    ['the keyboard', (page: Page) => say(page, 'Go on')],
    [
      'the mouse',
      async (page: Page) => {
        await page.getByLabel('Your message').fill('Go on');
        await press(page, page.getByRole('button', { name: 'Send (Enter)' }));
      },
    ],
    ['Again', (page: Page) => press(page, page.getByRole('button', { name: 'Again' }))],
  ])(
    'follows a reply in a conversation longer than the window, asked for by %s',
    async (_, ask) => {
      engine.answer = `${LONG}the first end`;
      const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
      await say(page, 'Tell me a lot');
      await replied(page, 'the first end');
      engine.answer = `${'more\n\n'.repeat(4)}${HOLD}${'more\n\n'.repeat(12)}${HOLD}the second end`;
      await ask(page);
      const answering = page.getByRole('article', { name: 'Attune, answering' });
      await answering.getByText('more').nth(3).waitFor();
      expect(await isFollowed(page)).toBe(true);
      engine.release();
      await answering.getByText('more').nth(15).waitFor();
      expect(await isFollowed(page)).toBe(true);
      engine.release();
      await replied(page, 'the second end');
      expect(await isFollowed(page)).toBe(true);
      expect(await page.getByRole('button', { name: 'To the latest words' }).count()).toBe(0);
      expect(complaints).toEqual([]);
      await close();
    },
  );

  it('keeps the end in view when the window gets lower, as under a keyboard on the screen', async () => {
    engine.answer = `${LONG}the end of it`;
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'Tell me a lot');
    await replied(page, 'the end of it');
    await page.setViewportSize({ width: 1200, height: 420 });
    await expect.poll(() => isFollowed(page), PATIENT).toBe(true);
    expect(complaints).toEqual([]);
    await close();
  });
});
