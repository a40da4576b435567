// What makes a day with the web client easy: long talks, long words, other scripts, few keys.
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { canBrowse, NEEDS, openPage, PATIENT, replied, SLOW, say } from './browser.ts';
import { openCable } from './cable.ts';
import { HOLD } from './held-engine.ts';
import { openHouse } from './house.ts';

describe.skipIf(!canBrowse)(`a day with the page ${NEEDS}`, SLOW, () => {
  const house = openHouse({ server: { limits: { messageCharactersMax: 5000 } } });
  const { engine } = house;

  const seen = (page: Page, text: string): Promise<boolean> =>
    page.evaluate<boolean>(`(() => {
      const scroller = document.querySelector('.scroller').getBoundingClientRect();
      return [...document.querySelectorAll('article')].some((article) => {
        const { top, bottom } = article.getBoundingClientRect();
        const isIn = bottom > scroller.top && top < scroller.bottom;
        return isIn && article.textContent.includes(${JSON.stringify(text)});
      });
    })()`);

  it('stays where the person reads while a reply grows, and leads back to its end', async () => {
    engine.answer = 'one line of many\n\n'.repeat(40);
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'Tell me a lot');
    await replied(page, 'one line of many');
    engine.answer = `${'and more\n\n'.repeat(10)}half${HOLD} way\n\n${'and more\n\n'.repeat(30)}the end`;
    await say(page, 'Go on');
    const answering = page.getByRole('article', { name: 'Attune, answering' });
    await answering.getByText('half').waitFor();
    await page.evaluate("document.querySelector('.scroller').scrollTop = 0");
    const latest = page.getByRole('button', { name: 'To the latest words' });
    await latest.waitFor();
    engine.release();
    await replied(page, 'the end');
    expect(await seen(page, 'Tell me a lot')).toBe(true);
    await latest.click();
    await expect.poll(() => seen(page, 'the end'), PATIENT).toBe(true);
    await expect.poll(() => latest.count(), PATIENT).toBe(0);
    expect(complaints).toEqual([]);
    await close();
  });

  it('opens a talk at the words that a search found, and leaves single keys for commands', async () => {
    engine.answer = 'filler\n\n'.repeat(30);
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'The heron stood in the reeds');
    await replied(page, 'filler');
    engine.answer = `another\n\n${engine.answer}`;
    await say(page, 'Something else');
    await replied(page, 'another');
    await page.keyboard.press('Escape');
    await page.keyboard.press('n');
    await page.getByText('What is on your mind?').waitFor();
    await page.getByLabel('Search conversations').fill('heron');
    // Until the search has answered, the list has the title of the conversation.
    await page.locator('.hit').first().click();
    await expect.poll(() => seen(page, 'The heron stood'), PATIENT).toBe(true);
    expect(await page.locator('.found').count()).toBe(1);
    expect(complaints).toEqual([]);
    await close();
  });

  it('folds what was pasted in at length, and unfolds it', async () => {
    engine.answer = 'Read.';
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'a line of a long paste\n'.repeat(60));
    await replied(page, 'Read.');
    const height = async (): Promise<number> =>
      (await page.locator('.person p').boundingBox())?.height ?? 0;
    expect(await height()).toBeLessThan(300);
    await page.getByRole('button', { name: 'Show all of it' }).click();
    expect(await height()).toBeGreaterThan(1000);
    expect(complaints).toEqual([]);
    await close();
  });

  it('says what is wrong beside the words it is about, never over them', async () => {
    const { page, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'x'.repeat(5001));
    const alert = await page.getByRole('alert').boundingBox();
    const field = await page.getByLabel('Your message').boundingBox();
    expect((alert?.y ?? 0) + (alert?.height ?? 0)).toBeLessThan(field?.y ?? 0);
    await close();
  });

  it('writes from right to left what is written so', async () => {
    engine.answer = 'مرحبا بكم.\n\n- البند الأول\n\nHello again.';
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'שלום, שולחן לשניים');
    await replied(page, 'Hello again.');
    const direction = (selector: string, at = 0): Promise<string> =>
      page.evaluate(`getComputedStyle(document.querySelectorAll('${selector}')[${at}]).direction`);
    expect(await direction('.person p')).toBe('rtl');
    expect(await direction('.markdown p')).toBe('rtl');
    expect(await direction('.markdown ul')).toBe('rtl');
    expect(await direction('.markdown > p', 1)).toBe('ltr');
    expect(complaints).toEqual([]);
    await close();
  });

  it('sets how a talk samples, and sends no number that is none', async () => {
    engine.answer = 'Set.';
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'Sample me');
    await replied(page, 'Set.');
    await page.getByRole('button', { name: 'Settings of this conversation' }).click();
    await page.getByText('More of how it speaks').click();
    await page.getByLabel('Top k').fill('12');
    await page.getByLabel('Top p').fill('7');
    await page.getByLabel('Seed').fill('5');
    await page.getByLabel('A reply ends before').fill('END\n\nSTOP');
    await page.getByLabel('Longest reply').fill('9');
    await page.getByLabel('Longest reply').blur();
    const id = page.url().split('/').at(-1) as string;
    const settings = async () => (await house.daemon.store.conversations.read(id)).settings;
    const set = { topK: 12, seed: 5, stop: ['END', 'STOP'], replyTokensMax: 9 };
    await expect.poll(settings, PATIENT).toEqual(set);
    await page.mouse.click(600, 500);
    await expect.poll(() => page.locator('.settings').count(), PATIENT).toBe(0);
    expect(complaints).toEqual([]);
    await close();
  });

  it('edits a flag at the reply that it is about', async () => {
    engine.answer = 'Not what you asked.';
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'Listen to me');
    await replied(page, 'Not what you asked.');
    await page.getByRole('button', { name: 'Not heard' }).click();
    await page.getByRole('button', { name: 'Flag this moment' }).click();
    await page.getByRole('button', { name: 'Edit this flag' }).click();
    await page.getByLabel('A reply that listens').fill('I am listening.');
    await page.getByRole('button', { name: 'Change this moment' }).click();
    const better = () => house.daemon.store.flags.list().at(-1)?.betterWords;
    await expect.poll(better, PATIENT).toBe('I am listening.');
    expect(complaints).toEqual([]);
    await close();
  });

  it('shows on a phone, where the list is hidden, that the line is cut', async () => {
    const cable = await openCable(house.daemon.port);
    const viewport = { width: 360, height: 740 };
    const { page, close } = await openPage(house.browser, cable.url, { viewport, isMobile: true });
    await page.getByText('What is on your mind?').waitFor();
    const lost = page.getByRole('status').getByText('Reconnecting');
    expect(await lost.count()).toBe(0);
    cable.pull();
    await lost.waitFor();
    cable.plug();
    await expect.poll(() => lost.count(), PATIENT).toBe(0);
    await close();
    await cable.close();
  });
});
