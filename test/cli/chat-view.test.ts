import { describe, expect, it } from 'vitest';
import { ChatView, type Shown } from '../../src/cli/chat/chat-view.ts';
import type { Conversation, Reply, RunningReply } from '../../src/protocol/conversation.ts';
import type { ServerMessage, ServerMessageOf } from '../../src/protocol/server-message.ts';

function reply(id: string, messageId: string, text: string, more: Partial<Reply> = {}): Reply {
  const usage = { promptTokens: 1, reusedTokens: 0, replyTokens: 1 };
  const rest = {
    stopReason: 'stop' as const,
    usage,
    versionRuns: [],
    window: null,
    isSuperseded: false,
  };
  return { id, role: 'assistant', messageId, text, at: 1, ...rest, ...more };
}

const start = (replyId: string, turnsDropped = 0): ServerMessage => ({
  type: 'reply-start',
  conversationId: 'c',
  replyId,
  messageId: 'm',
  replaces: null,
  window: { turnsDropped, firstMessageId: 'm' },
  at: 1,
});

const delta = (replyId: string, offset: number, text: string): ServerMessage => ({
  type: 'reply-delta',
  conversationId: 'c',
  replyId,
  offset,
  text,
});

const end = (one: Reply): ServerMessage => ({
  type: 'reply-end',
  conversationId: 'c',
  reply: one,
  error: null,
});

function talk(...history: Conversation['history']): Conversation {
  const summary = { title: 't', createdAt: 1, updatedAt: 1, messages: history.length };
  const page = { history, messagesBefore: 0 };
  return {
    id: 'c',
    ...summary,
    origin: 'live',
    canLearn: true,
    isUndecided: false,
    settings: {},
    ...page,
  };
}

const user = (id: string) => ({ id, role: 'user' as const, text: id, at: 1 });

const opened = (
  conversation: Conversation,
  running: RunningReply | null = null,
): ServerMessageOf<'conversation-opened'> => ({
  type: 'conversation-opened',
  conversation,
  running,
});

/** What a person sees of it. */
function seen(shown: readonly Shown[]): string {
  return shown.map((one) => (one.kind === 'text' ? one.text : `<${one.kind}>`)).join('');
}

describe('what is on the screen', () => {
  it('is that the model thinks, and not its thought', () => {
    const view = new ChatView('c');
    const thought = (offset: number, text: string): ServerMessage => ({
      ...{ type: 'thought-delta', conversationId: 'c', replyId: 'r', offset, text },
    });
    const all = [start('r'), thought(0, 'Hm'), thought(2, ', well.'), delta('r', 0, 'Hello')];
    expect(seen(all.flatMap((message) => view.receive(message)))).toBe('<begin><thinking>Hello');
    const joined = new ChatView('c');
    const running = { replyId: 'r', messageId: 'm', text: '', thought: 'Hm' };
    expect(seen(joined.opened(opened(talk(user('m')), running)))).toContain('<thinking>');
  });

  it('is the reply, once, though the end tells it again', () => {
    const view = new ChatView('c');
    const all = [
      start('r'),
      delta('r', 0, 'Hel'),
      delta('r', 3, 'lo'),
      end(reply('r', 'm', 'Hello you')),
      end(reply('r', 'm', 'Hello you')),
    ].flatMap((message) => view.receive(message));
    expect(seen(all)).toBe('<begin>Hello you<end>');
    expect(view.isReplying).toBe(false);
  });

  it('goes on where it was after the connection was lost', () => {
    const view = new ChatView('c');
    view.own('m');
    view.receive(start('r'));
    view.receive(delta('r', 0, 'Hello th'));
    const back = view.receive(
      opened(talk(user('m')), { replyId: 'r', messageId: 'm', text: 'Hello there' }),
    );
    expect(seen(back)).toBe('ere');
    expect(seen(view.receive(start('r')))).toBe('');
    expect(seen(view.receive(delta('r', 11, ', you')))).toBe(', you');
  });

  it('has the end of a reply that ended while the connection was lost', () => {
    const view = new ChatView('c');
    view.own('m');
    view.receive(start('r'));
    view.receive(delta('r', 0, 'Hello'));
    expect(seen(view.receive(opened(talk(user('m'), reply('r', 'm', 'Hello there')))))).toBe(
      ' there<end>',
    );
  });

  it('has a whole reply of which nothing was seen before', () => {
    const view = new ChatView('c');
    view.own('m');
    const back = view.receive(opened(talk(user('m'), reply('r', 'm', 'Hello'))));
    expect(seen(back)).toBe('<begin>Hello<end>');
    expect(seen(view.receive(end(reply('r', 'm', 'Hello'))))).toBe('');
  });

  it('has what the person says elsewhere, but not again what is said here', () => {
    const view = new ChatView('c');
    view.own('m1');
    const stored = (id: string): ServerMessage => ({
      type: 'message-stored',
      conversationId: 'c',
      message: user(id),
      isDuplicate: false,
    });
    const shown = ['m1', 'm2', 'm2'].flatMap((id) => view.receive(stored(id)));
    expect(shown).toEqual([{ kind: 'said', text: 'm2' }]);
  });

  it('has in their order the turns that were missed while the connection was lost', () => {
    const view = new ChatView('c');
    view.opened(opened(talk(user('m1'), reply('r1', 'm1', 'one'))));
    const [m1, r1] = [user('m1'), reply('r1', 'm1', 'one')];
    const later = [user('m2'), reply('r2', 'm2', 'two'), user('m3'), reply('r3', 'm3', 'three')];
    const back = view.receive(opened(talk(m1, r1, ...later)));
    expect(seen(back)).toBe('<said><begin>two<end><said><begin>three<end>');
  });

  it('says so when a reply is lost with the daemon', () => {
    const view = new ChatView('c');
    view.own('m');
    view.receive(start('r'));
    expect(seen(view.receive(opened(talk(user('m')))))).toBe('<failed>');
    expect(view.isReplying).toBe(false);
  });

  it('shows nothing of a conversation that is opened for the first time', () => {
    const view = new ChatView('c');
    expect(view.opened(opened(talk(user('m'), reply('r', 'm', 'Hello'))))).toEqual([]);
    expect(view.replies).toHaveLength(1);
  });

  it('begins again when the text on the screen was not the beginning', () => {
    const view = new ChatView('c');
    view.receive(start('r'));
    view.receive(delta('r', 0, 'Hxllo'));
    expect(seen(view.receive(end(reply('r', 'm', 'Hello'))))).toBe('<restart>Hello<end>');
  });

  it('is nothing of other conversations, and a regenerated reply takes the place of the first', () => {
    const view = new ChatView('c');
    const other = { ...delta('r', 0, 'x'), conversationId: 'other' } as ServerMessage;
    expect(view.receive(other)).toEqual([]);
    view.receive(end(reply('r1', 'm', 'one')));
    view.receive(start('r2', 3));
    view.receive(end(reply('r2', 'm', 'two')));
    expect(view.replies.map(({ id }) => id)).toEqual(['r2']);
  });
});
