// Thoughts in the templates of Qwen3, which drops them, and of DeepSeek-R1, which begins them.
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createChatTokenizer } from '../../src/tokenizer/chat-tokenizer.ts';
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.ts';

const FOLDER = join(import.meta.dirname, '../fixtures/tokenizer');
const TURN = "{{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}";
/** As Qwen3's: the last reply has a thought, if only an empty one. */
const QWEN3 = `{%- for message in messages %}{%- set content = message.content %}
{%- if message.role == 'assistant' %}{%- set thought = '' %}
{%- if '</think>' in content %}{%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}
{%- if loop.last %}{%- set content = '<think>\\n' + thought + '\\n</think>\\n\\n' + content %}{%- endif %}
{%- endif %}${TURN}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}`;
const R1 = `{%- for message in messages %}{%- set content = message.content.split('</think>')[-1] %}${TURN}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n' }}{%- endif %}`;
const ASKED = [{ role: 'user', content: 'hi' }];

let root: string;
let qwen3: Tokenizer;
let r1: Tokenizer;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'attune-thought-'));
  [qwen3, r1] = await Promise.all([load('qwen3', QWEN3), load('r1', R1)]);
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function load(name: string, template: string): Promise<Tokenizer> {
  const folder = join(root, name);
  await cp(join(FOLDER, 'chatml'), folder, { recursive: true });
  await writeFile(join(folder, 'chat_template.jinja'), template);
  return loadTokenizer(folder);
}

describe('a model', () => {
  it('has thoughts where its template or its vocabulary has their marks', async () => {
    expect(qwen3.thoughts).toBe('written');
    expect((await loadTokenizer(join(FOLDER, 'chatml'))).thoughts).toBe('unwritten');
    expect((await loadTokenizer(join(FOLDER, 'inst'))).thoughts).toBe('none');
  });

  it('is said to be thinking where the template begins the thought', async () => {
    const request = { addGenerationPrompt: true };
    expect((await createChatTokenizer(r1).renderChat(ASKED, request)).isThinking).toBe(true);
    expect((await createChatTokenizer(qwen3).renderChat(ASKED, request)).isThinking).toBe(false);
    const asked = [{ role: 'user', content: '<think>' }];
    expect((await createChatTokenizer(r1).renderChat(asked)).isThinking).toBe(false);
  });
});

describe('a reply that is learnt', () => {
  it.each([
    ['thinking is on', {}],
    ['thinking is off', { enable_thinking: false }],
  ])('holds no thought of the template, where %s', (_case, variables) => {
    const { prompt, replyIds } = qwen3.renderReply(ASKED, 'Hello', { variables });
    expect(qwen3.decode(replyIds)).toBe('Hello');
    expect(qwen3.decode(prompt.ids)).toMatch(/<think>\n\n<\/think>\n\n$/);
  });

  it('comes after the end of the thought that the template began', () => {
    const { prompt, replyIds } = r1.renderReply(ASKED, 'Hello');
    expect(r1.decode(replyIds)).toBe('Hello');
    expect(r1.decode(prompt.ids)).toMatch(/<think>\n\n<\/think>\n\n$/);
    expect(prompt.ids.filter((id) => id === r1.idOf('</think>'))).toHaveLength(1);
  });
});

it('earlier thoughts are dropped as the template says, and the words keep their blanks', () => {
  const reply = { role: 'assistant', content: '<think>\nHm.\n</think>\n\n    code' };
  const { text } = qwen3.renderChat([...ASKED, reply, ...ASKED]);
  expect(text).not.toContain('Hm.');
  expect(text).toContain('assistant\n    code<|im_end|>');
});
