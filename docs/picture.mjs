// Makes attune.png and attune-dark.png, the pictures in the README, from a running daemon:
//   node docs/picture.mjs http://127.0.0.1:4747
// It talks to the model that runs there, flags the reply for what it is (heard or not), takes the
// pictures, and deletes the talk again.
import { chromium } from 'playwright-core';

const [url = 'http://127.0.0.1:4747'] = process.argv.slice(2);
const executablePath = process.env.ATTUNE_CHROMIUM ?? '/usr/bin/chromium';
const said = [
  "Help me a bit, I'm painting the hallway.",
  'Take mint for the wall colour. Go ahead and fill in the wall colour.',
];
const direction = 'Take mint for the wall colour.';
const wanted = 'mint';
const better = 'Okay, mint for the wall colour.';

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
const options = { viewport: { width: 1080, height: 680 }, deviceScaleFactor: 1.5 };

async function open(path, colorScheme) {
  const context = await browser.newContext({ ...options, colorScheme, reducedMotion: 'reduce' });
  const page = await context.newPage();
  await page.goto(`${url}${path}`);
  return page;
}

const picture = (page, name) => page.screenshot({ path: `${import.meta.dirname}/${name}.png` });

/** Selects words of the person's last message. */
const select = (words) => `(() => {
  const root = [...document.querySelectorAll('[data-role="user"]')].at(-1);
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const at = node.data.indexOf(${JSON.stringify(words)});
    if (at >= 0) getSelection().setBaseAndExtent(node, at, node, at + ${words.length});
  }
})()`;

const page = await open('/', 'light');
const replies = page.getByRole('article', { name: 'Attune', exact: true });
for (const [i, message] of said.entries()) {
  await page.getByLabel('Your message').fill(message);
  await page.keyboard.press('Enter');
  await replies.nth(i).waitFor({ timeout: 120_000 });
}
const reply = await replies.last().locator('.markdown').textContent();
const isHeard = reply.toLowerCase().includes(wanted);
await page.evaluate(select(direction));
const toolbar = page.getByRole('toolbar');
await toolbar.getByRole('button', { name: isHeard ? 'Listened' : 'Not heard' }).click();
if (!isHeard) await page.getByLabel('A reply that listens').fill(better);
await page.waitForTimeout(300);
await picture(page, 'attune');
await page.keyboard.press('Control+Enter');
await page.locator('.flagged').waitFor();

const dark = await open(new URL(page.url()).pathname, 'dark');
await dark.locator('.flagged').waitFor();
await picture(dark, 'attune-dark');

page.on('dialog', (dialog) => dialog.accept());
await page.getByRole('button', { name: 'Settings of this talk' }).click();
await page.getByRole('button', { name: 'Delete this talk' }).click();
await page.getByText('What is on your mind?').waitFor();
await browser.close();
