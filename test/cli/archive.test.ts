import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ARCHIVES, milliseconds } from '../../src/cli/conversation/archive.ts';
import { converted, type ExportFormat } from '../../src/cli/conversation/export.ts';
import { ConversationImport, type ConversationImportInput } from '../../src/protocol/http.ts';

const entries = (...values: unknown[]) =>
  values.map((value, index) => ({ place: `entry ${index + 1}`, value }));

function read(kind: keyof typeof ARCHIVES, ...values: unknown[]) {
  const { conversations, skipped } = ARCHIVES[kind](entries(...values), 5);
  for (const { conversation } of conversations) ConversationImport.parse(conversation);
  return { conversations: conversations.map((one) => one.conversation), skipped };
}

const said = ({ messages }: ConversationImportInput) =>
  messages.map(({ role, text }) => [role, text]);

/** As ChatGPT exports it: a tree, of which the branch to `current_node` was shown. */
const message = (role: string, parts: unknown[], more: object = {}) => ({
  author: { role },
  create_time: 1_700_000_000.5,
  content: { content_type: 'text', parts },
  recipient: 'all',
  ...more,
});
const CHATGPT = {
  conversation_id: 'c1',
  title: 'Dinner',
  create_time: 1_699_999_999.1,
  current_node: 'a2',
  mapping: {
    root: { message: null, parent: null },
    hidden: {
      message: message('system', [''], {
        metadata: { is_visually_hidden_from_conversation: true },
      }),
      parent: 'root',
    },
    u1: { message: message('user', ['Soup?', { asset_pointer: 'x' }]), parent: 'hidden' },
    a1: { message: message('assistant', ['An old branch']), parent: 'u1' },
    think: {
      message: { ...message('assistant', []), content: { content_type: 'thoughts' } },
      parent: 'u1',
    },
    call: { message: message('assistant', ['search()'], { recipient: 'web' }), parent: 'think' },
    tool: { message: message('tool', ['results']), parent: 'call' },
    a2: { message: message('assistant', ['Salad.']), parent: 'tool' },
  },
};
/** As Claude exports it. */
const CLAUDE = {
  uuid: '0b1f9a52-1111-4222-8333-444455556666',
  name: 'Trip',
  created_at: '2025-01-02T03:04:05.678Z',
  chat_messages: [
    { uuid: 'm1', sender: 'human', text: 'Where to?', created_at: '2025-01-02T03:04:05Z' },
    {
      uuid: 'm2',
      sender: 'assistant',
      text: 'with a block that is not supported',
      content: [
        { type: 'thinking', thinking: 'Hm.' },
        { type: 'tool_use', name: 'x' },
        { type: 'text', text: 'Rome.' },
      ],
    },
  ],
};

describe('an archive', () => {
  it('of ChatGPT is the branch that was shown, without tools, thoughts and what is hidden', () => {
    const { conversations, skipped } = read('chatgpt', CHATGPT, { id: 'x' }, CHATGPT);
    const [first] = conversations;
    expect(first).toMatchObject({ id: 'cgpt-c1', title: 'Dinner', origin: 'import' });
    expect(said(first as ConversationImportInput)).toEqual([
      ['user', 'Soup?'],
      ['assistant', 'Salad.'],
    ]);
    expect(first?.messages[0]?.at).toBe(1_700_000_000_500);
    expect(skipped).toEqual([expect.stringMatching(/^entry 2: mapping/)]);
  });

  it('of Claude has what was said aloud', () => {
    const { conversations, skipped } = read('claude', CLAUDE, { uuid: 'e', chat_messages: [] });
    expect(conversations).toMatchObject([{ title: 'Trip', messages: [{}, { text: 'Rome.' }] }]);
    expect(conversations[0]?.messages[0]?.at).toBe(Date.parse('2025-01-02T03:04:05Z'));
    expect(skipped).toEqual(['entry 2: nobody says anything in it']);
  });

  it('of lines is ShareGPT or OpenAI, the same each time', () => {
    const openai = {
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: [{ type: 'text', text: 'hi' }] },
        { role: 'assistant', content: null },
        { role: 'assistant', content: '<think>x</think>ho' },
        { role: 'tool', content: 'x' },
      ],
    };
    const sharegpt = {
      id: 's',
      conversations: [
        { from: 'human', value: 'a' },
        { from: 'gpt', value: 'b' },
      ],
    };
    const once = read('jsonl', openai, sharegpt, { messages: 'x' });
    expect(once.conversations.map(said)).toEqual([
      [
        ['user', 'hi'],
        ['assistant', 'ho'],
      ],
      [
        ['user', 'a'],
        ['assistant', 'b'],
      ],
    ]);
    expect(once.conversations[0]).toMatchObject({
      settings: { systemPrompt: 'Be brief.' },
      title: 'hi',
    });
    expect(once.skipped).toHaveLength(1);
    expect(read('jsonl', openai, sharegpt).conversations).toEqual(once.conversations);
  });

  it('has times that mean the same in seconds, in more of them, and as a date', () => {
    const at = 1_700_000_000_000;
    for (const time of [at / 1000, at, at * 1e6, new Date(at).toISOString()]) {
      expect(milliseconds(time, 7)).toBe(at);
    }
    for (const time of [null, undefined, -1, 0, 'soon', 1e308])
      expect(milliseconds(time, 7)).toBe(7);
  });
});

async function exported(lines: readonly object[], format: ExportFormat): Promise<unknown[]> {
  const bytes = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''), 'utf8');
  async function* pieces() {
    // Cut within characters.
    for (let at = 0; at < bytes.length; at += 61) yield bytes.subarray(at, at + 61);
  }
  let text = '';
  for await (const piece of converted(pieces(), format))
    text += Buffer.from(piece).toString('utf8');
  return text === ''
    ? []
    : text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown);
}

describe('an export', () => {
  const LOG = [
    { type: 'conversation', id: 'c', settings: { systemPrompt: 'Be kind.' } },
    { type: 'message', id: 'u1', text: 'Soup or salad?' },
    { type: 'reply', id: 'r1', messageId: 'u1', replaces: null, text: 'Steak.' },
    { type: 'reply', id: 'r2', messageId: 'u1', replaces: 'r1', text: 'Soup.' },
    { type: 'message', id: 'u2', text: 'Thanks.' },
    { type: 'reply', id: 'r3', messageId: 'u2', replaces: null, text: '' },
    { type: 'flag', replyId: 'r1', kind: 'missed', betterWords: 'Salad.', withdrawnAt: null },
    { type: 'flag', replyId: 'r2', kind: 'missed', betterWords: 'Salad.', withdrawnAt: 5 },
    { type: 'flag', replyId: 'r2', kind: 'good', betterWords: null, withdrawnAt: null },
    { type: 'conversation', id: 'empty', settings: {} },
  ];

  it('as messages has what stands, for OpenAI and for ShareGPT', async () => {
    const messages = [
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: 'Soup or salad?' },
      { role: 'assistant', content: 'Soup.' },
      { role: 'user', content: 'Thanks.' },
    ];
    expect(await exported(LOG, 'openai')).toEqual([{ messages }]);
    expect(await exported(LOG, 'sharegpt')).toMatchObject([
      { id: 'c', conversations: [{ from: 'system' }, { from: 'human' }, { from: 'gpt' }, {}] },
    ]);
  });

  it('as preferences has what the person would have wanted to hear', async () => {
    expect(await exported(LOG, 'preferences')).toEqual([
      {
        prompt: [
          { role: 'system', content: 'Be kind.' },
          { role: 'user', content: 'Soup or salad?' },
        ],
        chosen: [{ role: 'assistant', content: 'Salad.' }],
        rejected: [{ role: 'assistant', content: 'Steak.' }],
      },
    ]);
  });

  // Seconds on a busy machine, as each run converts and reads a file.
  it('comes back as it was said, whatever was said', { timeout: 60_000 }, async () => {
    const word = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 });
    const words = word.filter((text) => text.trim() !== '' && !/[<◁]/.test(text));
    const turns = fc.array(fc.tuple(words, words), { minLength: 1, maxLength: 4 });
    const format = fc.constantFrom('openai' as const, 'sharegpt' as const);
    await fc.assert(
      fc.asyncProperty(turns, format, async (list, name) => {
        const log = list.flatMap(([user, assistant], at) => [
          { type: 'message', id: `u${at}`, text: user },
          { type: 'reply', id: `r${at}`, messageId: `u${at}`, replaces: null, text: assistant },
        ]);
        const lines = await exported(
          [{ type: 'conversation', id: 'c', settings: {} }, ...log],
          name,
        );
        const { conversations } = read('jsonl', ...lines);
        expect(conversations.map(said)).toEqual([
          list.flatMap(([user, assistant]) => [
            ['user', user],
            ['assistant', assistant],
          ]),
        ]);
      }),
      { numRuns: 40 },
    );
  });
});
