// The web client in a real browser: what came over the API and waits for a word, and nights that
// have learnt from what was taken back.

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NightView } from '../../src/protocol/summary.ts';
import { type Route, sendJson } from '../../src/server/route.ts';
import { openTestDaemon, type TestDaemon } from '../server/open-test-daemon.ts';
import { canBrowse, NEEDS, openBrowser, openPage, PATIENT, SLOW, webFolder } from './browser.ts';
import { openHouse } from './house.ts';
import { NO_PAIRS, night } from './night-example.ts';

describe.skipIf(!canBrowse)(`what came over the API, in the browser ${NEEDS}`, SLOW, () => {
  const house = openHouse();

  async function ask(content: string): Promise<void> {
    house.engine.answer = 'Yes.';
    const response = await fetch(`${house.daemon.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'attune', messages: [{ role: 'user', content }] }),
    });
    expect(response.status).toBe(200);
  }

  const canLearn = (): boolean[] =>
    house.daemon.store.conversations.list({ limit: 9 }).conversations.map((one) => one.canLearn);

  it('is offered on the page of the nights, one by one or all at once', async () => {
    await ask('About the quince jam');
    await ask('About the medlar jam');
    const { page, complaints, close } = await openPage(house.browser, `${house.daemon.url}/nights`);
    await page.getByText('2 conversations of other programs.').waitFor();
    await page.getByRole('button', { name: 'Learn from About the quince jam' }).click();
    await page.getByText('One conversation of other programs.').waitFor();
    expect(canLearn().sort()).toEqual([false, true]);
    // One that comes now is there without a reload.
    await ask('About the cherry jam');
    await page.getByText('2 conversations of other programs.').waitFor();
    await page.getByRole('button', { name: 'Leave all out' }).click();
    await expect.poll(() => page.getByText('Came over the API').count(), PATIENT).toBe(0);
    expect(canLearn().filter((one) => one)).toHaveLength(1);
    expect(complaints).toEqual([]);
    await close();
  });

  it('is said to be undecided, until a person says that nights may learn from it', async () => {
    await ask('About the almond cake');
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    const link = page.getByRole('link', { name: 'About the almond cake' });
    await link.getByText('undecided').waitFor();
    await link.click();
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.getByText('nothing is learnt from it until you say so').waitFor();
    await page.getByLabel('Learn from this conversation at night').check();
    await expect.poll(() => link.getByText('undecided').count(), PATIENT).toBe(0);
    expect(canLearn()[0]).toBe(true);
    expect(complaints).toEqual([]);
    await close();
  });
});

describe.skipIf(!canBrowse)(`a night that learnt what was taken back ${NEEDS}`, SLOW, () => {
  let browser: Browser;
  let daemon: TestDaemon;
  let summary: NightView;
  const asked: string[] = [];

  beforeAll(async () => {
    const route = (method: 'GET' | 'POST', pattern: string, answer: () => unknown): Route => ({
      method,
      pattern,
      handle({ request, response }) {
        if (method === 'POST') asked.push(String(request.url));
        sendJson(response, answer());
      },
    });
    daemon = await openTestDaemon({
      webFolder,
      routes: [
        route('GET', '/api/nights/:id', () => summary),
        route('GET', '/api/nights/:id/blind', () => NO_PAIRS),
        route('POST', '/api/nights/:id/retrain', () => ({ nightId: 'n0004-2026-03-04' })),
        route('POST', '/api/nights/:id/revert', () => {
          summary = { ...summary, status: 'reverted', remedy: null };
          return {};
        }),
      ],
    });
    browser = await openBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await daemon?.end();
  });

  it.each([
    ['retrain', 'Train it again without them'],
    ['revert', 'Take this night back'],
  ] as const)('says so, and offers one step: %s', async (remedy, button) => {
    summary = { ...night('in-force'), remedy };
    asked.length = 0;
    const at = `/nights/${summary.nightId}`;
    const { page, complaints, close } = await openPage(browser, `${daemon.url}${at}`);
    const note = page.getByRole('note');
    await note.getByText('has learnt from words that you took back since').waitFor();
    expect(await page.getByRole('button', { name: 'Use these weights' }).count()).toBe(0);
    await note.getByRole('button', { name: button }).click();
    await expect.poll(() => asked, PATIENT).toEqual([`/api${at}/${remedy}`]);
    await expect.poll(() => page.getByRole('note').count(), PATIENT).toBe(0);
    expect(complaints).toEqual([]);
    await close();
  });
});
