import { existsSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { installationFolder } from '../../src/config/load.ts';
import type { ChatTokenizer } from '../../src/tokenizer/chat-tokenizer.ts';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { openTokenizerWorker } from '../../src/tokenizer/tokenizer-worker.ts';

// Workers are stopped when they take too long.
vi.setConfig({ testTimeout: 60_000 });

const CHATML = join(import.meta.dirname, '../fixtures/tokenizer/chatml');
const isBuilt = existsSync(join(installationFolder, 'dist', 'tokenizer', 'worker.js'));
const say = (content: string) => [{ role: 'user', content }];

const opened: ChatTokenizer[] = [];
const folders: string[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((tokenizer) => tokenizer.close()));
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true })));
});

async function open(dir: string, budgetMs = 30_000): Promise<ChatTokenizer> {
  const tokenizer = await openTokenizerWorker({ dir, clock: systemClock, budgetMs });
  opened.push(tokenizer);
  return tokenizer;
}

/** A copy of the fixture with one file changed. */
async function changed(file: string, change: (text: string) => string): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'attune-tokenizer-'));
  folders.push(dir);
  await cp(CHATML, dir, { recursive: true });
  await writeFile(join(dir, file), change(await readFile(join(dir, file), 'utf8')));
  return dir;
}

/** The fixture's template, which does `harm` when the last message is "harm". */
function withHarm(harm: string): Promise<string> {
  const condition = `{% if messages[-1].content == 'harm' %}${harm}{% endif %}`;
  return changed('chat_template.jinja', (text) => condition + text);
}

/** How often the event loop came round while `work` ran. */
async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let turns = 0;
  let isOver = false;
  const count = (): void => {
    turns++;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  await work.catch(() => undefined);
  isOver = true;
  return turns;
}

describe.skipIf(!isBuilt)('the tokenizer in a worker (skipped without npm run build)', () => {
  it('gives what the tokenizer gives, spans and text included', async () => {
    const here = await loadTokenizer(CHATML);
    const there = await open(CHATML);
    const messages = [...say('Hello, wörld 🦙'), { role: 'assistant', content: 'Hi' }, ...say('b')];
    const chat = here.renderChat(messages, { addGenerationPrompt: true });
    const spans = [{ message: 0, start: 7, end: 12 }];
    const sent = await there.renderChat(messages, { addGenerationPrompt: true, spans });
    expect(sent).toEqual({
      ids: chat.ids,
      messages: chat.messages,
      spans: [chat.spanToTokens(0, 7, 12)],
      isThinking: false,
    });
    expect(there.decode(sent.ids)).toBe(here.decode(chat.ids));
    expect(there.stopIds).toEqual(here.stopIds);
    expect(there.controlIds).toEqual(here.controlIds);
    expect(sent.ids.map(there.tokenText)).toEqual(chat.ids.map(here.tokenText));
  });

  it('answers chats of a kind in their order, and short ones beside the long ones', async () => {
    const tokenizer = await open(CHATML);
    const order: number[] = [];
    const sizes = [40_000, 5_000, 3, 2, 1];
    await Promise.all(
      sizes.map((size) =>
        tokenizer.renderChat(say('word '.repeat(size))).then(() => order.push(size)),
      ),
    );
    expect(order).toEqual([3, 2, 1, 40_000, 5_000]);
  });

  it('leaves the event loop free while it renders the longest accepted message', async () => {
    const tokenizer = await open(CHATML);
    const words = Array.from({ length: 20_000 }, (_, index) => `w${(index * 7919) % 9973}`);
    const rendering = tokenizer.renderChat(say(words.join(' ').slice(0, 100_000)));
    expect(await turnsDuring(rendering)).toBeGreaterThan(100);
    expect((await rendering).ids.length).toBeGreaterThan(10_000);
  });

  it('takes a message whose ids say something else by its words', async () => {
    const tokenizer = await open(CHATML);
    const plain = await tokenizer.renderChat(say('Hello'));
    const cut = await tokenizer.renderChat([{ role: 'user', content: 'Hello', ids: [1, 2, 3] }]);
    expect(cut).toEqual(plain);
  });

  it('says with a code what is wrong with a chat or a folder, and goes on', async () => {
    const tokenizer = await open(await withHarm("{{ raise_exception('no') }}"));
    await expect(tokenizer.renderChat(say('harm'))).rejects.toMatchObject({
      code: 'template-failed',
      message: expect.stringContaining('refuses: no'),
    });
    expect((await tokenizer.renderChat(say('fine'))).ids.length).toBeGreaterThan(1);
    const torn = await changed('tokenizer.json', (text) => text.slice(0, 100));
    await expect(open(torn)).rejects.toMatchObject({ code: 'tokenizer-invalid' });
    const noJinja = await changed('chat_template.jinja', () => '{% if %}');
    await expect(open(noJinja)).rejects.toMatchObject({ code: 'template-failed' });
  });

  const HARM = {
    'loops ten thousand million times':
      '{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}',
    'writes 50 MB':
      '{% for a in range(50) %}{% for b in range(100000) %}words and {% endfor %}{% endfor %}',
  };

  it.each(Object.entries(HARM))('outlives a template that %s', async (_, harm) => {
    const tokenizer = await open(await withHarm(harm), 1_500);
    const rendering = tokenizer.renderChat(say('harm'));
    const after = tokenizer.renderChat(say('fine'));
    expect(await turnsDuring(rendering)).toBeGreaterThan(100);
    await expect(rendering).rejects.toMatchObject({
      code: 'template-failed',
      message: expect.stringContaining('chat template or the tokenizer of'),
    });
    expect((await after).ids.length).toBeGreaterThan(1);
  });

  it('waits for an honest chat where the machine is too busy to compute it', async () => {
    let cpuMs = 0;
    const clock = systemClock;
    const harm = '{% for a in range(300) %}{% for b in range(1000) %}{% endfor %}{% endfor %}';
    const dir = await withHarm(harm);
    const tokenizer = await openTokenizerWorker({ dir, clock, budgetMs: 1, cpuMs: () => cpuMs });
    opened.push(tokenizer);
    expect((await tokenizer.renderChat(say('harm'))).ids.length).toBeGreaterThan(1);
    const rendering = tokenizer.renderChat(say('harm'));
    setTimeout(() => {
      cpuMs = 10;
    }, 60);
    await expect(rendering).rejects.toMatchObject({ code: 'template-failed' });
  });

  it('refuses a model by name whose template or pattern does not come to an end', async () => {
    const loop = '{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}';
    const template = await changed('chat_template.jinja', (text) => loop + text);
    const pattern = await changed('tokenizer.json', (text) => {
      const split = { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated' };
      return JSON.stringify({ ...JSON.parse(text), pre_tokenizer: split });
    });
    for (const dir of [template, pattern]) {
      await expect(open(dir, 1_500)).rejects.toMatchObject({
        code: 'template-failed',
        message: expect.stringContaining(dir),
      });
    }
  });

  it('outlives a pattern in tokenizer.json that backtracks without end', async () => {
    const dir = await changed('tokenizer.json', (text) => {
      const definition = JSON.parse(text) as { pre_tokenizer: unknown };
      const split = { type: 'Split', pattern: { Regex: '(b+)+$' }, behavior: 'Isolated' };
      const parts = { type: 'Sequence', pretokenizers: [split, definition.pre_tokenizer] };
      return JSON.stringify({ ...definition, pre_tokenizer: parts });
    });
    const tokenizer = await open(dir, 1_500);
    const rendering = tokenizer.renderChat(say(`${'b'.repeat(60)}!`));
    expect(await turnsDuring(rendering)).toBeGreaterThan(100);
    await expect(rendering).rejects.toMatchObject({ code: 'template-failed' });
    expect((await tokenizer.renderChat(say('fine'))).ids.length).toBeGreaterThan(1);
  });

  it('goes on with the tokenizer that it was opened with, whatever has become of the folder', async () => {
    const dir = await withHarm(HARM['loops ten thousand million times']);
    const tokenizer = await open(dir, 1_500);
    const fine = await tokenizer.renderChat(say('fine'));
    await rm(join(dir, 'tokenizer.json'));
    await expect(tokenizer.renderChat(say('harm'))).rejects.toThrow(
      'was stopped after 1.5 seconds',
    );
    expect(await tokenizer.renderChat(say('fine'))).toEqual(fine);
  });

  it('ends what it renders when it is closed, and renders nothing after', async () => {
    const tokenizer = await open(await withHarm(HARM['loops ten thousand million times']));
    const rendering = tokenizer.renderChat(say('harm'));
    const waiting = tokenizer.renderChat(say('fine'));
    setTimeout(() => void tokenizer.close(), 100);
    await expect(rendering).rejects.toMatchObject({ code: 'shutting-down' });
    await expect(waiting).rejects.toMatchObject({ code: 'shutting-down' });
  });
});
