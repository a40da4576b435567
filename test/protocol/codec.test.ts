import { describe, expect, it, vi } from 'vitest';
import { AttuneError, ERROR_STATUS } from '../../src/base/errors.ts';
import { ClientMessage } from '../../src/protocol/client-message.ts';
import { parseJson, parseServerMessage, parseWith, requestIdOf } from '../../src/protocol/codec.ts';
import { Id, Span } from '../../src/protocol/conversation.ts';
import { CLOSE_CODE } from '../../src/protocol/handshake.ts';
import { ServerMessage } from '../../src/protocol/server-message.ts';
import { fc } from '../property.ts';

// It takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const parseClientMessage = (text: string): ClientMessage =>
  parseWith(ClientMessage, parseJson(text));
const types = (schema: typeof ClientMessage | typeof ServerMessage): string[] =>
  schema.options.flatMap((option) => [...option.shape.type.values]);

describe('a message of the wire', () => {
  it('is named as a noun and an action', () => {
    for (const type of [...types(ClientMessage), ...types(ServerMessage)]) {
      expect(type).toMatch(/^([a-z]+-[a-z]+|error)$/);
    }
  });

  it('from any text is a message or one coded error, of bounded length', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.json(),
      fc.constant('{"type":"x"'.repeat(500)),
    );
    const isOrdinary = (error: unknown): boolean =>
      error instanceof AttuneError &&
      error.code === 'message-invalid' &&
      error.message.length < 2000;
    fc.assert(
      fc.property(text, (input) =>
        [parseClientMessage, parseServerMessage].every((parse) => {
          try {
            parse(input);
            return true;
          } catch (error) {
            return isOrdinary(error);
          }
        }),
      ),
    );
  });

  it('keeps what was written, and gets what was left out', () => {
    const list = parseClientMessage('{"type":"conversation-list"}');
    expect(list).toEqual({ type: 'conversation-list', limit: 50 });
    const flag = { id: 'f', conversationId: 'c', replyId: 'r' };
    expect(parseClientMessage(JSON.stringify({ type: 'flag-add', flag }))).toMatchObject({
      flag: { kind: 'missed', strength: 2, betterWords: null },
    });
  });

  it.each([
    ['{"type":"message-say","conversationId":"c","messageId":"m","text":"x","colour":1}', 'colour'],
    ['{"type":"message-shout"}', 'type'],
    [
      '{"type":"message-say","conversationId":"../etc","messageId":"m","text":"x"}',
      'conversationId',
    ],
    ['{"type":"message-say","conversationId":"c","messageId":"m","text":""}', 'text'],
    ['{"type":"conversation-list","limit":1e9}', 'limit'],
    ['[]', 'expected object'],
    ['{"__proto__":{"type":"heartbeat-ping"}}', 'type'],
  ])('is refused with the place named: %s', (text, named) => {
    expect(() => parseClientMessage(text)).toThrow(named);
  });

  it('gives its request id even when it is wrong', () => {
    expect(requestIdOf({ requestId: 'r', type: 'nonsense' })).toBe('r');
    for (const value of [null, 5, 'r', {}, { requestId: 5 }, { requestId: 'x'.repeat(65) }]) {
      expect(requestIdOf(value)).toBeUndefined();
    }
  });

  it('closes connections with codes that are error codes as well', () => {
    for (const reason of Object.keys(CLOSE_CODE)) expect(ERROR_STATUS).toHaveProperty(reason);
    const codes = Object.values(CLOSE_CODE);
    expect(new Set(codes).size).toBe(codes.length);
  });
});

describe('an id', () => {
  it('is a file name by construction', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 80 }), (text) => {
        if (Id.safeParse(text).success) expect(text).toMatch(/^[\w-]{1,64}$/);
      }),
    );
    for (const wrong of [
      '',
      '.',
      '..',
      '-x',
      'a/b',
      'a\\b',
      'a.b',
      'a b',
      'a\n',
      'ä',
      'x'.repeat(65),
    ]) {
      expect(Id.safeParse(wrong).success, wrong).toBe(false);
    }
  });
});

describe('a span', () => {
  it('is as long as its words', () => {
    expect(Span.safeParse({ start: 2, end: 5, text: 'abc' }).success).toBe(true);
    for (const span of [
      { start: 2, end: 5, text: 'ab' },
      { start: 5, end: 2, text: 'abc' },
      { start: 0, end: 0, text: '' },
      { start: -1, end: 2, text: 'abc' },
      { start: 0.5, end: 3.5, text: 'abc' },
    ]) {
      expect(Span.safeParse(span).success, JSON.stringify(span)).toBe(false);
    }
  });
});

describe('the values of a JSON text', () => {
  it('are counted outside of texts, whatever is in these', () => {
    const text = JSON.stringify(['a,[{"\\', '\\"', { 'x\\\\': ',,,,' }]);
    expect(parseJson(text, 5)).toEqual(JSON.parse(text));
    expect(() => parseJson(text, 4)).toThrow('more than 4 values');
    expect(() => parseJson(`"${'\\"'.repeat(500_000)}`, 4)).toThrow('not JSON');
    expect(() => parseJson(`["${'\\'.repeat(1_000_001)}`, 4)).toThrow('not JSON');
  });
});
