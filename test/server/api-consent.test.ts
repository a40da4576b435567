// What comes over the OpenAI-compatible API: when it is kept, and whether nights may learn from it.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { ConversationSummary } from '../../src/protocol/conversation.ts';
import { openTestDaemon, type TestDaemon } from './open-test-daemon.ts';

let daemon: TestDaemon;
afterEach(() => daemon?.end());

const open = async (learnFromApi?: 'ask' | 'always' | 'never', folder?: string): Promise<void> => {
  const chat = learnFromApi === undefined ? {} : { learnFromApi };
  daemon = await openTestDaemon({ config: { chat }, ...(folder === undefined ? {} : { folder }) });
};

type Said = { role: 'user' | 'assistant' | 'system'; content: string };
const user = (content: string): Said => ({ role: 'user', content });
const assistant = (content: string): Said => ({ role: 'assistant', content });

async function ask(messages: readonly Said[], more: object = {}): Promise<string> {
  const response = await fetch(`${daemon.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'attune', messages, ...more }),
  });
  const body = JSON.parse(await response.text());
  expect(response.status, JSON.stringify(body)).toBe(200);
  return body.choices[0].message.content;
}

const all = (): readonly ConversationSummary[] =>
  daemon.store.conversations.list({ limit: 100 }).conversations;
const newest = (): ConversationSummary => all()[0] as ConversationSummary;

/** Paths of all files of the store in which the word stands. */
async function holding(word: string): Promise<string[]> {
  const files = await readdir(daemon.folder, { recursive: true, withFileTypes: true });
  const paths = files.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
  const held = await Promise.all(paths.map(async (path) => (await readFile(path)).includes(word)));
  return paths.filter((_, at) => held[at]);
}

describe('a conversation that comes over the API', () => {
  it.each([
    [undefined, { canLearn: false, isUndecided: true }],
    ['ask', { canLearn: false, isUndecided: true }],
    ['always', { canLearn: true, isUndecided: false }],
    ['never', { canLearn: false, isUndecided: false }],
  ] as const)('is learnt from as the person said: %s', async (rule, expected) => {
    await open(rule);
    await ask([user('Where is the quince jam?')]);
    expect(newest()).toMatchObject({ origin: 'openai', ...expected });
  });

  it('stays undecided when its settings change, over a restart, until the person says so', async () => {
    await open();
    await ask([user('Where is the quince jam?')]);
    const { id } = newest();
    await daemon.conversations.change(id, { settings: { temperature: 0.3 } });
    await daemon.stop();
    await open(undefined, daemon.folder);
    expect(newest()).toMatchObject({ canLearn: false, isUndecided: true });
    await daemon.conversations.change(id, { canLearn: false });
    expect(newest()).toMatchObject({ canLearn: false, isUndecided: false });
  });

  it('can be held back by the request, and never be given more than was allowed', async () => {
    await open('always');
    await ask([user('Where is the quince jam?')], { metadata: { learn: 'never' } });
    expect(newest()).toMatchObject({ canLearn: false, isUndecided: false });
    await ask([user('Where is the medlar jam?')], { metadata: { learn: 'ask', user: 'x' } });
    expect(newest()).toMatchObject({ canLearn: false, isUndecided: true });
    await daemon.end();
    await open('never');
    await ask([user('Where is the quince jam?')], { metadata: { learn: 'always' } });
    expect(newest()).toMatchObject({ canLearn: false, isUndecided: false });
  });

  it('goes on apart from one that is learnt from, where nothing may be', async () => {
    await open('never');
    const client = await daemon.connect();
    const { reply } = await client.say('live', 'm1', 'Where is the quince jam?');
    const before = [user('Where is the quince jam?'), assistant(reply.text)];
    await ask([...before, user('And the medlar?')]);
    expect((await daemon.store.conversations.read('live')).entries).toHaveLength(2);
    expect(newest()).toMatchObject({ canLearn: false, messages: 4 });
  });
});

describe('nothing is kept', () => {
  it('of a request that says so, whole or streamed', async () => {
    await open('always');
    const text = await ask([user('Where is the quince jam?')], { store: false });
    expect(text).toBe('You said: Where is the quince jam?');
    await fetch(`${daemon.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        ...{ model: 'attune', stream: true, store: false },
        messages: [user('Where is the quince jam?')],
      }),
    }).then((response) => response.text());
    expect(all()).toEqual([]);
    await daemon.stop();
    expect(await holding('quince')).toEqual([]);
    expect(daemon.engine.forgotten).toHaveLength(2);
  });

  it('of what a chat program asks for itself', async () => {
    await open('always');
    const messages = [user('Where is the quince jam?')];
    const text = await ask(messages);
    const title = '### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing it.';
    await ask([user(`${title}\n<chat_history>\nUSER: quince\n</chat_history>`)]);
    const next =
      'Please generate a four to five word title summarizing our conversation, no quotes.';
    await ask([...messages, assistant(text), user(next)]);
    expect(all()).toHaveLength(1);
    expect(newest().messages).toBe(2);
  });
});

describe('a copy of a conversation', () => {
  const said = [user('My illness is called OPALWORD.')];
  const settings = { temperature: 0.3 };

  async function excluded(): Promise<Said[]> {
    await open('always');
    const text = await ask(said);
    await daemon.conversations.change(newest().id, { canLearn: false, settings });
    return [...said, assistant(text)];
  }

  it('that two continuations at once make keeps its exclusion and settings', async () => {
    const before = await excluded();
    const one = ask([...before, user('What can I do?')]);
    await Promise.all([one, ask([...before, user('Who can help me?')])]);
    expect(all()).toHaveLength(2);
    for (const { id, canLearn, isUndecided } of all()) {
      expect({ canLearn, isUndecided }).toEqual({ canLearn: false, isUndecided: false });
      expect((await daemon.store.conversations.read(id)).settings).toEqual(settings);
    }
  });

  it('that an edit makes keeps its exclusion and settings', async () => {
    const [, reply] = await excluded();
    await ask([user('My illness has a name.'), reply as Said, user('What can I do?')]);
    expect(newest()).toMatchObject({ canLearn: false, isUndecided: false });
    expect((await daemon.store.conversations.read(newest().id)).settings).toEqual(settings);
  });

  it('is excluded with it, and so is what was copied from the copy', async () => {
    await open('always');
    const text = await ask(said);
    const { id: first } = newest();
    const other = [user('Another beginning of it all.'), assistant(text)];
    const second = await ask([...other, user('What can I do about it?')]);
    await ask([user('Once more, and differently.'), assistant(second), user('And now?')]);
    await ask([user('Something else entirely.')]);
    await daemon.conversations.change(first, { canLearn: false });
    expect(all().filter(({ canLearn }) => canLearn)).toMatchObject([
      { title: 'Something else entirely.' },
    ]);
  });

  it('is not one for a greeting that many conversations begin with', async () => {
    await open('always');
    await ask([user('hello')]);
    await daemon.conversations.change(newest().id, { canLearn: false });
    await ask([user('hello'), assistant('Hi!'), user('Where is the jam?')]);
    expect(newest().canLearn).toBe(true);
  });
});
