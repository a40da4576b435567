// The web client in a real browser: a talk of two thousand messages is as easy as a short one.
import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { foreignReply, type LogRecord } from '../../src/conversation/record.ts';
import type { TestDaemon } from '../server/open-test-daemon.ts';
import { canBrowse, NEEDS, openPage, PATIENT, replied, SLOW, say } from './browser.ts';
import { openCable } from './cable.ts';
import { openHouse } from './house.ts';

const TURNS = 1000;
const SAID: Readonly<Record<number, string>> = { 3: 'I never eat fish.', 5: 'I sleep badly.' };

function recordsOf(talk: string): LogRecord[] {
  return Array.from({ length: TURNS }, (_, turn): LogRecord[] => {
    const id = `${talk}-m${turn}`;
    const text = SAID[turn] ?? `Message ${turn} of many.`;
    const answer = { id: `${talk}-r${turn}`, messageId: id, at: turn + 1 };
    const reply = foreignReply({ ...answer, text: `Reply ${turn}.\n\n- one\n- **two**` });
    return [{ type: 'message', id, at: turn + 1, text }, reply];
  }).flat();
}

async function addTalk({ store }: TestDaemon, id: string): Promise<void> {
  const header = { type: 'conversation', schemaVersion: 1, id, at: 1, origin: 'live' } as const;
  await store.conversations.create(
    { ...header, title: id, settings: {}, canLearn: true },
    recordsOf(id),
  );
}

describe.skipIf(!canBrowse)(`a talk of two thousand messages ${NEEDS}`, SLOW, () => {
  const house = openHouse();
  const { engine } = house;

  beforeAll(async () => {
    await addTalk(house.daemon, 'long');
  });

  const count = (page: Page): Promise<number> => page.locator('article').count();
  const messageAt = (page: Page, id: string) => page.locator(`[data-message-id="${id}"]`);
  const earlier = (page: Page) => page.getByRole('button', { name: 'Earlier messages' });

  /** Where it stands on the screen, from the top of what scrolls. */
  const topOf = (page: Page, id: string): Promise<number> =>
    page.evaluate<number>(
      `document.querySelector('[data-message-id="${id}"]').getBoundingClientRect().top`,
    );

  const isInView = (page: Page, id: string): Promise<boolean> =>
    page.evaluate<boolean>(`(() => {
      const scroller = document.querySelector('.scroller').getBoundingClientRect();
      const box = document.querySelector('[data-message-id="${id}"]')?.getBoundingClientRect();
      return box !== undefined && box.bottom > scroller.top && box.top < scroller.bottom;
    })()`);

  it('opens at its end with its newest messages, and goes on there', async () => {
    const { page, complaints, close } = await openPage(
      house.browser,
      `${house.daemon.url}/conversations/long`,
    );
    await replied(page, 'Reply 999.');
    expect(await isInView(page, 'long-r999')).toBe(true);
    expect(await count(page)).toBe(80);
    engine.answer = 'Here I am.';
    await say(page, 'Are you there?');
    await replied(page, 'Here I am.');
    expect(await count(page)).toBe(80);
    expect(complaints).toEqual([]);
    await close();
  });

  it('brings earlier messages without moving what is read, with a key or by scrolling', async () => {
    const { page, complaints, close } = await openPage(
      house.browser,
      `${house.daemon.url}/conversations/long`,
    );
    const first = (): Promise<string> =>
      page.evaluate<string>("document.querySelector('article').dataset.messageId");
    await messageAt(page, 'long-r999').waitFor();
    const before = await first();
    await earlier(page).focus();
    await page.keyboard.press('Enter');
    await expect.poll(first, PATIENT).not.toBe(before);
    expect(await count(page)).toBe(160);
    const focused = 'document.activeElement.dataset.messageId';
    await expect.poll(() => page.evaluate(focused), PATIENT).toBe(before);
    expect(await isInView(page, before)).toBe(true);
    const next = await first();
    const top = await page.evaluate(`(() => {
      const scroller = document.querySelector('.scroller');
      scroller.scrollTop = 200;
      return document.querySelector('[data-message-id="${next}"]').getBoundingClientRect().top;
    })()`);
    await expect.poll(first, PATIENT).not.toBe(next);
    expect(Math.abs((await topOf(page, next)) - Number(top))).toBeLessThan(2);
    expect(complaints).toEqual([]);
    await close();
  });

  it('never shows more than a few hundred, all the way up, and leads back to the end', async () => {
    const { page, complaints, close } = await openPage(
      house.browser,
      `${house.daemon.url}/conversations/long`,
    );
    await messageAt(page, 'long-r999').waitFor();
    let most = 0;
    while ((await earlier(page).count()) > 0) {
      const top = await page.evaluate("document.querySelector('article').dataset.messageId");
      await page.evaluate("document.querySelector('.scroller').scrollTop = 0");
      await expect
        .poll(
          () => page.evaluate(`document.querySelector('article').dataset.messageId !== '${top}'`),
          PATIENT,
        )
        .toBe(true);
      most = Math.max(most, await count(page));
    }
    expect(most).toBe(240);
    await messageAt(page, 'long-m0').waitFor();
    await page.getByRole('button', { name: 'To the latest words' }).click();
    await expect.poll(() => isInView(page, 'long-r999'), PATIENT).toBe(true);
    expect(await count(page)).toBe(80);
    expect(complaints).toEqual([]);
    await close();
  });

  it('leads from a search and from a flag to a message that was not on the page', async () => {
    const flag = {
      id: 'f1',
      conversationId: 'long',
      replyId: 'long-r700',
      kind: 'missed',
    } as const;
    const said = { start: 0, end: 17, text: 'I never eat fish.' };
    const client = await house.daemon.connect();
    const userSpan = { messageId: 'long-m3', span: said };
    client.send({ type: 'flag-add', flag: { ...flag, userSpan } });
    await client.next('flag-added');
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await page.getByLabel('Search conversations').fill('never eat fish');
    await page.getByRole('link', { name: /never eat fish/ }).click();
    await expect.poll(() => isInView(page, 'long-m3'), PATIENT).toBe(true);
    expect(await count(page)).toBeLessThan(100);
    const focused = 'document.activeElement.dataset.messageId';
    expect(await page.evaluate(focused)).toBe('long-m3');
    const outline = 'getComputedStyle(document.activeElement).outlineStyle';
    expect(await page.evaluate(outline)).toBe('solid');
    await page.getByRole('button', { name: 'Later messages' }).waitFor();
    await page.getByRole('link', { name: /Flags/ }).click();
    await page.getByRole('link', { name: 'Go to this moment' }).click();
    await expect.poll(() => isInView(page, 'long-r700'), PATIENT).toBe(true);
    // Reloaded, the words of the flag are not here yet: they are brought for it.
    await page.reload();
    await page.getByRole('link', { name: /Flags/ }).click();
    await page.getByRole('button', { name: 'Edit' }).click();
    const words = page.getByLabel('Your words');
    await expect.poll(() => words.inputValue(), PATIENT).toBe('I never eat fish.');
    await expect.poll(() => isInView(page, 'long-r700'), PATIENT).toBe(true);
    expect(complaints).toEqual([]);
    await close();
  });

  it('finds typed words for a flag in messages that were never on the page', async () => {
    const { page, complaints, close } = await openPage(
      house.browser,
      `${house.daemon.url}/conversations/long`,
    );
    await messageAt(page, 'long-r999').waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('f');
    await page.getByRole('form', { name: 'Flag: not heard' }).waitFor();
    const words = page.getByLabel('Your words');
    await expect
      .poll(async () => {
        await words.fill('');
        await words.fill('sleep badly');
        return page.getByText('These words do not stand there.').count();
      }, PATIENT)
      .toBe(0);
    await page.getByRole('button', { name: 'Flag this moment' }).click();
    const flags = () => house.daemon.store.flags.list().map(({ userSpan }) => userSpan?.messageId);
    await expect.poll(flags, PATIENT).toContain('long-m5');
    expect(complaints).toEqual([]);
    await close();
  });

  it('stays where the person reads over a lost line, and then goes on', async () => {
    const cable = await openCable(house.daemon.port);
    const { page, complaints, close } = await openPage(
      house.browser,
      `${cable.url}/conversations/long`,
    );
    await messageAt(page, 'long-r999').waitFor();
    await page.evaluate("document.querySelector('.scroller').scrollTop = 0");
    await expect.poll(() => count(page), PATIENT).toBe(160);
    const first = await page.evaluate<string>(
      "document.querySelector('article').dataset.messageId",
    );
    const top = await topOf(page, first);
    cable.pull();
    await page.getByRole('status').getByText('Reconnecting').waitFor();
    cable.plug();
    await page.getByRole('status').getByText('fake').waitFor();
    expect(await topOf(page, first)).toBe(top);
    engine.answer = 'Still here.';
    await say(page, 'And now?');
    await replied(page, 'Still here.');
    expect(await count(page)).toBe(80);
    expect(complaints).toEqual([]);
    await close();
    await cable.close();
  });
});
