// Ids against those of transformers (test/fixtures/tokenizer, made by make.py).
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isAttuneError } from '../../src/base/errors.ts';
import type { ChatMessage } from '../../src/tokenizer/rendered-chat.ts';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';

const FOLDER = join(import.meta.dirname, '../fixtures/tokenizer');

interface Expected {
  readonly texts: readonly { text: string; ids: number[]; prompt: number[]; decoded: string }[];
  readonly chats: Readonly<
    Record<string, { messages: ChatMessage[]; ids?: number[]; text?: string; error?: string }>
  >;
}

const expected = JSON.parse(await readFile(join(FOLDER, 'expected.json'), 'utf8')) as Record<
  string,
  Expected
>;

describe.each(Object.keys(expected))('the %s tokenizer', async (name) => {
  const tokenizer = await loadTokenizer(join(FOLDER, name));
  const { texts, chats } = expected[name] as Expected;

  it.each(texts)(
    'encodes and decodes $text as transformers does',
    ({ text, ids, prompt, decoded }) => {
      expect(tokenizer.encode(text)).toEqual(ids);
      expect(tokenizer.encodePrompt(text)).toEqual(prompt);
      expect(tokenizer.decode(ids)).toBe(decoded);
    },
  );

  it.each(Object.entries(chats))('renders the chat %s as transformers does', (key, chat) => {
    const rendered = tokenizer.renderChat(chat.messages, {
      addGenerationPrompt: key.endsWith('+'),
    });
    expect(rendered.text).toBe(chat.text);
    expect(rendered.ids).toEqual(chat.ids);
  });

  it.each(Object.entries(chats))(
    'finds each content of the chat %s among its tokens',
    (key, chat) => {
      const rendered = tokenizer.renderChat(chat.messages, {
        addGenerationPrompt: key.endsWith('+'),
      });
      for (const [index, { content }] of chat.messages.entries()) {
        const tokens = rendered.messages[index];
        const thought = content.lastIndexOf('</think>');
        const isWritten = rendered.text.includes(content.trim()) || thought !== -1;
        expect(tokens?.isWritten).toBe(isWritten);
        if (tokens === undefined || !isWritten) continue;
        const seen = tokenizer.decode(rendered.ids.slice(tokens.contentStart, tokens.contentEnd));
        const kept = rendered.text.includes(content.trim()) ? content : content.slice(thought + 8);
        expect(seen.trim()).toContain(kept.trim());
        // At most the blank of a header before, and a piece of a closing mark after.
        expect(seen.length).toBeLessThanOrEqual(kept.length + 3);
      }
    },
  );
});

describe('typed markup', () => {
  it('is text in what a person says and a token in what a reply says', async () => {
    const tokenizer = await loadTokenizer(join(FOLDER, 'chatml'));
    const think = tokenizer.idOf('<think>');
    const both = [
      { role: 'user', content: '<think><tool_call>' },
      { role: 'assistant', content: '<think>ok</think>' },
    ];
    const { ids, messages } = tokenizer.renderChat(both);
    expect(ids.filter((id) => id === think)).toHaveLength(1);
    expect(ids.indexOf(think ?? -1)).toBe(messages[1]?.contentStart);
    expect(ids).not.toContain(tokenizer.idOf('<tool_call>'));
  });
});

describe('templates', () => {
  it('are read from a list of names, and unknown names are refused', async () => {
    const tokenizer = await loadTokenizer(join(FOLDER, 'thinking'));
    const messages = [{ role: 'user', content: 'hi' }];
    expect(tokenizer.renderChat(messages, { template: 'plain' }).text).toContain('Be kind.');
    expect(tokenizer.renderChat(messages).text).not.toContain('Be kind.');
    expect(() => tokenizer.renderChat(messages, { template: 'none' })).toThrow(
      /default, plain|plain, default/,
    );
  });

  it('refuse with a code and their own words', async () => {
    const tokenizer = await loadTokenizer(join(FOLDER, 'headers'));
    try {
      tokenizer.renderChat([{ role: 'critic', content: 'a' }]);
      throw new Error('nothing was refused');
    } catch (error) {
      expect(isAttuneError(error, 'template-failed')).toBe(true);
      expect((error as Error).message).toContain('Unknown role critic');
    }
  });

  it('take variables such as enable_thinking from the caller', async () => {
    const tokenizer = await loadTokenizer(join(FOLDER, 'thinking'));
    const messages = [{ role: 'user', content: 'hi' }];
    const options = { addGenerationPrompt: true, variables: { enable_thinking: false } };
    expect(tokenizer.renderChat(messages, options).text).toContain('<think>\n\n</think>');
  });

  it('may write a system message far from its place: the map follows it', async () => {
    const tokenizer = await loadTokenizer(join(FOLDER, 'inst'));
    const messages = [
      { role: 'system', content: 'You listen.' },
      { role: 'user', content: 'first words' },
      { role: 'assistant', content: 'a reply' },
      { role: 'user', content: 'last words' },
    ];
    const rendered = tokenizer.renderChat(messages);
    const [from, to] = rendered.spanToTokens(0, 4, 11);
    expect(tokenizer.decode(rendered.ids.slice(from, to)).trim()).toBe('listen.');
    const order = [1, 2, 0, 3].map((index) => rendered.messages[index]?.start ?? -1);
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });
});

describe('a reply', () => {
  it.each(Object.keys(expected))('continues its prompt and ends its turn (%s)', async (name) => {
    const tokenizer = await loadTokenizer(join(FOLDER, name));
    const messages = [{ role: 'user', content: 'Please cancel it.' }];
    const { prompt, replyIds } = tokenizer.renderReply(messages, "It's cancelled.");
    const asked = tokenizer.renderChat(messages, { addGenerationPrompt: true });
    expect(prompt.ids).toEqual(asked.ids);
    expect(tokenizer.stopIds).toContain(replyIds.at(-1));
    expect(tokenizer.decode(replyIds).trim()).toBe("It's cancelled.");
    // The whole chat, rendered with these very tokens, begins with the prompt and goes on with them.
    const reply = { role: 'assistant', content: "It's cancelled.", ids: replyIds.slice(0, -1) };
    const whole = tokenizer.renderChat([...messages, reply]);
    expect(whole.ids.slice(0, prompt.ids.length + replyIds.length)).toEqual([
      ...prompt.ids,
      ...replyIds,
    ]);
  });

  it('is continued by hand where the template writes past replies differently', async () => {
    const tokenizer = await loadTokenizer(join(FOLDER, 'thinking'));
    const variables = { enable_thinking: false };
    const { prompt, replyIds } = tokenizer.renderReply([{ role: 'user', content: 'hi' }], 'Hello', {
      variables,
    });
    expect(prompt.text.endsWith('</think>\n\n')).toBe(true);
    expect(tokenizer.decode(replyIds)).toBe('Hello');
    expect(replyIds.at(-1)).toBe(tokenizer.idOf('<|im_end|>'));
  });
});
