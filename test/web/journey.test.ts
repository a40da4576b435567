// One talk on its way: begun in the terminal, continued in the browser, then by an openai client.
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canBrowse, NEEDS, openPage, PATIENT, replied, SLOW, say, selectWords } from './browser.ts';
import { openCable } from './cable.ts';
import { HOLD } from './held-engine.ts';
import { openHouse } from './house.ts';
import { CTRL_C, CTRL_D, ENTER, hasTerminal, openChat, type TerminalWindow } from './terminal.ts';

const needs = `${NEEDS.slice(0, -1)}, script)`;

describe.skipIf(!canBrowse || !hasTerminal)(`a talk on its way ${needs}`, SLOW, () => {
  const house = openHouse();
  const { engine } = house;
  let terminal: TerminalWindow;

  beforeAll(async () => {
    terminal = openChat(house.daemon.url);
  }, 60_000);
  afterAll(async () => {
    terminal?.close();
  });

  const onScreen = (text: string): Promise<void> =>
    expect.poll(() => terminal.text(), PATIENT).toContain(text);

  it('is begun in the terminal, continued in the browser, then through the openai client', async () => {
    engine.answer = 'The large room is booked.';
    await onScreen('/help shows the commands');
    terminal.type(`Please book the small room.${ENTER}`);
    await onScreen('attune › The large room is booked.');
    engine.answer = `I will think about it ${HOLD}for ever`;
    terminal.type(`No, the small one.${ENTER}`);
    await onScreen('I will think about it');
    terminal.type(CTRL_C);
    await onScreen('(stopped)');

    const cable = await openCable(house.daemon.port);
    const { page, complaints, close } = await openPage(house.browser, cable.url);
    await page.getByRole('link', { name: 'Please book the small room.' }).click();
    await replied(page, 'Stopped.');
    engine.answer = `Gladly: ${HOLD}the small room.`;
    await say(page, 'Again, please: the small one.');
    const answering = page.getByRole('article', { name: 'Attune, answering' });
    await answering.getByText('Gladly:').waitFor();
    await onScreen('you, elsewhere › Again, please: the small one.');
    await onScreen('attune › Gladly: ');

    // The line is cut in the middle of the reply; the terminal goes on, the page gets the rest.
    cable.pull();
    await page.getByRole('status').getByText('Reconnecting').waitFor();
    engine.release();
    await onScreen('Gladly: the small room.');
    cable.plug();
    await replied(page, 'Gladly: the small room.');

    await selectWords(page, '[data-role=user] p', 'the small one');
    await page.getByRole('toolbar').getByRole('button', { name: 'Not heard' }).click();
    await page.getByLabel('A reply that listens').fill('The small room is booked.');
    await page.getByRole('button', { name: 'Flag this moment' }).click();
    await page.getByText('Not heard: “the small one”').waitFor();
    terminal.type(`/flags${ENTER}`);
    await onScreen('not heard (clear)  “the small one”  → The small room is booked.');

    await page.reload();
    await replied(page, 'Gladly: the small room.');
    await page.getByText('Not heard: “the small one”').waitFor();

    const talkId = new URL(page.url()).pathname.split('/').at(-1) as string;
    const { entries } = await house.daemon.store.conversations.read(talkId);
    const said = entries.map(({ type, text }) => ({
      role: type === 'message' ? ('user' as const) : ('assistant' as const),
      content: text,
    }));
    engine.answer = 'On Friday at nine.';
    const client = new OpenAI({ apiKey: 'none', baseURL: `${house.daemon.url}/v1`, maxRetries: 0 });
    const completion = await client.chat.completions.create({
      model: 'attune',
      messages: [...said, { role: 'user', content: 'When is it?' }],
    });
    expect(completion.choices[0]?.message.content).toBe('On Friday at nine.');
    await page.getByRole('article', { name: 'You' }).last().getByText('When is it?').waitFor();
    await replied(page, 'On Friday at nine.');
    await onScreen('you, elsewhere › When is it?');
    await onScreen('attune › On Friday at nine.');

    expect(house.daemon.store.conversations.size).toBe(1);
    expect((await house.daemon.store.conversations.read(talkId)).entries).toHaveLength(8);
    expect(house.daemon.store.flags.list()).toMatchObject([
      { conversationId: talkId, kind: 'missed' },
    ]);
    expect(complaints).toEqual([]);
    terminal.type(CTRL_D);
    expect(await terminal.ended).toBe(0);
    await close();
    await cable.close();
  });

  it.each([
    ['dark, on a desk', { colorScheme: 'dark', viewport: { width: 1200, height: 800 } }],
    ['light, on a phone', { colorScheme: 'light', viewport: { width: 360, height: 740 } }],
    ['dark, on a phone', { colorScheme: 'dark', viewport: { width: 360, height: 740 } }],
  ] as const)('looks as it should: %s', async (_name, options) => {
    engine.answer = `${'Donaudampfschifffahrt'.repeat(20)}\n\n\`\`\`\n${'x'.repeat(300)}\n\`\`\``;
    const { page, complaints, close } = await openPage(house.browser, house.daemon.url, options);
    await say(page, `Show me a long word: ${'https://example.org/'.repeat(20)}`);
    await replied(page, 'Donau');
    const width = await page.evaluate('document.documentElement.scrollWidth');
    expect(width, 'nothing stands out at the side').toBe(options.viewport.width);
    const paper = String(await page.evaluate('getComputedStyle(document.body).backgroundColor'));
    const [red = 0] = paper.match(/\d+/g)?.map(Number) ?? [];
    expect(red < 64, paper).toBe(options.colorScheme === 'dark');
    expect(complaints).toEqual([]);
    await close();
  });
});
