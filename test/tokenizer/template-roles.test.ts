// Conversations whose roles a template does not take, told by the templates of Mistral and of others.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createChatTemplate } from '../../src/tokenizer/chat-template.ts';
import { fitRoles } from '../../src/tokenizer/template-roles.ts';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';

const FOLDER = join(import.meta.dirname, '../fixtures/tokenizer');
/** Mistral 7B Instruct v0.1: no system role, strictly in turns. Source: its tokenizer_config.json. */
const MISTRAL =
  "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != " +
  "(loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate " +
  "user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}" +
  "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}" +
  "{{ message['content'] + eos_token + ' ' }}{% else %}{{ raise_exception('Only user and " +
  "assistant roles are supported!') }}{% endif %}{% endfor %}";
const DROPS_SYSTEM =
  "{% for m in messages if m.role != 'system' %}{{ m.role + ':' + m.content + ';' }}{% endfor %}";

const system = { role: 'system', content: 'Be kind.' };
const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });

function render(source: string, messages: { role: string; content: string }[]) {
  const namedTokens = { bos_token: '<s>', eos_token: '</s>' };
  const context = { addGenerationPrompt: true, namedTokens, now: new Date(0) };
  const { text, places } = fitRoles(createChatTemplate(source)).render(messages, context);
  const found = places.map(({ message, start, end, contentFrom }) => {
    const content = messages[message]?.content ?? '';
    expect(content.slice(contentFrom, contentFrom + end - start)).toBe(text.slice(start, end));
    return message;
  });
  return { text, found };
}

describe('a template without a system role', () => {
  it.each([
    [MISTRAL, '<s>[INST] Be kind.\n\nhi [/INST]hello</s> [INST] again [/INST]'],
    [DROPS_SYSTEM, 'user:Be kind.\n\nhi;assistant:hello;user:again;'],
  ])('gets the system text in the first turn of the person', (source, text) => {
    const messages = [system, user('hi'), assistant('hello'), user('again')];
    expect(render(source, messages)).toEqual({ text, found: [0, 1, 2, 3] });
  });
});

describe('a template whose roles must alternate', () => {
  it('gets messages of one role as one', () => {
    const messages = [user('a'), user('b'), assistant('c'), assistant('d'), user('e')];
    const text = '<s>[INST] a\n\nb [/INST]c\n\nd</s> [INST] e [/INST]';
    expect(render(MISTRAL, messages)).toEqual({ text, found: [0, 1, 2, 3, 4] });
  });

  it('gets an empty word of the person before a conversation that the model begins', () => {
    const messages = [assistant('Welcome.'), user('hi')];
    const text = '<s>[INST]  [/INST]Welcome.</s> [INST] hi [/INST]';
    expect(render(MISTRAL, messages)).toEqual({ text, found: [0, 1] });
    const greeted = '<s>[INST] Be kind. [/INST]Welcome.</s> [INST] hi [/INST]';
    expect(render(MISTRAL, [system, ...messages])).toEqual({ text: greeted, found: [0, 1, 2] });
  });
});

describe('a template that takes any order', () => {
  it('gets every message as it is', async () => {
    const source = await readFile(join(FOLDER, 'chatml', 'chat_template.jinja'), 'utf8');
    const messages = [system, assistant('Welcome.'), user('a'), user('b')];
    const plain = createChatTemplate(source).render(messages, {
      addGenerationPrompt: true,
      namedTokens: {},
      now: new Date(0),
    });
    expect(render(source, messages)).toEqual({ text: plain.text, found: [0, 1, 2, 3] });
  });
});

it('the tokens of joined messages are found by message and character', async () => {
  const tokenizer = await loadTokenizer(join(FOLDER, 'inst'));
  const messages = [user('first words'), user('second words'), assistant('a reply'), user('more')];
  const { ids, spanToTokens } = tokenizer.renderChat(messages, { addGenerationPrompt: true });
  const [from, to] = spanToTokens(1, 0, 6);
  expect(tokenizer.decode(ids.slice(from, to)).trim()).toBe('second');
});
