// The web client in a real browser: looking through a night's dreams before it is used.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type NightView, type ReviewRequest, ReviewView } from '../../src/protocol/summary.ts';
import { type Route, sendJson } from '../../src/server/route.ts';
import { openTestDaemon, type TestDaemon } from '../server/open-test-daemon.ts';
import { canBrowse, NEEDS, openBrowser, openPage, SLOW, webFolder } from './browser.ts';
import { NO_PAIRS, night } from './night-example.ts';

const AT = '/nights/n0003-2026-03-03';

const dream = (number: number, pairId: string | null) => ({
  number,
  id: `dream-${number}`,
  kind: 'listen',
  turns: [{ role: 'user', content: `Water plant ${number}.` }],
  spans: [],
  chosen: `I water plant ${number}.`,
  rejected: 'Plants like music.',
  sampledShare: 0.4,
  pairId,
  isDropped: false,
  isReworded: false,
});

function freshReview(): ReviewView {
  const dreams = [dream(1, null), dream(2, 'p'), dream(3, 'p')];
  return ReviewView.parse({ nightId: 'n0003-2026-03-03', canChange: true, dreams, changes: 0 });
}

function changed(view: ReviewView, { dreamId, isDropped, chosen }: ReviewRequest): ReviewView {
  const dreams = view.dreams.map((one) =>
    one.id === dreamId
      ? {
          ...one,
          isDropped: isDropped ?? one.isDropped,
          isReworded: chosen === undefined ? one.isReworded : chosen !== null,
          chosen: chosen ?? one.chosen,
        }
      : one,
  );
  const changes = dreams.filter((one) => one.isDropped || one.isReworded).length;
  return { ...view, dreams, changes };
}

describe.skipIf(!canBrowse)(`reviewing a night in the browser ${NEEDS}`, SLOW, () => {
  let browser: Browser;
  let daemon: TestDaemon;
  let summary: NightView;
  let view = freshReview();
  const asked: string[] = [];

  const get = (pattern: string, answer: () => unknown): Route => ({
    method: 'GET',
    pattern,
    handle: ({ response }) => sendJson(response, answer()),
  });

  beforeAll(async () => {
    const post = (pattern: string, answer: (body: string) => unknown): Route => ({
      method: 'POST',
      pattern,
      async handle({ request, response }) {
        let body = '';
        for await (const piece of request) body += String(piece);
        asked.push(`${request.url?.split('/').at(-1)} ${body}`);
        sendJson(response, answer(body));
      },
    });
    const routes = [
      get('/api/nights/:id', () => summary),
      get('/api/nights/:id/blind', () => NO_PAIRS),
      get('/api/nights/:id/review', () => view),
      post('/api/nights/:id/review', (body) => {
        view = changed(view, JSON.parse(body));
        return view;
      }),
      post('/api/nights/:id/retrain', () => ({ nightId: 'n0004-2026-03-04' })),
    ];
    daemon = await openTestDaemon({ webFolder, routes });
    browser = await openBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await daemon?.end();
  });

  it('leaves a dream out, rewords a reply and has the night trained again', async () => {
    summary = night('waiting');
    const { page, complaints, close } = await openPage(browser, `${daemon.url}${AT}`);
    await page.getByText('Look through its dreams').click();
    const first = page.getByRole('listitem', { name: 'Dream 1' });
    await first.getByRole('button', { name: 'Leave it out' }).click();
    await first.getByText('left out').waitFor();
    const second = page.getByRole('listitem', { name: 'Dream 2' });
    await second.getByText('one of a pair').waitFor();
    await second.getByRole('button', { name: 'Reword the reply' }).click();
    await second.getByLabel('A reply that listens').fill('Done, it has water.');
    await second.getByRole('button', { name: 'Keep these words' }).click();
    await second.getByText('Done, it has water.').waitFor();
    await page.getByRole('button', { name: 'Train it again with these 2 changes' }).click();
    await page.getByText('It is being trained again').waitFor();
    expect(await page.getByRole('button', { name: 'Leave it out' }).count()).toBe(0);
    expect(asked).toEqual([
      'review {"dreamId":"dream-1","isDropped":true}',
      'review {"dreamId":"dream-2","chosen":"Done, it has water."}',
      'retrain {}',
    ]);
    expect(complaints).toEqual([]);
    await close();
  });

  it('offers nothing to change of a night that is in use', async () => {
    summary = night('in-force');
    const { page, complaints, close } = await openPage(browser, `${daemon.url}${AT}`);
    await page.getByRole('button', { name: 'Take it back' }).waitFor();
    expect(await page.getByText('Look through its dreams').count()).toBe(0);
    expect(complaints).toEqual([]);
    await close();
  });
});
