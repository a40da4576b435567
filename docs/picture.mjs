// Makes attune.png and attune-dark.png, the pictures in the README, from a running daemon:
//   node docs/picture.mjs http://127.0.0.1:4747 [demo-23]
// It goes through the demo's conversations until a reply does not do what the person asked for, flags
// that reply as a person would, takes the pictures, and deletes what it made. Nothing is staged: the
// replies are the model's own, and a model that listens to all of them gives no picture.
import { readFile } from 'node:fs/promises';
import { chromium } from 'playwright-core';

const [url = 'http://127.0.0.1:4747', only] = process.argv.slice(2);
const TRIES = 24;
const executablePath = process.env.ATTUNE_CHROMIUM ?? '/usr/bin/chromium';
const lines = await readFile(`${import.meta.dirname}/../demo/day.jsonl`, 'utf8');
/** Short ones: all of it is seen at once. */
const scenes = lines
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line))
  .filter(({ id, messages }) => (only === undefined ? messages.length === 2 : id === only));

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
const options = { viewport: { width: 1080, height: 810 }, deviceScaleFactor: 1.5 };

async function open(path, colorScheme) {
  const context = await browser.newContext({ ...options, colorScheme, reducedMotion: 'reduce' });
  const page = await context.newPage();
  page.on('dialog', (dialog) => dialog.accept());
  await page.goto(`${url}${path}`);
  return page;
}

const picture = (page, name) => page.screenshot({ path: `${import.meta.dirname}/${name}.png` });

/** Selects words of the last message of a role. */
const select = (page, role, words) =>
  page.evaluate(`(() => {
  const root = [...document.querySelectorAll('[data-role="${role}"]')].at(-1);
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const at = node.data.indexOf(${JSON.stringify(words)});
    if (at >= 0) getSelection().setBaseAndExtent(node, at, node, at + ${words.length});
  }
})()`);

async function create({ id, title, messages }) {
  const at = Date.now();
  const told = messages.map(({ role, content }, i) => ({
    id: `${id}-${i}`,
    role,
    text: content,
    at,
  }));
  const response = await fetch(`${url}/api/conversations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id, title, origin: 'replay', messages: told }),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
}

/** Says what the scene says. @returns the page and the reply */
async function play(scene) {
  await create(scene);
  const page = await open(`/conversations/${scene.id}`, 'light');
  const replies = page.getByRole('article', { name: 'Attune', exact: true });
  await replies.first().waitFor();
  const before = await replies.count();
  await page.getByLabel('Your message').fill(scene.say);
  await page.keyboard.press('Enter');
  await replies.nth(before).getByRole('button', { name: 'Not heard' }).waitFor({ timeout: 60_000 });
  return { page, reply: await replies.last().locator('.markdown').textContent() };
}

async function remove(page) {
  await page.getByRole('button', { name: /^Settings of this/ }).click();
  await page.getByRole('button', { name: /^Delete this/ }).click();
  await page.getByText('What is on your mind?').waitFor();
  await page.close();
}

async function flag(page, { direction, idea, better }) {
  await select(page, 'user', direction);
  await page.getByRole('toolbar').getByRole('button', { name: 'Not heard' }).click();
  await page.getByLabel('A reply that listens').fill(better);
  await select(page, 'assistant', idea);
  await page.waitForTimeout(300);
  await picture(page, 'attune');
  await page.keyboard.press('Control+Enter');
  await page.locator('.flagged').waitFor();
  const dark = await open(new URL(page.url()).pathname, 'dark');
  await dark.locator('.flagged').waitFor();
  await picture(dark, 'attune-dark');
}

let isTaken = false;
for (let i = 0; i < TRIES && !isTaken; i += 1) {
  const scene = scenes[i % scenes.length];
  const { page, reply } = await play({ ...scene, id: `picture-${i}` });
  process.stdout.write(`${scene.direction} → ${reply}\n`);
  isTaken = reply.includes(scene.idea) && !reply.includes(scene.wants);
  if (isTaken) await flag(page, scene);
  await remove(page);
}
await browser.close();
if (!isTaken) throw new Error('every reply listened: no picture was taken');
