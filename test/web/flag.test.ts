// The web client in a real browser: flags by selecting words, and the list of flags.
import type { Page } from 'playwright-core';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  canBrowse,
  NEEDS,
  openPage,
  PATIENT,
  replied,
  SLOW,
  say,
  selectWords,
  type WatchedPage,
} from './browser.ts';
import { openHouse } from './house.ts';

const USER = '[data-role="user"]';
const REPLY = '[data-role="assistant"]';

describe.skipIf(!canBrowse)(`flags in the browser ${NEEDS}`, SLOW, () => {
  const house = openHouse();
  const { engine } = house;
  let watched: WatchedPage;
  let page: Page;

  beforeAll(async () => {
    watched = await openPage(house.browser, house.daemon.url);
    page = watched.page;
  });
  beforeEach(async () => {
    for (const flag of house.daemon.store.flags.list())
      await house.daemon.store.flags.deleteOf(flag.conversationId);
    await page.getByRole('button', { name: 'New conversation' }).click();
    await page.getByText('What is on your mind?').waitFor();
    return () => {
      expect(watched.complaints).toEqual([]);
    };
  });

  async function talk(message: string, answer: string): Promise<void> {
    engine.answer = answer;
    await say(page, message);
    await page.getByRole('article', { name: 'Attune', exact: true }).last().waitFor();
  }

  const toolbar = (name: string) =>
    page.getByRole('toolbar', { name: 'Flag the selected words' }).getByRole('button', { name });

  /** What the daemon keeps, once there is something. */
  async function kept() {
    await expect.poll(() => house.daemon.store.flags.list().length, PATIENT).toBe(1);
    return house.daemon.store.flags.list()[0];
  }

  it('flags the words of the person and the words that drifted, with better words', async () => {
    const said = 'Hi 👋🏽! Please, only *the blue* room — not &amp; the red one.';
    const answer =
      'Sure 🎉, **but the _red_ room** is `nice` &amp; big\\!\n\n> or\n> green\n\n- a\n- b';
    await talk(said, answer);
    await selectWords(page, USER, 'only *the blue* room');
    await toolbar('Not heard').click();
    await selectWords(page, REPLY, 'but the', 'nice');
    expect(await page.getByLabel('Where it drifted').inputValue()).toBe(
      'but the _red_ room** is `nice',
    );
    await page.getByLabel('A reply that listens').fill('The blue room is yours.');
    await page.getByLabel('Why').fill('It had its own idea.');
    await page.getByText('strong', { exact: true }).click();
    await page.getByRole('button', { name: 'Flag this moment' }).click();
    await page.getByText('Not heard: “only *the blue* room”').waitFor();
    const start = said.indexOf('only');
    const from = answer.indexOf('but the');
    expect(await kept()).toMatchObject({
      kind: 'missed',
      strength: 3,
      betterWords: 'The blue room is yours.',
      reason: 'It had its own idea.',
      userSpan: { span: { start, end: start + 20, text: 'only *the blue* room' } },
      replySpan: { start: from, text: 'but the _red_ room** is `nice' },
    });
    expect(await page.locator('.unheard').textContent()).toBe('only *the blue* room');
  });

  it.each([
    ['an emoji before it', 'A 👩‍👩‍👧 and 😀 then here', 'here', 'here'],
    ['an entity', 'Tom &amp; Mira went &lt;home&gt; early', 'Mira', 'Mira'],
    ['an escape, which is taken whole', 'so \\*starred\\* it is', '*', '\\*'],
    ['a quote of two lines', 'x\n\n> first line\n> second line', 'line', 'line'],
    ['a list in a list', '- one\n  - two deep\n  - three deep', 'three', 'three'],
    ['a block of code', '```js\nconst a = 1;\nconst b = 2;\n```', 'b = 2', 'b = 2'],
    ['code by indentation', 'text\n\n    first();\n    second();', 'second', 'second'],
    ['a table', '| a | b |\n|---|---|\n| 1 | found |', 'found', 'found'],
    ['a link', 'see [the page](https://example.org) now', 'page', 'page'],
    ['raw HTML', 'a <b>bold</b> claim', '<b>', '<b>'],
    ['the same words twice', 'no, **no**, no', 'no', 'no'],
  ])('knows where words stand in the source of %s', async (_, answer, words, source) => {
    await talk('Say it', answer);
    await selectWords(page, REPLY, words);
    await toolbar('Not heard').click();
    await page.getByRole('button', { name: 'Flag this moment' }).click();
    const { replySpan } = (await kept()) ?? {};
    expect(replySpan).toEqual({
      start: answer.indexOf(source),
      end: answer.indexOf(source) + source.length,
      text: source,
    });
  });

  it('takes a paragraph that was clicked three times, up to its end and no further', async () => {
    await talk('Click', 'The first paragraph.\n\nThe last paragraph.');
    await page.getByText('The last paragraph.').click({ clickCount: 3 });
    await toolbar('Listened').click();
    expect(await page.getByLabel('Where it listened').inputValue()).toBe('The last paragraph.');
    await page.keyboard.press('Escape');
    expect(await page.getByLabel('Good moment').count()).toBe(0);
  });

  it('keeps a good moment, lists it, changes it and takes it back', async () => {
    await page.reload();
    await talk('Remember the milk', 'The milk, yes.');
    await page.getByRole('button', { name: 'Listened' }).click();
    await page.getByLabel('Your words it heard').fill('the MILK');
    await page.getByRole('button', { name: 'Keep this moment' }).click();
    expect(await kept()).toMatchObject({
      kind: 'good',
      userSpan: { span: { start: 9, end: 17, text: 'the milk' } },
    });
    expect(await page.locator('.heard').textContent()).toBe('the milk');
    await page.getByRole('link', { name: /Flags/ }).click();
    await page.getByText('“the milk”').waitFor();
    await page.getByRole('button', { name: 'Edit' }).click();
    await page.getByLabel('Your words it heard').fill('no such words');
    await page.getByText('These words do not stand there.').waitFor();
    await page.getByLabel('Your words it heard').fill('milk');
    await page.getByRole('button', { name: 'Change this moment' }).click();
    await expect
      .poll(() => house.daemon.store.flags.list()[0]?.userSpan?.span.text, PATIENT)
      .toBe('milk');
    await page.getByRole('link', { name: /Flags/ }).click();
    await page.getByRole('button', { name: 'Withdraw' }).click();
    await page.getByText('Nothing is flagged.').waitFor();
    expect(house.daemon.store.flags.list()[0]?.withdrawnAt).not.toBeNull();
  });

  it('leads to a flagged reply also when another one took its place', async () => {
    await talk('The blue room', 'How about the red one?');
    await page.getByRole('button', { name: 'Not heard' }).click();
    await page.getByRole('button', { name: 'Flag this moment' }).click();
    await kept();
    engine.answer = 'The blue one is yours.';
    await page.getByRole('button', { name: 'Again' }).click();
    await replied(page, 'The blue one is yours.');
    await page.getByRole('link', { name: /Flags/ }).click();
    await page.getByRole('link', { name: 'Go to this moment' }).click();
    const flagged = page.locator('article[data-flagged="true"]');
    await flagged.getByText('How about the red one?').waitFor();
    await flagged.getByText('Another reply took its place.').waitFor();
    const replies = page.locator('.messages > article > .markdown');
    expect(await replies.getByText('The blue one is yours.').count()).toBe(1);
  });

  it('says, flags, looks and goes back with the keyboard alone', async () => {
    engine.answer = 'As you say.';
    await page.evaluate('document.activeElement.blur()');
    await page.keyboard.press('i');
    await page.keyboard.type('Close the window');
    await page.keyboard.press('Enter');
    await replied(page, 'As you say.');
    await page.keyboard.press('Tab');
    await page.evaluate('document.activeElement.blur()');
    await page.keyboard.press('f');
    // Nobody's fingers are faster than the sheet that takes the focus; the test's are.
    const focused = () => page.evaluate("document.activeElement.closest('form')?.ariaLabel ?? ''");
    await expect.poll(focused, PATIENT).not.toBe('');
    await page.keyboard.press('Tab');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Tab');
    await page.keyboard.type('the window');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await page.keyboard.type('The window is closed.');
    await page.keyboard.press('Control+Enter');
    expect(await kept()).toMatchObject({
      strength: 3,
      userSpan: { span: { text: 'the window' } },
      betterWords: 'The window is closed.',
    });
    await page.evaluate('document.activeElement.blur()');
    await page.keyboard.press('n');
    await page.getByText('What is on your mind?').waitFor();
    await expect.poll(() => page.evaluate('document.activeElement.id'), PATIENT).toBe('composer');
  });

  it('names the nights that learnt from a flag, and leads to those of the model that speaks', async () => {
    await talk('The blue room', 'How about the red one?');
    await page.getByRole('button', { name: 'Not heard' }).click();
    await page.getByRole('button', { name: 'Flag this moment' }).click();
    const { id = '' } = (await kept()) ?? {};
    const { flags, ledger } = house.daemon.store;
    const night = 'n0001-2026-11-30';
    for (const base of [ledger.base, 'f'.repeat(64)]) await flags.markUsed([id], { night, base });
    await page.reload();
    await page.getByRole('link', { name: /Flags/ }).click();
    await page.getByText(`learnt in ${night}, ${night} of another model`).waitFor();
    expect(await page.getByRole('link', { name: night }).count()).toBe(1);
  });
});
