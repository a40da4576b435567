import { describe, expect, it } from 'vitest';
import { chooseSpan, numberWords, walkFlag } from '../../src/cli/chat/chat-flag.ts';

describe('choosing words', () => {
  const text = 'No, please  book the SMALL room.';

  it('is chosen by its number', () => {
    expect(numberWords('one two')).toBe('1:one 2:two');
    expect(chooseSpan(text, '5-6')).toEqual({ start: 21, end: 32, text: 'SMALL room.' });
    expect(chooseSpan(text, '1')).toEqual({ start: 0, end: 3, text: 'No,' });
    for (const wrong of ['0', '9', '6-5', '3-99']) expect(chooseSpan(text, wrong)).toBeUndefined();
  });

  it('takes the words, whatever their case and the blanks between them', () => {
    expect(chooseSpan(text, 'small ROOM')?.text).toBe('SMALL room');
    expect(chooseSpan(text, 'please book')?.text).toBe('please  book');
    expect(chooseSpan(text, '(room)')).toBeUndefined();
    expect(chooseSpan(text, ' ')).toBeUndefined();
  });
});

function walk(answers: readonly (string | undefined)[], kind: 'missed' | 'good' = 'missed') {
  const left = [...answers];
  const told: string[] = [];
  const draft = walkFlag({
    kind,
    flagId: 'f',
    conversationId: 'c',
    reply: { id: 'r', text: 'Booking the large room now.' },
    messages: [
      { id: 'm2', text: 'the small one' },
      { id: 'm1', text: 'I need a quiet room' },
    ],
    ask: async () => left.shift(),
    tell: (text) => void told.push(text),
  });
  return { draft, told };
}

describe('the walk through a flag', () => {
  it('takes spans, better words, strength and reason', async () => {
    expect(await walk(['quiet room', '3', 'The small one it is.', '3', 'size']).draft).toEqual({
      id: 'f',
      conversationId: 'c',
      replyId: 'r',
      kind: 'missed',
      userSpan: { messageId: 'm1', span: { start: 9, end: 19, text: 'quiet room' } },
      replySpan: { start: 12, end: 17, text: 'large' },
      betterWords: 'The small one it is.',
      strength: 3,
      reason: 'size',
    });
  });

  it('takes numbers of the newest message only: no other is shown with numbers', async () => {
    const { draft, told } = walk(['5', '2', '', '', '', '']);
    expect((await draft)?.userSpan?.messageId).toBe('m2');
    expect(told.filter((line) => line.startsWith('Not found'))).toHaveLength(1);
  });

  it('needs nothing but Enter', async () => {
    const base = { id: 'f', conversationId: 'c', replyId: 'r' };
    const none = { userSpan: null, replySpan: null, betterWords: null, reason: null };
    const missed = { ...base, ...none, kind: 'missed', strength: 2 };
    expect(await walk(['', '', '', '', '']).draft).toEqual(missed);
    expect(await walk([''], 'good').draft).toEqual({ ...base, kind: 'good', userSpan: null });
  });

  it('asks again for words that are not there, and takes no strength it does not know', async () => {
    const { draft, told } = walk(['purple', '2-3', '', '', '9', '']);
    expect(await draft).toMatchObject({ userSpan: { messageId: 'm2' }, strength: 2 });
    expect(told.join()).toContain('Not found');
  });

  it('can be given up at any question, also by leaving', async () => {
    for (let at = 0; at < 5; at++) {
      const answers = [...Array.from({ length: at }, () => ''), '/cancel', 'x', 'x'];
      expect(await walk(answers).draft, `question ${at}`).toBeUndefined();
      expect(await walk(answers.slice(0, at)).draft, `left at ${at}`).toBeUndefined();
    }
  });
});
