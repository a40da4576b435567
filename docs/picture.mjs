// Makes attune.png and attune-dark.png, the pictures in the README, from a running daemon:
//   node docs/picture.mjs http://127.0.0.1:4747
// It talks to the model that runs there, flags what it said, and deletes the talk again.
import { chromium } from 'playwright-core';

const [url = 'http://127.0.0.1:4747'] = process.argv.slice(2);
const executablePath = process.env.ATTUNE_CHROMIUM ?? '/usr/bin/chromium';
const direction = process.env.ATTUNE_DIRECTION ?? 'just listen';
const messages = [
  process.env.ATTUNE_MESSAGE ?? 'I had a long day. Please just listen for a moment, no advice.',
];

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
const options = { viewport: { width: 1080, height: 640 }, deviceScaleFactor: 1.5 };

async function open(path, colorScheme) {
  const context = await browser.newContext({ ...options, colorScheme, reducedMotion: 'reduce' });
  const page = await context.newPage();
  await page.goto(`${url}${path}`);
  return page;
}

/** Selects words of the person's first message. */
const select = (words) => `(() => {
  const root = document.querySelector('[data-role="user"]');
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const at = node.data.indexOf(${JSON.stringify(words)});
    if (at >= 0) getSelection().setBaseAndExtent(node, at, node, at + ${words.length});
  }
})()`;

const page = await open('/', 'light');
for (const [i, message] of messages.entries()) {
  await page.getByLabel('Your message').fill(message);
  await page.keyboard.press('Enter');
  const reply = page.getByRole('article', { name: 'Attune', exact: true });
  await reply.nth(i).waitFor({ timeout: 120_000 });
}
await page.evaluate(select(direction));
await page.getByRole('toolbar').getByRole('button', { name: 'Not heard' }).click();
await page.waitForTimeout(300);
await page.screenshot({ path: `${import.meta.dirname}/attune.png` });
await page.getByRole('button', { name: 'Flag this moment' }).click();
await page.getByText('Not heard: “').waitFor();

const dark = await open(new URL(page.url()).pathname, 'dark');
await dark.getByText('Not heard: “').waitFor();
await dark.screenshot({ path: `${import.meta.dirname}/attune-dark.png` });

page.on('dialog', (dialog) => dialog.accept());
await page.getByRole('button', { name: 'Settings of this talk' }).click();
await page.getByRole('button', { name: 'Delete this talk' }).click();
await page.getByText('What is on your mind?').waitFor();
await browser.close();
