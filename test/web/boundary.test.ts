// The page where something is not as it should be: hostile replies, a plain network name, blocked
// storage, a machine that slept, two clicks for one.
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { foreignReply } from '../../src/conversation/record.ts';
import { openTestDaemon } from '../server/open-test-daemon.ts';
import {
  canBrowse,
  NEEDS,
  openBrowser,
  openPage,
  PATIENT,
  press,
  replied,
  SLOW,
  say,
  webFolder,
} from './browser.ts';
import { openCable } from './cable.ts';
import { HOLD } from './held-engine.ts';
import { openHouse } from './house.ts';

describe.skipIf(!canBrowse)(`the page at its boundaries ${NEEDS}`, SLOW, () => {
  const house = openHouse();
  const { engine } = house;

  async function add(id: string, reply: string): Promise<void> {
    const header = { type: 'conversation', schemaVersion: 1, id, at: 1, origin: 'live' } as const;
    await house.daemon.store.conversations.create(
      { ...header, title: id, settings: {}, canLearn: true },
      [
        { type: 'message', id: `${id}-m`, at: 2, text: `Words of ${id}.` },
        foreignReply({ id: `${id}-r`, messageId: `${id}-m`, at: 3, text: reply }),
      ],
    );
  }

  const texts = async (id: string): Promise<string[]> => {
    const { entries } = await house.daemon.store.conversations.read(id);
    return entries.map(({ text }) => text);
  };

  it.each([
    ['quotes', '>'.repeat(1200)],
    ['lists', '- '.repeat(4000)],
    ['emphasis', `${'*a '.repeat(1500)}${'b*'.repeat(1500)}`],
  ])('shows a reply of too many nested %s as it was written, and goes on', async (name, text) => {
    const id = `deep-${name}`;
    await add(id, `${text}x the words`);
    await add(`${id}-good`, 'A good reply.');
    const { page, complaints, close } = await openPage(
      house.browser,
      `${house.daemon.url}/conversations/${id}`,
    );
    await page.getByText(`Words of ${id}.`).waitFor();
    const reply = page.getByRole('article', { name: 'Attune', exact: true });
    await expect.poll(() => reply.textContent(), PATIENT).toContain('x the words');
    await page.getByRole('link', { name: `${id}-good`, exact: true }).click();
    await page.getByText('A good reply.').waitFor();
    expect(await page.getByText('x the words').count()).toBe(0);
    engine.answer = 'Heard in the good one.';
    await say(page, 'Said to the good one');
    await replied(page, 'Heard in the good one.');
    expect(await texts(`${id}-good`)).toContain('Said to the good one');
    expect(await texts(id)).not.toContain('Said to the good one');
    expect(complaints).toEqual([]);
    await close();
  });

  it('shows also a running reply that nests too deep, and what is said after it', async () => {
    engine.answer = `${'>'.repeat(120)}${HOLD} deep end`;
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'Nest');
    await page.getByRole('article', { name: 'Attune, answering' }).getByText('>>>').waitFor();
    engine.release();
    await replied(page, 'deep end');
    engine.answer = 'Flat again.';
    await say(page, 'Flat please');
    await replied(page, 'Flat again.');
    expect(complaints).toEqual([]);
    await close();
  });

  it('says what is said to the conversation that the address names, also while that is opening', async () => {
    await add('one', 'Reply of one.');
    await add('two', 'Reply of two.');
    const { page, close } = await openPage(house.browser, `${house.daemon.url}/`);
    let isHeld = true;
    await page.routeWebSocket('**/ws', (near) => {
      const far = near.connectToServer();
      far.onMessage((text) => {
        const { type, conversation } = JSON.parse(String(text));
        const isLost = isHeld && type === 'conversation-opened' && conversation.id === 'two';
        if (!isLost) near.send(text);
      });
    });
    await page.goto(`${house.daemon.url}/conversations/one`);
    await replied(page, 'Reply of one.');
    await page.getByRole('link', { name: 'two', exact: true }).click();
    await expect.poll(() => page.getByText('Reply of one.').count(), PATIENT).toBe(0);
    engine.answer = 'Heard.';
    await say(page, 'These are for two');
    await expect.poll(() => texts('two'), PATIENT).toContain('These are for two');
    expect(await texts('one')).not.toContain('These are for two');
    isHeld = false;
    await page.reload();
    await replied(page, 'Heard.');
    await close();
  });

  it('works over plain http on a name of the network: says, copies, flags', async () => {
    const open = await openTestDaemon({
      config: { server: { allowedHosts: ['attune.test'] } },
      webFolder,
    });
    const browser = await openBrowser(['--host-resolver-rules=MAP attune.test 127.0.0.1']);
    const url = `http://attune.test:${open.port}`;
    const { page, complaints, close } = await openPage(browser, url);
    expect(await page.evaluate('isSecureContext')).toBe(false);
    await page.getByRole('status').getByText('fake').waitFor();
    await say(page, 'Over the network');
    await page.getByRole('button', { name: 'Copy' }).first().click();
    await page.getByText('Copied').waitFor();
    await page.getByRole('button', { name: 'Not heard' }).click();
    await page.getByRole('button', { name: 'Flag this moment' }).click();
    await expect.poll(() => open.store.flags.list().length, PATIENT).toBe(1);
    expect(complaints).toEqual([]);
    await close();
    await browser.close();
    await open.end();
  });

  it('works where the browser blocks its storage, and forgets only at a reload', async () => {
    engine.answer = 'All the same.';
    const context = await house.browser.newContext();
    const page = await context.newPage();
    await page.addInitScript(`
      for (const name of ['localStorage', 'sessionStorage']) {
        Object.defineProperty(window, name, {
          get() { throw new DOMException('blocked', 'SecurityError'); },
        });
      }
    `);
    await page.goto(house.daemon.url);
    await page.getByRole('status').getByText('fake').waitFor();
    await say(page, 'Without storage');
    await replied(page, 'All the same.');
    await context.close();
  });

  it('is connected again within five seconds after the machine slept', async () => {
    engine.answer = 'Awake.';
    const cable = await openCable(house.daemon.port);
    const { page, close } = await openPage(house.browser, cable.url);
    await page.getByRole('status').getByText('fake').waitFor();
    const connected = page.waitForEvent('websocket', { timeout: 5_000 });
    cable.freeze();
    await page.evaluate("window.dispatchEvent(new Event('online'))");
    await connected;
    await say(page, 'Good morning');
    await replied(page, 'Awake.');
    await close();
    await cable.close();
  });

  /** A key as some browsers send it once an input method has put its words in. */
  const enter = (page: Page, own: string): Promise<unknown> =>
    page.evaluate(`document.getElementById('composer').dispatchEvent(new KeyboardEvent('keydown', {
      key: 'Enter', bubbles: true, cancelable: true, ${own}
    }))`);

  it('does not say what an input method has still open, in any browser', async () => {
    engine.answer = 'はい。';
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await page.getByLabel('Your message').fill('にほん');
    await enter(page, 'isComposing: true');
    await enter(page, 'keyCode: 229');
    expect(await page.getByLabel('Your message').inputValue()).toBe('にほん');
    await enter(page, 'keyCode: 13');
    await replied(page, 'はい。');
    expect(complaints).toEqual([]);
    await close();
  });

  it('takes a second click for the first: on Send, on Again, on a flag', async () => {
    engine.answer = `A whole${HOLD} reply.`;
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await page.getByLabel('Your message').fill('Twice');
    await page.getByRole('button', { name: 'Send (Enter)' }).dblclick();
    await page.getByText('A whole').waitFor();
    engine.release();
    await replied(page, 'A whole reply.');
    expect(await page.getByText('Stopped.').count()).toBe(0);
    engine.answer = 'Another whole reply.';
    await page.getByRole('button', { name: 'Again' }).dblclick();
    await replied(page, 'Another whole reply.');
    expect(await page.getByRole('alert').count()).toBe(0);
    const before = house.daemon.store.flags.list().length;
    await page.getByRole('button', { name: 'Not heard' }).click();
    await page.getByRole('button', { name: 'Flag this moment' }).dblclick();
    await page.getByRole('button', { name: 'Edit this flag' }).waitFor();
    expect(house.daemon.store.flags.list()).toHaveLength(before + 1);
    expect(complaints).toEqual([]);
    await close();
  });

  it('shows formulas with all that was written in them', async () => {
    const formulas = ['\\(a^2\\)', '\\[x \\, y\\]', '$a\\,b$', '$$c\\;d$$'];
    engine.answer = `So ${formulas.join(' and ')}, for $5 or $6 \\*each\\*.`;
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'Calculate');
    await replied(page, 'So');
    const text = await page.locator('.markdown').textContent();
    expect(text).toBe(`So ${formulas.join(' and ')}, for $5 or $6 *each*.`);
    expect(complaints).toEqual([]);
    await close();
  });

  it('says so where there is no such page, to people and to programs', async () => {
    const { page, close } = await openPage(house.browser, `${house.daemon.url}/nowhere`);
    await page.getByRole('heading', { name: 'There is no such page' }).waitFor();
    expect((await fetch(`${house.daemon.url}/nowhere`)).status).toBe(404);
    expect((await fetch(`${house.daemon.url}/nights`)).status).toBe(200);
    await press(page, page.getByRole('link', { name: 'To a new conversation' }));
    await page.getByText('What is on your mind?').waitFor();
    await close();
  });
});
