// Nothing that was typed is lost: not at a reload, not while a reply runs, not when it is refused.
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import { canBrowse, NEEDS, openPage, PATIENT, press, replied, SLOW, say } from './browser.ts';
import { openCable } from './cable.ts';
import { HOLD } from './held-engine.ts';
import { openHouse } from './house.ts';

describe.skipIf(!canBrowse)(`what was typed in the browser ${NEEDS}`, SLOW, () => {
  const house = openHouse({ server: { limits: { messageCharactersMax: 1000 } } });
  const { engine } = house;
  const field = (page: Page) => page.getByLabel('Your message');

  it('keeps a draft for each conversation, and one for the next, over a reload', async () => {
    engine.answer = 'Yes.';
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'The first');
    await replied(page, 'Yes.');
    const address = page.url();
    await field(page).fill('half a thought');
    await page.getByRole('button', { name: 'New conversation' }).click();
    await field(page).fill('another half');
    await page.reload();
    expect(await field(page).inputValue()).toBe('another half');
    await page.goto(address);
    await replied(page, 'Yes.');
    expect(await field(page).inputValue()).toBe('half a thought');
    await page.keyboard.press('Enter');
    await field(page).press('Enter');
    await expect.poll(() => field(page).inputValue(), PATIENT).toBe('');
    await page.reload();
    await replied(page, 'Yes.');
    expect(await field(page).inputValue()).toBe('');
    expect(complaints).toEqual([]);
    await close();
  });

  it('keeps a flag in the making in its own conversation, and lets another one be talked in', async () => {
    engine.answer = 'Yes.';
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'Flag me');
    await replied(page, 'Yes.');
    await page.getByRole('button', { name: 'Not heard' }).last().click();
    await page.getByLabel('A reply that listens').fill('half a reply');
    const address = page.url();
    await page.getByRole('button', { name: 'New conversation' }).click();
    await say(page, 'Another matter');
    await replied(page, 'Yes.');
    expect(await page.getByText('What went unheard?').count()).toBe(0);
    await page
      .locator(`a[href="${new URL(address).pathname}"]`)
      .first()
      .click();
    const better = page.getByLabel('A reply that listens');
    await better.waitFor();
    expect(await better.inputValue()).toBe('half a reply');
    await page.getByRole('button', { name: 'Flag this moment' }).click();
    const flags = () => house.daemon.store.flags.list();
    await expect.poll(() => flags().at(-1)?.betterWords, PATIENT).toBe('half a reply');
    expect(`/conversations/${flags().at(-1)?.conversationId}`).toBe(new URL(address).pathname);
    expect(complaints).toEqual([]);
    await close();
  });

  it('keeps in line what is said while a reply runs, and gives it back on request', async () => {
    engine.answer = `First${HOLD} reply.`;
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'One');
    await page.getByText('First', { exact: true }).waitFor();
    await say(page, 'Two');
    await say(page, 'Three');
    await page.getByText('sent after this reply').nth(1).waitFor();
    expect(await field(page).inputValue()).toBe('');
    await press(page, page.getByRole('button', { name: 'Take back' }).last());
    expect(await field(page).inputValue()).toBe('Three');
    engine.answer = 'Second reply.';
    engine.release();
    await replied(page, 'Second reply.');
    expect(await page.getByRole('article', { name: 'You' }).allTextContents()).toEqual([
      'One',
      'Two',
    ]);
    expect(complaints).toEqual([]);
    await close();
  });

  it('keeps what was said on a cut line over a closed tab, and sends it once', async () => {
    engine.answer = 'Here.';
    const cable = await openCable(house.daemon.port);
    const { page } = await openPage(house.browser, cable.url);
    await say(page, 'Before');
    await replied(page, 'Here.');
    const path = new URL(page.url()).pathname;
    cable.pull();
    await page.getByRole('status').getByText('Reconnecting').waitFor();
    await say(page, 'Into the void');
    await page.getByText('sending…').waitFor();
    cable.plug();
    const context = page.context();
    await page.close();
    const again = await context.newPage();
    await again.goto(cable.url + path);
    await again.getByRole('article', { name: 'Attune', exact: true }).nth(1).waitFor();
    expect(await again.getByRole('article', { name: 'You' }).allTextContents()).toEqual([
      'Before',
      'Into the void',
    ]);
    await context.close();
    await cable.close();
  });

  it('says why words were refused until they are changed', async () => {
    const { page, close } = await openPage(house.browser, house.daemon.url);
    await page.clock.install();
    await say(page, 'x'.repeat(1001));
    const alert = page.getByRole('alert').getByText('1001 characters');
    await alert.waitFor();
    await page.clock.fastForward(60_000);
    expect(await alert.count()).toBe(1);
    expect(await field(page).inputValue()).toBe('x'.repeat(1001));
    await field(page).fill('shorter');
    await expect.poll(() => alert.count(), PATIENT).toBe(0);
    await close();
  });

  it('keeps what was typed into a flag over Escape and a reload, until it is sent', async () => {
    engine.answer = 'Not what you asked.';
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'Listen to me');
    await replied(page, 'Not what you asked.');
    await page.getByRole('button', { name: 'Not heard' }).click();
    await page.getByLabel('A reply that listens').fill('I am listening.');
    await page.keyboard.press('Escape');
    await page.reload();
    await replied(page, 'Not what you asked.');
    await page.getByRole('button', { name: 'Not heard' }).click();
    expect(await page.getByLabel('A reply that listens').inputValue()).toBe('I am listening.');
    await page.getByRole('button', { name: 'Flag this moment' }).click();
    const better = () => house.daemon.store.flags.list().at(-1)?.betterWords;
    await expect.poll(better, PATIENT).toBe('I am listening.');
    await field(page).waitFor();
    await page.getByRole('button', { name: 'Not heard' }).click();
    expect(await page.getByLabel('A reply that listens').inputValue()).toBe('');
    expect(complaints).toEqual([]);
    await close();
  });

  it('leaves no conversation behind where something was set and nothing was said', async () => {
    const before = house.daemon.conversations.list({ limit: 500 }).conversations.length;
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await page.getByRole('button', { name: 'Settings of this conversation' }).click();
    await page.getByLabel('System prompt').fill('Be brief.');
    await page.getByLabel('Temperature').fill('0.3');
    await page.keyboard.press('Escape');
    await page.getByRole('link', { name: /Flags/ }).click();
    await page
      .getByText(/Nothing is flagged|Go to this moment/)
      .first()
      .waitFor();
    expect(house.daemon.conversations.list({ limit: 500 }).conversations).toHaveLength(before);
    expect(complaints).toEqual([]);
    await close();
  });

  it('loses nothing in many reloads at random moments', async () => {
    engine.answer = 'Noted.';
    const { page, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'Message 0');
    await replied(page, 'Noted.');
    const random = createRandom(18);
    const typed = ['Message 0'];
    for (let round = 1; round <= 12; round++) {
      typed.push(`Message ${round}`);
      await field(page).fill(`Message ${round}`);
      if (random.uniform() < 0.5) await page.reload();
      await expect.poll(() => field(page).inputValue(), PATIENT).toBe(`Message ${round}`);
      await field(page).press('Enter');
      await page.waitForTimeout(random.uniform() * 60);
      await page.reload();
    }
    const id = page.url().split('/').at(-1) as string;
    const said = async (): Promise<string[]> => {
      const { entries } = await house.daemon.store.conversations.read(id);
      return entries.filter(({ type }) => type === 'message').map(({ text }) => text);
    };
    await expect.poll(said, PATIENT).toEqual(typed);
    await close();
  });
});
