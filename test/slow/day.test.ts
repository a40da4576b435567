// A person's day with a real model in a real browser: talk, flag, hear me now, a night, the morning,
// use it, take it back; at three widths and in both themes. Every step leaves a screenshot to look at.
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { canBrowse, NEEDS, openBrowser, openPage, press, wholeBox } from '../web/browser.ts';
import { kill, type Running, start } from './kill-loop.ts';

// A model of 135 million weights talks and dreams.
vi.setConfig({ testTimeout: 3_600_000 });

const MODEL = resolve(
  import.meta.dirname,
  '../../../shared/data/weights/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf',
);
const SHOTS = process.env.ATTUNE_TEST_SCREENSHOTS ?? join(tmpdir(), 'attune-day');
const DREAMS = Number(process.env.ATTUNE_TEST_DREAMS ?? 24);
/** A store of such a day after its night: only the morning is looked at. */
const AFTER_NIGHT = process.env.ATTUNE_TEST_STORE;
/** A reply of this model, and a night, on two busy cores. */
const REPLY_MS = 300_000;
const NIGHT_MS = 3_000_000;

/** Threads and training as they are shipped; a short evening of dreams, and fewer judges. */
const NIGHT = [
  ...['engine.threads=0', 'train.warmupSteps=5', 'train.epochsMax=4', 'train.batchSize=8'],
  ...[`night.dreamsMax=${DREAMS}`, 'chat.replyTokensMax=48', 'night.minutesMax=55'],
  ...['measure.pairs=24', 'measure.heldReplies=8', 'measure.resamples=1000'],
];

interface Look {
  readonly name: string;
  readonly options: BrowserContextOptions;
  readonly by: 'mouse' | 'touch' | 'keyboard';
  /** Whether the told reply is kept; else it did not listen either. */
  readonly keeps: boolean;
  readonly says: readonly string[];
}

const desk = (width: number, height: number) => ({ viewport: { width, height } });
const phone = { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true };
const LOOKS: readonly Look[] = [
  {
    name: '1440-light',
    options: { colorScheme: 'light', ...desk(1440, 900) },
    by: 'mouse',
    keeps: true,
    says: [
      'I want to learn an instrument this winter. Which one?',
      'No, I have decided on the accordion.',
      'My flat is quite small.',
      'How long until I can play a song?',
    ],
  },
  {
    name: '1440-dark',
    options: { colorScheme: 'dark', ...desk(1440, 900) },
    by: 'keyboard',
    keeps: true,
    says: [
      'We need a dessert for twelve guests. What do you suggest?',
      "We'll have plum cake, that's decided.",
      'One of the guests is a teacher.',
      'What do I have to buy for it?',
    ],
  },
  {
    name: '820-light',
    options: { colorScheme: 'light', ...desk(820, 1100) },
    by: 'mouse',
    keeps: true,
    says: [
      "I'm knitting a scarf for my aunt. Which wool would you take?",
      "No, I'm taking cotton.",
      'How do I wash it?',
    ],
  },
  {
    name: '820-dark',
    options: { colorScheme: 'dark', ...desk(820, 1100) },
    by: 'keyboard',
    keeps: false,
    says: [
      'Our club wants to paint its boat. Which colour would you take?',
      'It will be green. We voted.',
      'The boat is seven metres long.',
      'How much paint do we need?',
    ],
  },
  {
    name: '390-light',
    options: { colorScheme: 'light', ...phone },
    by: 'touch',
    keeps: true,
    says: [
      'I would like to see a town in the north for two days. Which one?',
      'I am going to Bergen, the tickets are bought.',
      'What should I pack?',
    ],
  },
  {
    name: '390-dark',
    options: { colorScheme: 'dark', ...phone },
    by: 'touch',
    keeps: false,
    says: [
      'There is room for one tree behind our house. What should we plant?',
      'We are planting a pear tree.',
      'The ground is rather dry there.',
      'When is the best time to plant it?',
    ],
  },
];

/** Acts as this person does: a tap, a key, or a click on what is wholly visible. */
async function act(page: Page, { by }: Look, name: string, key: string): Promise<void> {
  const button = page.getByRole('button', { name }).last();
  await button.waitFor({ timeout: REPLY_MS });
  if (by === 'keyboard') {
    await page.keyboard.press('Escape');
    await page.keyboard.press(key);
    return;
  }
  await button.scrollIntoViewIfNeeded();
  if (by === 'touch') await button.tap();
  else await press(page, button);
}

async function talk(page: Page, says: readonly string[]): Promise<void> {
  for (const [at, text] of says.entries()) {
    await page.getByLabel('Your message').fill(text);
    await page.keyboard.press('Enter');
    const replies = page.getByRole('article', { name: 'Attune', exact: true });
    await expect.poll(() => replies.count(), { timeout: REPLY_MS }).toBe(at + 1);
  }
}

describe.skipIf(!canBrowse || !existsSync(MODEL))(
  `a day with SmolLM2 ${NEEDS.slice(0, -1)}, ../shared/data/weights)`,
  () => {
    let store: string;
    let daemon: Running;
    let browser: Browser;
    let url: string;
    beforeAll(async () => {
      store = await mkdtemp(join(tmpdir(), 'attune-day-'));
      if (AFTER_NIGHT !== undefined) await cp(AFTER_NIGHT, store, { recursive: true });
      await mkdir(SHOTS, { recursive: true });
      daemon = await start(store, MODEL, NIGHT);
      url = `http://127.0.0.1:${daemon.port}`;
      browser = await openBrowser();
    }, REPLY_MS);
    afterAll(async () => {
      await browser?.close();
      await kill(daemon);
      await rm(store, { recursive: true, force: true });
    });

    const shot = (page: Page, look: Look, step: string) =>
      page.screenshot({ path: join(SHOTS, `${step}-${look.name}.png`) });

    const noOverflow = async (page: Page, { options: { viewport } }: Look): Promise<void> => {
      const width = await page.evaluate('document.documentElement.scrollWidth');
      expect(width, 'nothing stands out at the side').toBe(viewport?.width);
    };

    it.skipIf(AFTER_NIGHT !== undefined).each(LOOKS)(
      'is begun: talk, flag, hear me now; $name (needs a store before its night)',
      async (look) => {
        const { page, complaints, close } = await openPage(browser, url, look.options);
        await page.getByText('What is on your mind?').waitFor();
        await shot(page, look, '1-home');
        await talk(page, look.says);
        await shot(page, look, '2-talk');
        await act(page, look, 'Not heard', 'f');
        const sheet = page.getByRole('form', { name: 'Flag: not heard' });
        await sheet.waitFor();
        await shot(page, look, '3-sheet');
        if (look.by === 'keyboard') await page.keyboard.press('Control+Enter');
        else await act(page, look, 'Flag this moment', '');
        await page.getByRole('button', { name: 'Keep this reply' }).waitFor({ timeout: REPLY_MS });
        await wholeBox(page.getByRole('region', { name: 'Told, it says' }));
        await shot(page, look, '4-told');
        if (look.keeps) {
          await act(page, look, 'Keep this reply', 'k');
          await page.getByText('You kept what it said when it was told.').waitFor();
        } else {
          await act(page, look, 'Still not', 'x');
          await page.getByLabel('A reply that listens').waitFor();
        }
        await shot(page, look, '4-told-answered');
        await noOverflow(page, look);
        await close();
        expect(complaints).toEqual([]);
      },
    );

    it.skipIf(AFTER_NIGHT !== undefined)(
      'has a night (needs a store before its night)',
      async () => {
        const look = LOOKS[0] as Look;
        const { page, close } = await openPage(browser, `${url}/nights`, look.options);
        await page.getByRole('button', { name: 'Dream now' }).click();
        await page.getByRole('button', { name: 'Stop' }).waitFor({ timeout: REPLY_MS });
        await shot(page, look, '5-night');
        await page.getByRole('button', { name: 'Stop' }).waitFor({
          state: 'detached',
          timeout: NIGHT_MS,
        });
        await close();
      },
    );

    it.each(LOOKS)('has a morning: read, used, taken back; $name', async (look) => {
      const { page, complaints, close } = await openPage(browser, url, look.options);
      await page.getByText('What is on your mind?').waitFor();
      await shot(page, look, '6-home');
      await page.goto(`${url}/nights`);
      await page.locator('a[href^="/nights/n"]').first().click();
      const conclusion = page.getByRole('region', { name: 'What it comes to' });
      const blind = page.getByRole('region', { name: 'Blind comparison' });
      await conclusion.or(blind).first().waitFor();
      if (await blind.isVisible()) {
        await shot(page, look, '7-blind');
        await noOverflow(page, look);
        await blind.getByRole('button', { name: 'Skip this and show me' }).click();
        await conclusion.waitFor();
      }
      await shot(page, look, '7-morning');
      await noOverflow(page, look);
      await page.getByText('How it was judged').click();
      await shot(page, look, '8-judged');
      await noOverflow(page, look);
      const use = conclusion.getByRole('button', { name: /^(Use it|Try it)/ });
      await use.scrollIntoViewIfNeeded();
      await wholeBox(use);
      await use.click();
      await conclusion.getByText('It is in use.').waitFor({ timeout: REPLY_MS });
      await shot(page, look, '9-used');
      await conclusion.getByRole('button', { name: 'Take it back' }).click();
      await conclusion.getByText('You took it back').waitFor({ timeout: REPLY_MS });
      await shot(page, look, '9-taken-back');
      await close();
      expect(complaints).toEqual([]);
    });
  },
);
