import { describe, expect, it } from 'vitest';
import type { ServerMessageOf } from '../../src/protocol/server-message.ts';
import { canBrowse, NEEDS, openPage, PATIENT, replied, SLOW, say } from './browser.ts';
import { openCable } from './cable.ts';
import { HOLD } from './held-engine.ts';
import { openHouse } from './house.ts';

describe.skipIf(!canBrowse)(`talking in the browser ${NEEDS}`, SLOW, () => {
  const house = openHouse({ server: { limits: { messageCharactersMax: 1000 } } });
  const { engine } = house;

  it('says something, shows the reply as it streams, and keeps the talk over a reload', async () => {
    engine.answer = `It **begins** here${HOLD} and goes on to its end.`;
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await expect.poll(() => page.evaluate('document.activeElement.id'), PATIENT).toBe('composer');
    await say(page, 'Hello there');
    const running = page.getByRole('article', { name: 'Attune, answering' });
    await running.getByText('begins').waitFor();
    expect(await running.textContent()).not.toContain('to its end');
    engine.release();
    await replied(page, 'to its end.');
    expect(page.url()).toMatch(/\/conversations\/[\w-]+$/);
    await page.reload();
    await replied(page, 'to its end.');
    expect(await page.getByRole('article', { name: 'You' }).textContent()).toContain('Hello there');
    expect(await page.title()).toBe('Hello there – Attune');
    expect(complaints).toEqual([]);
    await close();
  });

  it('stops a reply with Escape, keeps what was said, and answers again', async () => {
    engine.answer = `on and on${HOLD} and on`;
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'Talk for long');
    await page.getByRole('article', { name: 'Attune, answering' }).getByText('on and').waitFor();
    await page.keyboard.press('Escape');
    await replied(page, 'Stopped.');
    engine.answer = 'Another answer.';
    await page.getByRole('button', { name: 'Again' }).click();
    await replied(page, 'Another answer.');
    expect(await page.getByRole('article', { name: 'Attune' }).count()).toBe(1);
    expect(complaints).toEqual([]);
    await close();
  });

  it('renders Markdown, and shows hostile Markdown as the text it is', async () => {
    engine.answer = [
      '# Head',
      '',
      '- one **two**',
      '- `three`',
      '',
      '| a | b |',
      '|---|---|',
      '| c | d |',
      '',
      '<script>window.hit = 1</script>',
      '',
      'x <img src=x onerror="window.hit = 2"> [click](javascript:window.hit=3)',
      '![pixel](http://127.0.0.1:1/pixel.png) <a href="javascript:window.hit=4">y</a>',
      '[fine](https://example.org/) [data](data:text/html,<b>) <svg onload="window.hit=5">',
      '<!-- the end -->',
    ].join('\n');
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'Attack');
    await replied(page, 'the end');
    const reply = page.getByRole('article', { name: 'Attune', exact: true });
    expect(await reply.getByRole('heading').textContent()).toBe('Head');
    expect(await reply.getByRole('listitem').count()).toBe(2);
    expect(await reply.getByRole('cell').count()).toBe(2);
    const text = await reply.textContent();
    expect(text).toContain('<script>window.hit = 1</script>');
    expect(text).toContain('[click](javascript:window.hit=3)');
    expect(await reply.locator('script, img, svg, iframe, [onerror], [onload]').count()).toBe(0);
    expect(await reply.getByRole('link').count()).toBe(1);
    expect(await reply.getByRole('link').getAttribute('href')).toBe('https://example.org/');
    expect(await page.evaluate('window.hit')).toBeUndefined();
    expect(complaints).toEqual([]);
    await close();
  });

  it('shows the rest of a reply after the line was cut in its middle', async () => {
    engine.answer = `First part. ${HOLD}Second part. ${HOLD}Last part.`;
    const cable = await openCable(house.daemon.port);
    const { page, complaints, close } = await openPage(house.browser, cable.url);
    await say(page, 'Tell me everything');
    await page.getByRole('article', { name: 'Attune, answering' }).getByText('First').waitFor();
    cable.pull();
    await page.getByRole('status').getByText('Reconnecting').waitFor();
    engine.release();
    cable.plug();
    await page.getByRole('article', { name: 'Attune, answering' }).getByText('Second').waitFor();
    engine.release();
    await replied(page, 'Last part.');
    const text = await page.getByRole('article', { name: 'Attune', exact: true }).textContent();
    expect(text).toContain('First part. Second part. Last part.');
    expect(complaints).toEqual([]);
    await close();
    await cable.close();
  });

  it('gives back what was said in a talk that was deleted while the line was cut', async () => {
    engine.answer = 'I am here.';
    const cable = await openCable(house.daemon.port);
    const { page, complaints, close } = await openPage(house.browser, cable.url);
    await say(page, 'Before');
    await replied(page, 'I am here.');
    const id = page.url().split('/').at(-1) as string;
    cable.pull();
    await page.getByRole('status').getByText('Reconnecting').waitFor();
    await say(page, 'my secret is BRASSKEY');
    await page.getByText('sending…').waitFor();
    await house.daemon.conversations.delete(id);
    cable.plug();
    await page.getByRole('alert').getByText('may have been deleted').waitFor();
    await expect
      .poll(() => page.getByLabel('Your message').inputValue(), PATIENT)
      .toBe('my secret is BRASSKEY');
    expect(house.daemon.store.conversations.has(id)).toBe(false);
    expect(new URL(page.url()).pathname).toBe('/');
    expect(complaints).toEqual([]);
    await close();
    await cable.close();
  });

  it('sends once what was said while the line was cut', async () => {
    engine.answer = 'I am here.';
    const cable = await openCable(house.daemon.port);
    const { page, complaints, close } = await openPage(house.browser, cable.url);
    await say(page, 'Before');
    await replied(page, 'I am here.');
    cable.pull();
    await page.getByRole('status').getByText('Reconnecting').waitFor();
    await say(page, 'Into the void');
    await page.getByText('sending…').waitFor();
    cable.plug();
    const replies = page.getByRole('article', { name: 'Attune', exact: true });
    await replies.nth(1).getByText('I am here.').waitFor();
    expect(await page.getByText('sending…').count()).toBe(0);
    const id = page.url().split('/').at(-1) as string;
    const other = await house.daemon.connect();
    other.send({ type: 'conversation-open', conversationId: id });
    const { conversation } = await other.next('conversation-opened');
    const said = conversation.history.map(({ role, text }) => `${role}: ${text}`);
    expect(said).toEqual([
      'user: Before',
      'assistant: I am here.',
      'user: Into the void',
      'assistant: I am here.',
    ]);
    expect(complaints).toEqual([]);
    await close();
    await cable.close();
  });

  it('gives the words back to the field when they were refused', async () => {
    const { page, close } = await openPage(house.browser, house.daemon.url);
    const tooLong = 'x'.repeat(1001);
    await say(page, tooLong);
    await page.getByRole('alert').waitFor();
    expect(await page.getByLabel('Your message').inputValue()).toBe(tooLong);
    expect(await page.getByText('sending…').count()).toBe(0);
    await close();
  });

  it('renames, finds and deletes a talk', async () => {
    engine.answer = 'A zebra, of course.';
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'Which animal?');
    await replied(page, 'zebra');
    await page.getByLabel('Name of this conversation').fill('Animals');
    await page.keyboard.press('Enter');
    await page.getByRole('link', { name: 'Animals' }).waitFor();
    await page.getByLabel('Search conversations').fill('zebra');
    await page.getByRole('link', { name: /Animals.*zebra/s }).waitFor();
    await page.getByLabel('Search conversations').fill('');
    page.on('dialog', (dialog) => void dialog.accept());
    await page.getByRole('button', { name: 'Settings of this conversation' }).click();
    await page.getByRole('button', { name: 'Delete this conversation' }).click();
    await page.getByText('What is on your mind?').waitFor();
    expect(await page.getByRole('link', { name: 'Animals' }).count()).toBe(0);
    expect(new URL(page.url()).pathname).toBe('/');
    expect(complaints).toEqual([]);
    await close();
  });

  it('keeps the settings of a talk, also before its first message', async () => {
    engine.answer = 'Noted.';
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await page.getByRole('button', { name: 'Settings of this conversation' }).click();
    await page.getByLabel('System prompt').fill('Be brief.');
    await page.getByLabel('Temperature').fill('0.3');
    await page.getByLabel('Learn from this conversation at night').uncheck();
    await page.keyboard.press('Escape');
    await say(page, 'Private words');
    await replied(page, 'Noted.');
    await page.getByTitle('Nothing is learnt from this conversation').waitFor();
    await page.reload();
    await replied(page, 'Noted.');
    await page.getByRole('button', { name: 'Settings of this conversation' }).click();
    expect(await page.getByLabel('System prompt').inputValue()).toBe('Be brief.');
    expect(await page.getByLabel('Temperature').inputValue()).toBe('0.3');
    expect(await page.getByLabel('Learn from this conversation at night').isChecked()).toBe(false);
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Save as a file' }).click();
    expect((await download).suggestedFilename()).toMatch(/\.jsonl$/);
    expect(complaints).toEqual([]);
    await close();
  });

  it('begins a new talk from the name of the house, and says when a talk is not there', async () => {
    engine.answer = 'Old.';
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    await say(page, 'An old talk');
    await replied(page, 'Old.');
    await page.getByRole('link', { name: 'attune' }).click();
    await page.getByText('What is on your mind?').waitFor();
    expect(new URL(page.url()).pathname).toBe('/');
    await page.goto(`${house.daemon.url}/talks/nobody`);
    await page.getByRole('alert').waitFor();
    await page.getByText('What is on your mind?').waitFor();
    expect(complaints).toEqual([]);
    await close();
  });

  it('offers to ask again when the engine died before it answered', async () => {
    engine.answer = 'Back again.';
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    engine.die();
    await say(page, 'Anybody?');
    await page.getByText('Interrupted. You can ask again.').waitFor();
    engine.revive();
    await page.getByRole('button', { name: 'Again' }).click();
    await replied(page, 'Back again.');
    expect(complaints).toEqual([]);
    await close();
  });

  it('says so when a reply could not be kept, and offers to ask again', async () => {
    engine.answer = 'Words for the wind.';
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url);
    let isFull = true;
    await page.routeWebSocket('**/ws', (near) => {
      const far = near.connectToServer();
      far.onMessage((text) => {
        const message = JSON.parse(String(text));
        const isEnd = isFull && message.type === 'reply-end';
        near.send(isEnd ? JSON.stringify(failureOf(message)) : text);
      });
    });
    await page.reload();
    await say(page, 'Keep this');
    const failed = page.getByRole('article', { name: 'No reply' });
    await failed.getByText('The disk is full.').waitFor();
    expect(await failed.textContent()).toContain('Words for the wind.');
    isFull = false;
    engine.answer = 'Kept.';
    await failed.getByRole('button', { name: 'Ask again' }).click();
    await replied(page, 'Kept.');
    expect(await failed.count()).toBe(0);
    expect(complaints).toEqual([]);
    await close();
  });
});

function failureOf({ conversationId, reply }: ServerMessageOf<'reply-end'>) {
  const error = { code: 'disk-full', message: 'The disk is full.' };
  return { type: 'reply-failed', conversationId, replyId: reply.id, error };
}
