// Every page, and every state of it that a person meets, under axe: no violation, in both themes.
import axe from 'axe-core';
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import type { BlindView, NightView } from '../../src/protocol/summary.ts';
import { type Route, sendJson } from '../../src/server/route.ts';
import { openTestDaemon } from '../server/open-test-daemon.ts';
import {
  canBrowse,
  NEEDS,
  openBrowser,
  openPage,
  replied,
  SLOW,
  say,
  webFolder,
} from './browser.ts';
import { HeldEngine, HOLD } from './held-engine.ts';
import { list, NO_PAIRS, slider, today } from './night-example.ts';

const AT = '/nights/n0003-2026-03-03';

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

describe.skipIf(!canBrowse)(`every page is clean under axe ${NEEDS}`, SLOW, () => {
  it.each([
    ['light', 1200],
    ['dark', 820],
    ['light', 390],
  ] as const)(
    'in the %s theme, %s wide',
    async (colorScheme, width) => {
      const engine = new HeldEngine();
      let summary: NightView = today('waiting');
      let blind: BlindView = NO_PAIRS;
      const get = (pattern: string, answer: () => unknown): Route => ({
        method: 'GET',
        pattern,
        handle: ({ response }) => sendJson(response, answer()),
      });
      const routes = [
        get('/api/nights', () => list(summary.status)),
        get('/api/nights/:id', () => summary),
        get('/api/nights/:id/blind', () => blind),
        get('/api/nights/:id/slider', () => slider),
      ];
      const daemon = await openTestDaemon({ webFolder, engine, routes });
      const browser = await openBrowser();
      const options = { colorScheme, viewport: { width, height: 900 } };
      const { page, close } = await openPage(browser, daemon.url, options);
      const found: string[] = [];
      const look = (state: string): Promise<void> => examine(page, state, found);

      await page.getByText('What is on your mind?').waitFor();
      await look('home');
      engine.answer =
        '## A list\n\n- `code`\n\n```js\nconst long = 1;\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |';
      await say(page, 'I want the blue room.');
      await replied(page, 'A list');
      await look('a conversation');
      await page.getByRole('button', { name: 'Not heard' }).click();
      await look('the flag sheet');
      engine.answer = `The blue${HOLD} room.`;
      await page.getByRole('button', { name: 'Flag this moment' }).click();
      await page.getByText('The blue', { exact: true }).waitFor();
      await look('a told reply that runs');
      engine.release();
      await page.getByRole('button', { name: 'Keep this reply' }).waitFor();
      await look('a told reply');
      await page.getByRole('button', { name: 'Settings of this conversation' }).click();
      await look('settings');
      await page.goto(`${daemon.url}/flags`);
      await page.getByRole('button', { name: 'Withdraw' }).waitFor();
      await look('flags');
      await page.goto(`${daemon.url}/model`);
      await page.getByText('Back to the base model').waitFor();
      await look('what is speaking');
      await page.goto(`${daemon.url}/nights`);
      await page.getByText('From night to night').click();
      await look('nights');
      for (const status of ['waiting', 'in-force', 'refused', 'rejected'] as const) {
        summary = today(status, { isOffered: status === 'waiting' });
        await page.goto(daemon.url + AT);
        await page.getByText('How it was judged').click();
        await page.evaluate(
          "for (const one of document.querySelectorAll('details')) one.open = true",
        );
        await look(`a morning, ${status}`);
      }
      blind = {
        pairs: [
          { flagId: 'f', direction: 'No sugar', asked: 'A cup of tea?', a: 'Sugar!', b: 'None.' },
        ],
        tally: null,
        isVeto: false,
      };
      await page.goto(daemon.url + AT);
      await page.getByText('Which reply listens?').waitFor();
      await look('blind pairs');
      await page.goto(`${daemon.url + AT}/slider`);
      await page.getByRole('slider', { name: 'Night' }).waitFor();
      await look('the slider');
      await page.goto(`${daemon.url}/nowhere`);
      await page.getByText('There is no such page').waitFor();
      await look('no such page');

      await close();
      await browser.close();
      await daemon.end();
      expect(found).toEqual([]);
    },
    180_000,
  );
});

async function examine(page: Page, state: string, found: string[]): Promise<void> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate<{ violations: Violation[] }>('axe.run()');
  for (const { id, nodes } of violations) {
    const [first] = nodes;
    found.push(`${state}: ${id} (${nodes.length}): ${first?.html} ${first?.failureSummary}`);
  }
}
