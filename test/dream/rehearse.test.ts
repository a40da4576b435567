import { describe, expect, it } from 'vitest';
import { rehearse } from '../../src/dream/rehearse.ts';
import { createModel, random, scripted, writerOf } from './dreaming.ts';

const held = (conversations: number, batchSize = 4, seed = 1) =>
  rehearse({ writer: writerOf(createModel()), random: random(seed), conversations, batchSize });

describe('rehearsal', () => {
  it('gives conversations in which the model wrote both sides and that end with a reply', async () => {
    const engine = createModel();
    const conversations = await rehearse({
      writer: writerOf(engine),
      random: random(1),
      conversations: 12,
      batchSize: 4,
    });
    expect(conversations).toHaveLength(12);
    for (const { messages, chosen, kind, spans, rejected } of conversations) {
      expect(messages.map(({ role }) => role)).toEqual(
        messages.map((_, i) => (i % 2 === 0 ? 'user' : 'assistant')),
      );
      expect(messages.at(-1)?.role).toBe('user');
      expect({ chosen, kind, spans, rejected }).toEqual({
        chosen: 'Whatever passed comes back slowly.',
        kind: 'ordinary',
        spans: [],
        rejected: undefined,
      });
    }
    expect(new Set(conversations.map(({ messages }) => messages.length)).size).toBe(2);
    // Nothing is made likelier than it is.
    for (const { sampling } of engine.requests) {
      expect(sampling).toMatchObject({ temperature: 1, topP: 1, topK: 0, repetitionPenalty: 1 });
    }
  });

  it('is the same for the same seed, in batches of any size', async () => {
    expect(await held(8, 1)).toEqual(await held(8, 8));
    expect(await held(8, 4, 2)).not.toEqual(await held(8));
  });

  it('leaves out what never became an exchange', async () => {
    const silent = createModel((asked) => (asked.role === 'assistant' ? '' : scripted(asked)));
    const parts = { random: random(1), conversations: 6, batchSize: 2 };
    expect(await rehearse({ ...parts, writer: writerOf(silent) })).toEqual([]);
  });

  it('ends with what there is when the budget ends', async () => {
    const writer = writerOf(createModel(), { tokensMax: 60, minutesMax: 60 });
    const conversations = await rehearse({
      writer,
      random: random(1),
      conversations: 500,
      batchSize: 4,
    });
    expect(conversations.length).toBeLessThan(30);
    expect(writer.tokens).toBeLessThanOrEqual(60 + 4 * 48);
  });
});
