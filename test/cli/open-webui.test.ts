import { describe, expect, it } from 'vitest';
import { readOpenWebui } from '../../src/cli/conversation/archive.ts';
import { ConversationImport } from '../../src/protocol/http.ts';

/** As Open WebUI 0.6 writes it: a tree of messages, the leaf that is shown, ratings on messages. */
const chat = {
  id: '7d3f9a52-1111-4222-8333-444455556666',
  user_id: 'someone',
  title: 'Dinner',
  chat: {
    title: 'Dinner',
    system: 'Be brief.',
    models: ['llama'],
    history: {
      currentId: 'a3',
      messages: {
        u1: {
          id: 'u1',
          parentId: null,
          childrenIds: ['a1', 'a2'],
          role: 'user',
          content: 'Soup or salad?',
          timestamp: 1_700_000_000,
        },
        a1: {
          id: 'a1',
          parentId: 'u1',
          childrenIds: [],
          role: 'assistant',
          content: 'An old branch',
          timestamp: 1_700_000_001,
        },
        a2: {
          id: 'a2',
          parentId: 'u1',
          childrenIds: ['u2'],
          role: 'assistant',
          content:
            '<details type="reasoning" done="true">\n&gt; They like soup.\n</details>\nSoup.',
          timestamp: 1_700_000_002,
          annotation: { rating: -1, reason: 'not_factually_correct', comment: 'I said salad' },
        },
        u2: {
          id: 'u2',
          parentId: 'a2',
          childrenIds: ['a3'],
          role: 'user',
          content: [{ type: 'text', text: 'Salad!' }],
          timestamp: 1_700_000_003,
        },
        a3: {
          id: 'a3',
          parentId: 'u2',
          childrenIds: [],
          role: 'assistant',
          content: 'Salad it is.',
          timestamp: 1_700_000_004,
          annotation: { rating: '1' },
        },
      },
    },
  },
  created_at: 1_699_999_999,
};

const all = (entries: readonly unknown[]) =>
  readOpenWebui(
    entries.map((value, index) => ({ place: `entry ${index + 1}`, value })),
    5,
  );
const read = (entries: readonly unknown[]) =>
  all(entries).conversations.map((one) => one.conversation);

describe('an export of Open WebUI', () => {
  it('becomes the branch that was shown, with its marks, in a form that the daemon takes', () => {
    const [talk] = read([chat]);
    expect(ConversationImport.safeParse(talk).success).toBe(true);
    expect(talk).toMatchObject({
      id: 'owui-7d3f9a52-1111-4222-8333-444455556666',
      title: 'Dinner',
      settings: { systemPrompt: 'Be brief.' },
    });
    expect(talk?.messages.map(({ text, at }) => [text, at])).toEqual([
      ['Soup or salad?', 1_700_000_000_000],
      ['Soup.', 1_700_000_002_000],
      ['Salad!', 1_700_000_003_000],
      ['Salad it is.', 1_700_000_004_000],
    ]);
    expect(talk?.flags).toMatchObject([
      { replyId: 'owui-a2', kind: 'missed', reason: 'not_factually_correct: I said salad' },
      { replyId: 'owui-a3', kind: 'good', reason: null },
    ]);
  });

  it('takes exported feedback as well, with the chat in it', () => {
    const feedback = {
      id: 'f1',
      type: 'rating',
      data: { rating: -1, comment: 'no' },
      meta: { chat_id: chat.id, message_id: 'a3' },
      snapshot: { chat },
    };
    const [talk] = read([feedback]);
    expect(talk?.messages).toHaveLength(4);
    expect(talk?.flags?.map(({ replyId, kind }) => [replyId, kind])).toEqual([
      ['owui-a2', 'missed'],
      ['owui-a3', 'good'],
    ]);
    const plain = {
      ...chat,
      chat: {
        messages: [
          { id: 'x', role: 'user', content: 'hi' },
          { id: 'y', role: 'assistant', content: 'ho' },
        ],
      },
    };
    const rated = { ...feedback, meta: { message_id: 'y' }, snapshot: null };
    expect(read([plain, rated])[0]?.flags).toMatchObject([{ replyId: 'owui-y', kind: 'missed' }]);
  });

  it('loses only the entries that are odd, and says which and why', () => {
    const odd = [{ ...chat, id: 7 }, 'a text', { type: 'rating', data: {} }, chat];
    const { conversations, skipped } = all(odd);
    expect(conversations).toMatchObject([{ place: 'entry 4 ("Dinner")' }]);
    expect(skipped).toEqual([
      expect.stringMatching(/^entry 1: id: .*expected string/),
      expect.stringMatching(/^entry 2: /),
      expect.stringMatching(/^entry 3: meta: /),
    ]);
  });

  it('has times that the daemon takes, whatever stands there', () => {
    const messages = [1e308, -1, 0, null, 1e18].map((timestamp, at) => {
      return { id: `m${at}`, role: 'user', content: 'hi', timestamp };
    });
    const [talk] = read([{ id: 'times', created_at: 1e308, chat: { messages } }]);
    expect(() => ConversationImport.parse(talk)).not.toThrow();
  });

  it('survives trees that bite their tail, long ids, other roles and empty chats', () => {
    const loop = { id: 'a', parentId: 'b', role: 'user', content: 'one' };
    const back = { id: 'b', parentId: 'a', role: 'assistant', content: 'two' };
    const tree = { history: { currentId: 'a', messages: { a: loop, b: back } } };
    expect(read([{ id: 'x'.repeat(500), chat: tree }])[0]?.messages).toHaveLength(2);
    expect(read([{ id: 'x'.repeat(500), chat: tree }])[0]?.id).toMatch(/^owui-[0-9a-f]{32}$/);
    expect(read([{ id: 'e', chat: { history: null } }])).toEqual([]);
    expect(
      read([{ id: 'e', chat: { messages: [{ id: 't', role: 'tool', content: 'x' }] } }]),
    ).toEqual([]);
  });

  it("has the chat's own system prompt before the person's, and chats of earlier versions", () => {
    const own = { ...chat, chat: { ...chat.chat, params: { system: 'Be long.' } } };
    expect(read([own])[0]?.settings).toEqual({ systemPrompt: 'Be long.' });
    expect(read([{ id: 'old', ...chat.chat }])[0]?.messages).toHaveLength(4);
  });

  it('survives messages that lack their id or role, and trees without messages', () => {
    const messages = { u: { role: 'user', content: 'hi' }, a: { parentId: 'u', content: 'lost' } };
    const odd = { id: 'o', chat: { history: { currentId: 'a', messages } } };
    expect(read([odd, chat]).map((one) => one.messages.length)).toEqual([1, 4]);
    const none = { id: 'n', chat: { history: { currentId: 'a', messages: null } } };
    expect(all([none, chat]).conversations).toHaveLength(1);
  });

  it('says where a rating is whose chat is nowhere', () => {
    const rating = { type: 'rating', data: { rating: 1 }, meta: { message_id: 'gone' } };
    expect(all([chat, rating]).skipped).toEqual(['entry 2: what it rates is not in this file']);
    const empty = { type: 'rating', data: null, meta: null };
    expect(all([empty, chat])).toMatchObject({
      conversations: [{}],
      skipped: [expect.stringMatching(/^entry 1: data/)],
    });
  });
});
