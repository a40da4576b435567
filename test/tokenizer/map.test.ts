// The map from messages and characters to tokens, for contents that mean harm or are merely odd.
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { fc } from '../property.ts';

// Many chats are rendered.
vi.setConfig({ testTimeout: 60_000 });

const FOLDER = join(import.meta.dirname, '../fixtures/tokenizer');
const NAMES = ['chatml', 'thinking', 'headers', 'inst', 'inst-always'];
const TRICKS = ['<|im_end|>', '<|im_start|>system\n', '<|eot|>', '</s>', '<s>', '<|end_header|>'];

const piece = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.string({ unit: 'binary', maxLength: 6 }),
  fc.constantFrom(
    ...TRICKS,
    ' ',
    '\n',
    '\n\n',
    '  ',
    '🦙',
    'e\u0301',
    'ﬁ',
    '\u200d',
    '\ufeff',
    '가',
  ),
  fc.constantFrom('Hello', ' world', 'please', ' 12', "don't", '<0x0A>', '▁'),
);
const content = fc.array(piece, { minLength: 1, maxLength: 8 }).map((parts) => parts.join(''));

/** Alternating turns that begin and end with the person. */
const chat = fc
  .array(content, { minLength: 1, maxLength: 5 })
  .map((contents) => contents.slice(0, contents.length - (contents.length % 2 === 0 ? 1 : 0)))
  .map((contents) =>
    contents.map((text, index) => ({
      role: index % 2 === 0 ? 'user' : 'assistant',
      content: text,
    })),
  );

const plain = (text: string): string => text.replace(/\p{Surrogate}/gu, '\ufffd').normalize('NFC');

describe.each(NAMES)('any contents under the %s template', async (name) => {
  const tokenizer = await loadTokenizer(join(FOLDER, name));

  it('never add a control token', () => {
    fc.assert(
      fc.property(chat, (messages) => {
        const harmless = messages.map((message) => ({ ...message, content: 'x' }));
        const count = (list: typeof messages) =>
          tokenizer
            .renderChat(list, { addGenerationPrompt: true })
            .ids.filter((id) => tokenizer.controlIds.has(id)).length;
        expect(count(messages)).toBe(count(harmless));
      }),
      { numRuns: 80 },
    );
  });

  it('are found again, span by span', () => {
    fc.assert(
      fc.property(chat, fc.nat(), fc.nat(), fc.nat(), (messages, which, a, b) => {
        const rendered = tokenizer.renderChat(messages);
        const index = which % messages.length;
        const text = messages[index]?.content ?? '';
        const [start, end] = [a % (text.length + 1), b % (text.length + 1)].sort((x, y) => x - y);
        if (start === undefined || end === undefined) return;
        const lead = text.length - text.trimStart().length;
        const visible = text.slice(Math.max(start, lead), Math.min(end, text.trimEnd().length));
        if (visible.trim() === '') return;
        const [from, to] = rendered.spanToTokens(index, start, end);
        expect(to).toBeGreaterThan(from);
        // Half characters are widened to whole ones; marks that combine across the edge, too.
        const seen = plain(tokenizer.decode(rendered.ids.slice(from, to)));
        const core = plain(visible.replaceAll('▁', ' '))
          .replace(/^\ufffd+|\ufffd+$/g, '')
          .trim();
        if (!/[\p{M}\u200d]/u.test(text)) expect(` ${seen}`.replaceAll('▁', ' ')).toContain(core);
        const { contentStart, contentEnd } = rendered.messages[index] ?? {};
        expect(from).toBeGreaterThanOrEqual(contentStart ?? 0);
        expect(to).toBeLessThanOrEqual(contentEnd ?? 0);
      }),
      { numRuns: 80 },
    );
  });

  it('tile the ids in the order of the text', () => {
    fc.assert(
      fc.property(chat, (messages) => {
        const rendered = tokenizer.renderChat(messages);
        let at = 0;
        for (const tokens of rendered.messages) {
          expect(tokens.start).toBe(at);
          expect(tokens.start).toBeLessThanOrEqual(tokens.contentStart);
          expect(tokens.contentStart).toBeLessThanOrEqual(tokens.contentEnd);
          expect(tokens.contentEnd).toBeLessThanOrEqual(tokens.end);
          at = tokens.end;
        }
        expect(at).toBeLessThanOrEqual(rendered.ids.length);
      }),
      { numRuns: 60 },
    );
  });

  it('keep the prompt a prefix of the chat that follows it', () => {
    fc.assert(
      fc.property(chat, content, (messages, reply) => {
        fc.pre(reply.trim() !== '' && !reply.includes('</think>'));
        const prompt = tokenizer.renderChat(messages, { addGenerationPrompt: true }).ids;
        // As the model would have sampled it.
        const ids = tokenizer.encode(reply);
        const text = tokenizer.decode(ids);
        fc.pre(text.trim() !== '' && !text.includes('\ufffd'));
        const next = [
          ...messages,
          { role: 'assistant', content: text, ids },
          { role: 'user', content: 'go on' },
        ];
        const whole = tokenizer.renderChat(next, { addGenerationPrompt: true }).ids;
        expect(whole.slice(0, prompt.length + ids.length)).toEqual([...prompt, ...ids]);
      }),
      { numRuns: 60 },
    );
  });
});

describe('contents that templates change', async () => {
  const headers = await loadTokenizer(join(FOLDER, 'headers'));
  const thinking = await loadTokenizer(join(FOLDER, 'thinking'));

  it('keep their spans when the template trims them', () => {
    const messages = [{ role: 'user', content: '  \n only this, please \n' }];
    const rendered = headers.renderChat(messages);
    expect(rendered.text).toContain('\n\nonly this, please<|eot|>');
    const [from, to] = rendered.spanToTokens(0, 9, 13);
    expect(headers.decode(rendered.ids.slice(from, to)).trim()).toBe('this');
  });

  it('refuse spans of what was trimmed off', () => {
    const rendered = headers.renderChat([{ role: 'user', content: '   word' }]);
    expect(() => rendered.spanToTokens(0, 0, 2)).toThrowError(/not in the rendered chat/);
    expect(() => rendered.spanToTokens(0, 3, 3)).toThrowError(/not in the rendered chat/);
    expect(() => rendered.spanToTokens(5, 0, 1)).toThrowError(/not in the rendered chat/);
  });

  it('may be empty or nothing but white space', () => {
    for (const content of ['', '   ', '\n']) {
      const messages = [
        { role: 'user', content },
        { role: 'assistant', content },
        { role: 'user', content: 'ok' },
      ];
      const { messages: tokens, ids } = headers.renderChat(messages);
      expect(headers.decode(ids.slice(tokens[2]?.contentStart, tokens[2]?.contentEnd))).toBe('ok');
    }
  });

  it('lose a thought and keep the spans of what follows it', () => {
    const said = '<think>\nhm, <|im_end|>\n</think>\n\nBecause you asked.';
    const rendered = thinking.renderChat([
      { role: 'user', content: 'why?' },
      { role: 'assistant', content: said },
    ]);
    expect(rendered.text).not.toContain('hm,');
    const at = said.indexOf('you');
    const [from, to] = rendered.spanToTokens(1, at, at + 3);
    expect(thinking.decode(rendered.ids.slice(from, to)).trim()).toBe('you');
    expect(() => rendered.spanToTokens(1, 8, 10)).toThrowError(/not in the rendered chat/);
  });

  it('may use the very characters that mark them', () => {
    const content = 'a\u{f0000}b\u{f0001}\u{100000}c';
    const rendered = headers.renderChat([{ role: 'user', content }]);
    const [from, to] = rendered.spanToTokens(0, 0, content.length);
    expect(headers.decode(rendered.ids.slice(from, to))).toBe(content);
  });
});

describe('loss masks', async () => {
  const chatml = await loadTokenizer(join(FOLDER, 'chatml'));
  const messages = [
    { role: 'user', content: 'hello' },
    { role: 'assistant', content: 'Hi there' },
    { role: 'user', content: 'bye' },
  ];

  it('count a reply and the token that ends its turn, and nothing else', () => {
    const rendered = chatml.renderChat(messages);
    const { contentStart, end } = rendered.messages[1] ?? {};
    const counted = rendered.ids.slice(contentStart, end);
    expect(chatml.decode(counted)).toBe('Hi there');
    expect(counted.at(-1)).toBe(chatml.idOf('<|im_end|>'));
  });

  it('leave the generation prompt to nobody', () => {
    const rendered = chatml.renderChat(messages, { addGenerationPrompt: true });
    expect(rendered.messages.at(-1)?.end).toBeLessThan(rendered.ids.length);
  });
});
