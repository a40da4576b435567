// A real Chromium for the tests of the web client, and what a person does in it.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Browser,
  type BrowserContextOptions,
  chromium,
  type Locator,
  type Page,
} from 'playwright-core';
import { vi } from 'vitest';
import { installationFolder } from '../../src/config/load.ts';

// What a person does in a browser takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const PATHS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const executablePath = [process.env.ATTUNE_CHROMIUM, ...PATHS].find(
  (path) => path !== undefined && existsSync(path),
);
export const webFolder = join(installationFolder, 'dist-web');
const isBuilt = existsSync(join(webFolder, 'index.html'));

/** False: the tests are skipped, and their titles say so. */
export const canBrowse = executablePath !== undefined && isBuilt;
/** A browser on a busy machine takes its time. */
export const SLOW = { timeout: 90_000 };
export const PATIENT = { timeout: 30_000 };
export const NEEDS = '(needs Chromium and dist-web: npm run build)';

/** With a profile of its own that is thrown away. */
export function openBrowser(more: readonly string[] = []): Promise<Browser> {
  return chromium.launch({
    ...(executablePath === undefined ? {} : { executablePath }),
    headless: true,
    args: [...ARGUMENTS, ...more],
  });
}

/** What the browser says when a connection is cut or a request is refused on purpose. */
const EXPECTED = /WebSocket connection to|Failed to load resource|WebSocket is already in CLOSING/;

export interface WatchedPage {
  readonly page: Page;
  /** Errors on the console, also violations of the page's CSP. */
  readonly complaints: string[];
  close(): Promise<void>;
}

export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  const context = await browser.newContext({
    viewport: { width: 1200, height: 800 },
    reducedMotion: 'reduce',
    locale: 'en-GB',
    ...options,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    const text = message.text();
    const isBad = message.type() === 'error' || message.type() === 'warning';
    if (isBad && !EXPECTED.test(text)) complaints.push(text);
  });
  await page.goto(url);
  return { page, complaints, close: () => context.close() };
}

/** Says it as a person would: written into the field, sent with Enter. */
export async function say(page: Page, text: string): Promise<void> {
  await page.getByLabel('Your message').fill(text);
  await page.keyboard.press('Enter');
}

/** Waits until the last reply is over and says this. */
export async function replied(page: Page, text: string): Promise<void> {
  const reply = page.getByRole('article', { name: 'Attune', exact: true }).last();
  await reply.getByText(text).first().waitFor();
}

/** Selects what stands on the page between two texts of one element, as a mouse would. */
export async function selectWords(
  page: Page,
  selector: string,
  from: string,
  to = from,
): Promise<void> {
  // A string: the code runs in the page, whose names this program does not know.
  await page.evaluate(`(() => {
    const root = [...document.querySelectorAll(${JSON.stringify(selector)})].at(-1);
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    let start, end;
    for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
      const first = node.data.indexOf(${JSON.stringify(from)});
      if (start === undefined && first >= 0) start = [node, first];
      const last = node.data.indexOf(${JSON.stringify(to)});
      if (start !== undefined && end === undefined && last >= 0) {
        end = [node, last + ${to.length}];
      }
    }
    if (start === undefined || end === undefined) throw new Error('these words are not there');
    getSelection().setBaseAndExtent(...start, ...end);
  })()`);
}

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Runs in the page, whose names this program does not know. */
export const inPage = (body: string) =>
  new Function('element', body) as (element: unknown) => unknown;

const IS_WHOLE = inPage(`
  const { left, right, top, bottom } = element.getBoundingClientRect();
  if (left < 0 || top < 0 || right > innerWidth || bottom > innerHeight) return false;
  const [x, y] = [(left + right) / 2, (top + bottom) / 2];
  const points = [[x, y], [left + 6, y], [right - 6, y], [x, top + 4], [x, bottom - 4]];
  return points.every(([x, y]) => element.contains(document.elementFromPoint(x, y)));
`);

/** Where it is on the screen. @throws when a part of it is outside the window or covered */
export async function wholeBox(target: Locator): Promise<Box> {
  await target.waitFor();
  const box = await target.boundingBox();
  if (box === null) throw new Error('it is not on the page');
  const isWhole = await target.evaluate(IS_WHOLE);
  if (isWhole !== true) throw new Error(`not wholly visible: ${JSON.stringify(box)}`);
  return box;
}

/** Waits until it moves no more: the wheel moves the page over several frames. */
export async function atRest(target: Locator): Promise<void> {
  const place = async () => JSON.stringify(await target.boundingBox());
  let before = '';
  for (let now = await place(); now !== before; now = await place()) {
    before = now;
    await target.page().waitForTimeout(150);
  }
}

/** A click of somebody who sees what they click: the target must be wholly visible before it. */
export async function press(page: Page, target: Locator): Promise<void> {
  const { x, y, width, height } = await wholeBox(target);
  await page.mouse.click(x + width / 2, y + height / 2);
}

/** Draws the mouse over the words, as somebody who selects them does; its box is returned. */
export async function drag(page: Page, words: Locator): Promise<Box> {
  const box = await wholeBox(words);
  await page.mouse.move(box.x + 1, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width - 1, box.y + box.height / 2, { steps: 5 });
  await page.mouse.up();
  return box;
}
