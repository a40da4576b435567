import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { surpriseOf } from '../../src/memory/surprise.ts';
import { createChatTokenizer } from '../../src/tokenizer/chat-tokenizer.ts';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';

const tokenizer = createChatTokenizer(
  await loadTokenizer(join(import.meta.dirname, '../fixtures/tokenizer/chatml')),
);
const turn = (role: 'user' | 'assistant', text: string) => ({ id: text, role, text });

describe('surprise', () => {
  it('is the mean over the person’s tokens alone', async () => {
    const engine = new FakeEngine();
    const turns = [
      turn('user', 'Hello there'),
      turn('assistant', 'Hi'),
      turn('user', 'Only the plan'),
    ];
    // The fake model gives a token the log-probability −((id mod 7) + 1) / 4.
    const { ids, messages } = await tokenizer.renderChat(
      turns.map(({ role, text }) => ({ role, content: text })),
    );
    const own = [0, 2].flatMap((at) =>
      ids.slice(messages[at]?.contentStart, messages[at]?.contentEnd),
    );
    const expected = own.reduce((sum, id) => sum + ((id % 7) + 1) / 4, 0) / own.length;
    expect(await surpriseOf(turns, { engine, tokenizer })).toBeCloseTo(expected, 6);
  });

  it('is unknown without words of the person, and for talks that the window cannot hold', async () => {
    const parts = { engine: new FakeEngine({ windowTokens: 64 }), tokenizer };
    expect(await surpriseOf([turn('assistant', 'Hi')], parts)).toBeUndefined();
    expect(await surpriseOf([], parts)).toBeUndefined();
    expect(await surpriseOf([turn('user', 'long '.repeat(100))], parts)).toBeUndefined();
  });

  it('looks at the end of a long talk only', async () => {
    const turns = Array.from({ length: 400 }, (_, index) =>
      turn(index % 2 === 0 ? 'user' : 'assistant', `turn ${index}`),
    );
    expect(await surpriseOf(turns, { engine: new FakeEngine(), tokenizer })).toBeGreaterThan(0);
  });

  it('lets a dead engine be heard', async () => {
    const engine = new FakeEngine();
    engine.die();
    await expect(surpriseOf([turn('user', 'hi')], { engine, tokenizer })).rejects.toMatchObject({
      code: 'engine-failed',
    });
  });
});
