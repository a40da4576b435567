import { describe, expect, it } from 'vitest';
import type { Conversation, Message, Reply } from '../../src/protocol/conversation.ts';
import {
  newConversation,
  type OpenConversation,
  receive,
} from '../../src/protocol/open-conversation.ts';
import type { ServerMessage } from '../../src/protocol/server-message.ts';

const user = (id: string): Message => ({ id, role: 'user', text: id, at: 1 });

const reply = (id: string, messageId: string, text = id): Reply => ({
  id,
  role: 'assistant',
  messageId,
  text,
  at: 1,
  stopReason: 'stop',
  usage: { promptTokens: 1, reusedTokens: 0, replyTokens: 1 },
  versionRuns: [],
  window: null,
  isSuperseded: false,
});

const conversation = (history: Message[], messagesBefore = 0): Conversation => ({
  ...newConversation('c', 1).conversation,
  history,
  messagesBefore,
});

const stored = (id: string) =>
  ({
    type: 'message-stored',
    conversationId: 'c',
    message: user(id) as Message & { role: 'user' },
    isDuplicate: false,
  }) as const;

const start = (replyId: string, replaces: string | null = null) =>
  ({
    type: 'reply-start',
    conversationId: 'c',
    replyId,
    messageId: 'm',
    replaces,
    window: { turnsDropped: 2, firstMessageId: 'm' },
    at: 1,
  }) as const;

const delta = (replyId: string, offset: number, text: string) =>
  ({ type: 'reply-delta', conversationId: 'c', replyId, offset, text }) as const;

const end = (one: Reply) =>
  ({ type: 'reply-end', conversationId: 'c', reply: one, error: null }) as const;

const failed = (replyId: string) =>
  ({
    type: 'reply-failed',
    conversationId: 'c',
    replyId,
    error: { code: 'disk-full', message: 'full' },
  }) as const;

const opened = (history: Message[], more: { messagesBefore?: number; text?: string } = {}) =>
  ({
    type: 'conversation-opened',
    conversation: conversation(history, more.messagesBefore),
    running: more.text === undefined ? null : { replyId: 'r', messageId: 'm', text: more.text },
  }) as const;

function told(...messages: ServerMessage[]): OpenConversation {
  return messages.reduce<OpenConversation>(receive, newConversation('c', 1));
}

const ids = ({ conversation: { history } }: OpenConversation): string[] =>
  history.map(({ id }) => id);

describe('the open conversation', () => {
  it('has each message and reply once, in their order, however often they are told', () => {
    const turn = [stored('m'), start('r'), delta('r', 0, 'Hi'), end(reply('r', 'm', 'Hi'))];
    const state = told(...turn, stored('m'), end(reply('r', 'm', 'Hi')));
    expect(ids(state)).toEqual(['m', 'r']);
    expect(state.running).toBeNull();
  });

  it('grows a running reply by offsets, and never shrinks it when text comes again', () => {
    const before = told(start('r'), delta('r', 0, 'Hel'), delta('r', 3, 'lo you'));
    expect(before.running).toMatchObject({ text: 'Hello you', turnsDropped: 2 });
    expect(receive(before, delta('r', 3, 'lo')).running?.text).toBe('Hello you');
    expect(receive(before, start('r')).running?.text).toBe('Hello you');
    expect(receive(before, delta('other', 0, 'x'))).toBe(before);
  });

  it('marks the reply that a new one replaces, and lets no late end of it come back', () => {
    const state = told(stored('m'), end(reply('r1', 'm')), start('r2', 'r1'));
    expect(state.conversation.history[1]).toMatchObject({ isSuperseded: true });
    const both = receive(receive(state, end(reply('r2', 'm'))), end(reply('r1', 'm')));
    const superseded = both.conversation.history.map(
      (one) => 'isSuperseded' in one && one.isSuperseded,
    );
    expect(superseded).toEqual([false, true, false]);
  });

  it('keeps the words of a reply that could not be stored, until something is said', () => {
    const state = told(start('r'), delta('r', 0, 'Lost'), failed('r'));
    expect(state).toMatchObject({ running: null, failure: { text: 'Lost', why: 'full' } });
    expect(receive(state, stored('m2')).failure).toBeNull();
  });

  it('goes on with what is known when it is read again after a loss', () => {
    const known = receive(null, opened([user('a'), user('b'), user('m')], { messagesBefore: 4 }));
    const page = opened([user('b'), user('m')], { messagesBefore: 5, text: 'Half' });
    const state = receive(known, page) as OpenConversation;
    expect(ids(state)).toEqual(['a', 'b', 'm']);
    expect(state.conversation.messagesBefore).toBe(4);
    expect(state).toMatchObject({ running: { text: 'Half' }, isUnanswered: false });
    const apart = receive(known, opened([user('z')], { messagesBefore: 90 })) as OpenConversation;
    expect(ids(apart)).toEqual(['z']);
  });

  it('says when nobody answers its last message', () => {
    const state = told(opened([user('m')]));
    expect(state.isUnanswered).toBe(true);
    expect(receive(state, start('r')).isUnanswered).toBe(false);
  });

  it('takes earlier messages that end where it begins, and no others', () => {
    const state = told(opened([user('c'), user('d')], { messagesBefore: 2 }));
    const history = [user('b')];
    const page = { type: 'history-listed' as const, conversationId: 'c', history };
    expect(ids(receive(state, { ...page, messagesBefore: 1 }))).toEqual(['b', 'c', 'd']);
    expect(ids(receive(state, { ...page, messagesBefore: 0 }))).toEqual(['c', 'd']);
  });

  it('is not changed by messages of other conversations', () => {
    const state = told(stored('m'));
    expect(receive(state, { ...stored('x'), conversationId: 'other' })).toBe(state);
    expect(receive(null, stored('x'))).toBeNull();
  });
});
