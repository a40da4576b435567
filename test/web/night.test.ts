// The web client in a real browser: the list of nights, the morning's summary, the night slider.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BlindView, NightList, NightView, TrialView } from '../../src/protocol/summary.ts';
import { type Route, sendJson } from '../../src/server/route.ts';
import { openTestDaemon, type TestDaemon } from '../server/open-test-daemon.ts';
import {
  canBrowse,
  NEEDS,
  openBrowser,
  openPage,
  PATIENT,
  press,
  SLOW,
  type WatchedPage,
  webFolder,
} from './browser.ts';
import { list, NO_PAIRS, night, slider, today } from './night-example.ts';

const AT = '/nights/n0003-2026-03-03';

describe.skipIf(!canBrowse)(`nights in the browser ${NEEDS}`, SLOW, () => {
  let browser: Browser;
  let daemon: TestDaemon;
  let watched: WatchedPage;
  let page: Page;
  let summary: NightView;
  let blind: BlindView;
  const asked: string[] = [];
  let now: Partial<NightList> = {};
  let begin = Promise.resolve();

  const get = (pattern: string, answer: () => unknown): Route => ({
    method: 'GET',
    pattern,
    handle: ({ response }) => sendJson(response, answer()),
  });
  const post = (pattern: string, answer: (body: string) => unknown): Route => ({
    method: 'POST',
    pattern,
    async handle({ request, response }) {
      let body = '';
      for await (const piece of request) body += String(piece);
      asked.push(`${request.url} ${body}`);
      await begin;
      sendJson(response, answer(body));
    },
  });

  beforeAll(async () => {
    const decide = (decision: string, status: NightView['status']) =>
      post(`/api/nights/:id/${decision}`, () => {
        const isTrial = status === 'in-force' && summary.isOffered && !summary.isTrial;
        summary = { ...summary, status, isTrial };
        return {};
      });
    const routes = [
      get('/api/nights', () => ({ ...list(summary.status), ...now })),
      get('/api/nights/:id', () => summary),
      get('/api/nights/:id/slider', () => slider),
      get('/api/nights/:id/blind', () => blind),
      post('/api/nights/:id/blind', () => {
        const pairs = blind.pairs.slice(1);
        const isOver = pairs.length === 0;
        blind = { pairs, tally: isOver ? { old: 2, new: 0, same: 0 } : null, isVeto: isOver };
        if (isOver && summary.status === 'waiting') summary = { ...summary, status: 'rejected' };
        return blind;
      }),
      get('/api/nights/:id/trial', () => trial(0)),
      post('/api/nights/:id/trial', () => trial(1)),
      post('/api/nights/:id/slider/reply', (body) => {
        return { text: `Stop ${JSON.parse(body).stop} speaks.`, version: 'v' };
      }),
      decide('approve', 'in-force'),
      decide('reject', 'rejected'),
      decide('revert', 'reverted'),
      post('/api/nights/run', () => ({ nightId: 'n0004-2026-03-04' })),
      post('/api/nights/stop', () => ({ nightId: 'n0004-2026-03-04' })),
    ];
    daemon = await openTestDaemon({ webFolder, routes });
    browser = await openBrowser();
  });
  beforeEach(() => {
    asked.length = 0;
    now = {};
    summary = night('waiting');
    blind = NO_PAIRS;
    return async () => {
      expect(watched.complaints).toEqual([]);
      await watched.close();
    };
  });
  afterAll(async () => {
    await browser?.close();
    await daemon?.end();
  });

  const trial = (chosen: number): TrialView => ({
    pair:
      chosen === 0
        ? { flagId: 'm9', direction: 'Close the window', asked: '', a: 'Closed.', b: 'Hm.' }
        : null,
    tally: { old: 0, new: chosen, same: 0 },
    stays: chosen > 0,
  });

  async function open(path: string): Promise<void> {
    watched = await openPage(browser, `${daemon.url}${path}`);
    page = watched.page;
  }

  it('lists the nights, newest first, with their verdicts and the trend', async () => {
    await open('/nights');
    const lines = page.getByRole('link', { name: /^Night \d/ });
    await lines.first().waitFor();
    expect(await lines.allTextContents()).toEqual([
      expect.stringMatching(/Night 3.*waits for you.*listening \+12 points/s),
      expect.stringMatching(/Night 2.*not recommended.*listening −6 points/s),
      expect.stringMatching(/Night 1.*in use/s),
    ]);
    await page.getByText('From night to night').click();
    const trend = page.getByRole('img', { name: /^Listening gained/ });
    expect(await trend.getAttribute('aria-label')).toContain('0.080, −0.060, 0.120');
    let isRead = (): void => undefined;
    begin = new Promise((resolve) => {
      isRead = resolve;
    });
    const button = page.locator('button.push');
    await page.getByRole('button', { name: 'Dream now' }).click();
    await page.getByText('Reading the day…').waitFor();
    expect(await button.isDisabled()).toBe(true);
    isRead();
    await page.getByText('Dream now').waitFor();
    expect(await button.isDisabled()).toBe(false);
    expect(asked).toEqual(['/api/nights/run {}']);
  });

  it('shows a night under way as it goes on, and that it stands aside', async () => {
    await open('/nights');
    await page.getByRole('status').getByText('fake').waitFor();
    daemon.events.publish('nights', {
      type: 'night-progress',
      nightId: 'n0004-2026-03-04',
      phase: 'train',
      done: 3,
      total: 12,
      facts: {},
      share: 0.42,
      leftMs: 700_000,
      isPaused: true,
      at: 0,
    });
    const strip = page.getByRole('region', { name: 'The running night' });
    const said = 'train · 42 % · waits while you talk';
    await strip.getByText(said).waitFor();
    for (const name of [/Flags/, 'attune']) {
      await page.getByRole('link', { name }).first().click();
      await strip.getByText(said).waitFor();
    }
    expect(await page.locator('main, section[aria-label]').count()).toBe(2);
    await press(page, strip.getByRole('button', { name: 'Stop' }));
    await expect.poll(() => asked, PATIENT).toEqual(['/api/nights/stop {}']);
  });

  it('shows a night under way to a page that is opened meanwhile, and a stopped one', async () => {
    const progress = {
      type: 'night-progress',
      nightId: 'n0004-2026-03-04',
      phase: 'measure',
    } as const;
    const more = {
      done: 1,
      total: 10,
      facts: {},
      share: 0.8,
      leftMs: null,
      isPaused: false,
      at: 0,
    };
    now = { running: { ...progress, ...more } };
    await open('/');
    const strip = page.getByRole('region', { name: 'The running night' });
    await strip.getByText('measure · 80 %').waitFor();
    now = { running: null, stopped: 'n0004-2026-03-04' };
    await page.reload();
    await strip.getByText('Night n0004-2026-03-04 was stopped.').waitFor();
    await press(page, strip.getByRole('button', { name: 'Go on' }));
    await expect.poll(() => asked, PATIENT).toEqual(['/api/nights/run {}']);
  });

  it('brings the morning to the person until the night was decided, or opened', async () => {
    await open('/');
    const card = page.getByRole('link', { name: /What night 3 came to/ });
    await card.waitFor();
    await expect.poll(() => page.title(), PATIENT).toBe('(1) Attune');
    await page.getByRole('link', { name: /^Nights.*one waits for you/ }).waitFor();
    await press(page, card);
    await page.getByRole('button', { name: 'Use it' }).click();
    await page.getByText('· in use').waitFor();
    await page.getByRole('link', { name: 'attune' }).click();
    await page.getByText('What is on your mind?').waitFor();
    await expect.poll(() => card.count(), PATIENT).toBe(0);
    await expect.poll(() => page.title(), PATIENT).toBe('Attune');
  });

  it('takes a night into use again that was left or taken back', async () => {
    summary = night('reverted');
    await open(AT);
    await page.getByText('You took it back: it is not in use.').waitFor();
    await page.getByRole('button', { name: 'Use it anyway' }).click();
    await page.getByText('· in use').waitFor();
    expect(asked).toEqual(['/api/nights/n0003-2026-03-03/approve {}']);
  });

  it('shows a waiting night on one screen and takes it into use', async () => {
    await open(AT);
    await page.getByRole('heading', { name: 'The morning after night 3' }).waitFor();
    const conclusion = page.getByRole('region', { name: 'What it comes to' });
    await conclusion
      .getByText('In 2 of your 3 moments it now does what you said (0 before).')
      .waitFor();
    await conclusion.getByText('Everyday conversation is unchanged.').waitFor();
    await conclusion.getByText('Recommended: use it.').waitFor();
    const first = page.getByRole('article').first();
    await first.getByText('Then ✗ does not').waitFor();
    await first.getByText('Now ✓ does it').waitFor();
    expect(await first.locator('mark').allTextContents()).toEqual(['open']);
    // Nothing of the numbers is in the way of the decision.
    expect(await page.getByText('4 of about 12 flags').isVisible()).toBe(false);
    await page.getByText('How it was judged').click();
    await page.getByText('4 of about 12 flags').waitFor();
    const margin = page.getByRole('row', { name: /Listening margin/ });
    expect(await margin.getByRole('img').getAttribute('aria-label')).toContain('+0.120, 95 % from');
    await page
      .getByRole('row', { name: /Defence gap/ })
      .getByText('not measured')
      .waitFor();
    await page.getByText('Crossed pairs, both right').waitFor();
    await page.getByText('Replies that pass their check: 42 % → 50 % (n 24)').click();
    await page.getByText('They judge nothing: the gate reads margins.').waitFor();
    await page.getByRole('row', { name: /push-back.*59 % → 50 %/ }).waitFor();
    await page.getByText('The sheet says 72.').waitFor();
    await page.getByText(/^Dreams: 31 of 60/).click();
    await page.getByText('refused, near copy: 17').waitFor();
    expect(await page.locator('.dream mark').textContent()).toBe('water the fern');
    await page.getByText('It learns to say:').waitFor();
    await page.getByRole('button', { name: 'Use it' }).click();
    await page.getByText('It is in use.').waitFor();
    await page.getByRole('button', { name: 'Take it back' }).click();
    await page.getByText('· taken back').waitFor();
    expect(await page.getByRole('button', { name: 'Take it back' }).count()).toBe(0);
    expect(asked.map((one) => one.split('/').at(-1))).toEqual(['approve {}', 'revert {}']);
  });

  it('shows how a night listens by distance, beside told, and what it costs elsewhere', async () => {
    summary = today('waiting');
    await open(AT);
    await page.getByText('How it was judged').click();
    await page.getByText('31 % of the gap to told').waitFor();
    const row = page.getByRole('row', { name: /^2 turns/ });
    expect(await row.getByRole('cell').allTextContents()).toEqual([
      ...['0 %', '0 %', '16 %', '58 %', '0 %', '40'],
    ]);
    await page.getByText('On 30 moments, where it moved more').waitFor();
  });

  it('lets a night that offers itself be tried for a day', async () => {
    summary = today('waiting', { isOffered: true });
    await open(AT);
    await page.getByText('Too few flags to be sure. Recommended: try it today.').waitFor();
    await page.getByRole('button', { name: 'Try it today' }).click();
    await page.getByText('On trial: the next night takes it back').waitFor();
    await page.getByRole('button', { name: 'Compare two replies' }).click();
    await page.getByText('“Close the window”').waitFor();
    await page.getByText('You preferred its replies 0 times').waitFor();
    await page.getByRole('button', { name: 'This one listens better' }).first().click();
    await page.getByText('You preferred its replies 1 times, the old ones 0: it stays.').waitFor();
    await page.getByText('Nothing more was said today').waitFor();
    await page.getByRole('button', { name: 'Keep it' }).click();
    await expect.poll(() => page.getByText('On trial').count(), PATIENT).toBe(0);
    expect(asked.map((one) => one.slice('/api/nights/n0003-2026-03-03/'.length))).toEqual([
      'approve {}',
      'trial {"flagId":"m9","choice":"a"}',
      'approve {}',
    ]);
  });

  it('lets a waiting night be left', async () => {
    await open(AT);
    await page.getByRole('button', { name: 'Leave it' }).click();
    await page.getByText('You left it: it is not in use.').waitFor();
    expect(await page.getByRole('button', { name: 'Use it', exact: true }).count()).toBe(0);
    expect(asked).toEqual(['/api/nights/n0003-2026-03-03/reject {}']);
  });

  it('shows a refusal as clearly as a success', async () => {
    summary = night('refused', -0.09);
    await open(AT);
    await page
      .getByText('Recommended: leave it, because tests do not show that it listens')
      .waitFor();
    await page.getByText('How it was judged').click();
    const failed = page.getByRole('listitem').filter({ hasText: 'Not passed:' });
    expect(await failed.allTextContents()).toEqual([
      expect.stringContaining('listening'),
      expect.stringContaining('held replies'),
    ]);
    const falling = page.getByRole('row', { name: /Push-back/ }).getByRole('img');
    expect(await falling.getAttribute('data-tone')).toBe('down');
    expect(await page.locator('button.primary').count()).toBe(0);
    await page.getByRole('button', { name: 'Use it anyway' }).waitFor();
  });

  it('offers the pairs blind first, and rejects a night whose old replies were preferred', async () => {
    blind = {
      pairs: [
        { flagId: 'flag-1', direction: 'Keep the window open', asked: '', a: 'Open.', b: 'A fan.' },
        {
          flagId: 'flag-2',
          direction: 'No sugar',
          asked: 'A cup of tea?',
          a: 'Sugar!',
          b: 'None.',
        },
      ],
      tally: null,
      isVeto: false,
    };
    await open(AT);
    await page.getByRole('heading', { name: 'Which reply listens?' }).waitFor();
    expect(await page.getByText('New: it stays open.').count()).toBe(0);
    expect(await page.getByRole('region', { name: 'What it comes to' }).count()).toBe(0);
    const better = page.getByRole('button', { name: 'This one listens better' });
    await better.nth(1).click();
    await page.getByText('“No sugar”').waitFor();
    await better.first().click();
    await page.getByText('You left it: it is not in use.').waitFor();
    await page.getByText('New: it stays open.').waitFor();
    expect(asked).toEqual([
      '/api/nights/n0003-2026-03-03/blind {"flagId":"flag-1","choice":"b"}',
      '/api/nights/n0003-2026-03-03/blind {"flagId":"flag-2","choice":"a"}',
    ]);
  });

  it('offers at once to take back a night in force that lost the blind comparison', async () => {
    summary = night('in-force');
    blind = { pairs: [], tally: { old: 2, new: 1, same: 0 }, isVeto: true };
    await open(AT);
    await page.getByText('you preferred the new reply 1 of 3 times').waitFor();
    await page.getByRole('button', { name: 'Take it back' }).click();
    await page.getByText('· taken back').waitFor();
    expect(asked).toEqual(['/api/nights/n0003-2026-03-03/revert {}']);
  });

  it('moves the light with the slider, and asks for a reply when it is let go', async () => {
    await open(`${AT}/slider`);
    await page.getByText('Stop 2 speaks.').waitFor();
    const light = () =>
      page.evaluate<number>(
        `Number(document.querySelector('[data-feature="direction"]').style.getPropertyValue('--light'))`,
      );
    const atNight = await light();
    const range = page.getByRole('slider', { name: 'Night' });
    const box = await range.boundingBox();
    if (box === null) throw new Error('the slider is not on the page');
    const y = box.y + box.height / 2;
    await page.mouse.move(box.x + box.width - 6, y);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.7, y, { steps: 4 });
    const between = await light();
    expect(asked).toHaveLength(1);
    await page.mouse.move(box.x + 4, y, { steps: 4 });
    await page.mouse.up();
    await page.getByText('Stop 0 speaks.').waitFor();
    const atBase = await light();
    expect([atBase < between, between < atNight]).toEqual([true, true]);
    expect(asked.map((one) => one.slice(one.indexOf('{')))).toEqual([
      '{"flagId":"flag-1","stop":2}',
      '{"flagId":"flag-1","stop":0}',
    ]);
    await range.focus();
    await page.keyboard.press('ArrowRight');
    await page.getByText('Stop 1 speaks.').waitFor();
    await page.getByText('aaaaaaaaaaaaaaaa').waitFor();
    await page.getByText(/Listening of this night: \+12 points/).waitFor();
  });

  it('opens the recorded night from the first page: labelled, and nothing to decide', async () => {
    await open('/');
    await page.getByRole('link', { name: 'See the recording of a finished night' }).click();
    await page.getByRole('note').getByText('A recording.').waitFor();
    const conclusion = page.getByRole('region', { name: 'What it comes to' });
    await conclusion.getByText('of your 8 moments').waitFor();
    expect(await conclusion.getByRole('button').count()).toBe(0);
    await page.getByRole('link', { name: /slider/ }).click();
    await page.getByRole('note').getByText('A recording.').waitFor();
    const range = page.getByRole('slider', { name: 'Night' }).first();
    await range.focus();
    await page.keyboard.press('ArrowLeft');
    await page.getByText('base answers').first().waitFor();
    expect(asked).toEqual([]);
  });
});
