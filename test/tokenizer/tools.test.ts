// Tools in the templates of Qwen 2.5, Llama 3.1 and Mistral, shortened to what they do with tools.
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ChatMessage } from '../../src/tokenizer/rendered-chat.ts';
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.ts';

const FOLDER = join(import.meta.dirname, '../fixtures/tokenizer/chatml');
const TURN = "'<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n'";
const BEGIN = "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";
const QWEN = `{%- if tools %}{{- '<|im_start|>system\\n# Tools' }}
{%- for tool in tools %}{{- '\\n' + (tool | tojson) }}{%- endfor %}{{- '<|im_end|>\\n' }}{%- endif %}
{%- for message in messages %}{%- if message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- elif message.tool_calls %}{{- '<|im_start|>assistant' }}
{%- if message.content %}{{- '\\n' + message.content }}{%- endif %}
{%- for call in message.tool_calls %}{%- set call = call.function %}
{{- '\\n<tool_call>\\n{"name": "' + call.name + '", "arguments": ' + (call.arguments | tojson) + '}\\n</tool_call>' }}
{%- endfor %}{{- '<|im_end|>\\n' }}{%- else %}{{- ${TURN} }}{%- endif %}{%- endfor %}${BEGIN}`;
const LLAMA = `{%- for message in messages %}{%- if message.role == 'tool' %}
{{- '<|im_start|>ipython\\n' + (message.content | tojson) + '<|im_end|>' }}
{%- elif 'tool_calls' in message %}{%- if message.tool_calls | length != 1 %}{{- raise_exception('one call') }}{%- endif %}
{{- '<|im_start|>assistant\\n{"name": "' + message.tool_calls[0].function.name + '"}<|im_end|>' }}
{%- else %}{{- ${TURN} }}{%- endif %}{%- endfor %}{%- if tools %}{{- tools | length }}{%- endif %}${BEGIN}`;
const MISTRAL = `{%- for message in messages %}{%- if message.tool_calls %}
{%- for call in message.tool_calls %}{%- if call.id | length != 9 %}{{- raise_exception('ids of 9') }}{%- endif %}{{- '[' + call.id + ']' }}{%- endfor %}
{%- elif message.role == 'tool' %}{{- message.tool_call_id + ':' + message.content }}
{%- else %}{{- ${TURN} }}{%- endif %}{%- endfor %}{%- if tools %}{%- endif %}`;

const TOOLS = [{ type: 'function', function: { name: 'weather', parameters: {} } }];
const CALL = { id: 'call_0123456789', name: 'weather', arguments: '{"city": "Rome"}' };
const said = (content: string): ChatMessage[] => [
  { role: 'user', content: 'Weather?' },
  { role: 'assistant', content: '', toolCalls: [CALL] },
  { role: 'tool', content, toolCallId: CALL.id },
];

let root: string;
const tokenizers = new Map<string, Tokenizer>();
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'attune-tools-'));
  for (const [name, template] of Object.entries({ QWEN, LLAMA, MISTRAL })) {
    const folder = join(root, name);
    await cp(FOLDER, folder, { recursive: true });
    await writeFile(join(folder, 'chat_template.jinja'), template);
    tokenizers.set(name, await loadTokenizer(folder));
  }
  tokenizers.set('NONE', await loadTokenizer(FOLDER));
});
afterAll(() => rm(root, { recursive: true, force: true }));

function render(name: string, messages: readonly ChatMessage[], more: object = {}): string {
  const tokenizer = tokenizers.get(name) as Tokenizer;
  return tokenizer.renderChat(messages, { addGenerationPrompt: true, ...more }).text;
}

describe('a template that takes tools', () => {
  it('writes them, their calls and what they answered', () => {
    expect(tokenizers.get('QWEN')?.takesTools).toBe(true);
    expect(render('QWEN', said('Sunny.'), { tools: TOOLS })).toBe(
      '<|im_start|>system\n# Tools\n' +
        '{"type": "function", "function": {"name": "weather", "parameters": {}}}<|im_end|>\n' +
        '<|im_start|>user\nWeather?<|im_end|>\n<|im_start|>assistant\n<tool_call>\n' +
        '{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call><|im_end|>\n' +
        '<|im_start|>user\n<tool_response>\nSunny.\n</tool_response><|im_end|>\n' +
        '<|im_start|>assistant\n',
    );
  });

  it('may write an answer as JSON, if that spells no control token', () => {
    expect(render('LLAMA', said('a "b"\n[c] <d>'))).toContain('ipython\n"a \\"b\\"\\n[c] <d>"');
    expect(() => render('LLAMA', said('a\n<|im_end|>'))).toThrow(/cannot be found/);
  });

  it('gets ids of calls of nine letters and digits, the same for a call and its answer', () => {
    const [, id = ''] = /\[(\w{9})\]/.exec(render('MISTRAL', said('Sunny.'))) ?? [];
    expect(render('MISTRAL', said('Sunny.'))).toContain(`[${id}]${id}:Sunny.`);
  });

  it('gets no tools or calls that spell a control token', () => {
    const call = { ...CALL, arguments: '{"a": "<|im_end|>"}' };
    const messages = [{ role: 'assistant', content: '', toolCalls: [call] }];
    expect(() => render('QWEN', messages)).toThrow(/control token/);
    const tools = [{ ...TOOLS[0], description: '<|im_start|>system' }];
    expect(() => render('QWEN', said('x').slice(0, 1), { tools })).toThrow(/control token/);
  });
});

it('a template without a place for tools gets calls and answers as words', () => {
  expect(tokenizers.get('NONE')?.takesTools).toBe(false);
  const text = render('NONE', said('Sunny.'));
  expect(text).toContain(
    '<tool_call>\n{"name":"weather","arguments":{"city":"Rome"}}\n</tool_call>',
  );
  expect(text).toContain('<|im_start|>user\n<tool_response>\nSunny.\n</tool_response><|im_end|>');
});

it('a reply begins with the words that it is given', () => {
  const tokenizer = tokenizers.get('QWEN') as Tokenizer;
  const asked = [{ role: 'user', content: 'Count.' }];
  const options = { addGenerationPrompt: true };
  const plain = tokenizer.renderChat(asked, options).ids;
  const begun = tokenizer.renderChat(asked, { ...options, prefill: 'One, <|im_end|>' }).ids;
  expect(begun.slice(0, plain.length)).toEqual(plain);
  const rest = begun.slice(plain.length);
  expect(rest.some((id) => tokenizer.controlIds.has(id))).toBe(false);
  expect(tokenizer.decode(rest)).toBe('One, <|im_end|>');
});

it('a raw prompt has control tokens by their names', () => {
  const tokenizer = tokenizers.get('QWEN') as Tokenizer;
  const ids = tokenizer.encodeRaw('<|im_start|>user');
  expect(ids[0]).toBe(tokenizer.idOf('<|im_start|>'));
  expect(tokenizer.encode('<|im_start|>user')).not.toContain(ids[0]);
});
