import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { callsIn, createToolSplitter } from '../../src/chat/tool-calls.ts';

const CALLING = { names: ['weather', 'add'], isSingle: false };

/** What comes of a reply in pieces of a size. */
function read(reply: string, size = reply.length, calling = CALLING) {
  const splitter = createToolSplitter(calling);
  const pieces = Array.from({ length: Math.ceil(reply.length / size) }, (_, at) =>
    reply.slice(at * size, (at + 1) * size),
  );
  const parts = [...pieces.map((piece) => splitter.push(piece)), splitter.end()];
  const calls = parts.flatMap((part) => part.calls);
  return {
    text: parts.map(({ text }) => text).join(''),
    calls: calls.map(({ name, arguments: text }) => [name, JSON.parse(text)]),
    ids: calls.map(({ id }) => id),
  };
}

const ROME = ['weather', { city: 'Rome' }];
const SUM = ['add', { a: 1, b: '}]"' }];
const WEATHER = '{"name": "weather", "arguments": {"city": "Rome"}}';
const ADD = '{"name": "add", "arguments": {"a": 1, "b": "}]\\""}}';

describe('a reply that calls tools', () => {
  it.each([
    ['Hermes', `<tool_call>\n${WEATHER}\n</tool_call>`, '', [ROME]],
    [
      'Qwen',
      `<tool_call>\n${WEATHER}\n</tool_call>\n<tool_call>${ADD}</tool_call>`,
      '',
      [ROME, SUM],
    ],
    ['Hermes, after words', `Let me see.\n<tool_call>${ADD}</tool_call>`, 'Let me see.', [SUM]],
    ['Hermes, not closed', `<tool_call>\n${WEATHER}`, '', [ROME]],
    ['Mistral', `[TOOL_CALLS] [${WEATHER}, ${ADD}]`, '', [ROME, SUM]],
    ['Mistral, newer', '[TOOL_CALLS]weather[ARGS]{"city": "Rome"}', '', [ROME]],
    [
      'Mistral, newer, two of them',
      '[TOOL_CALLS]weather[ARGS]{"city": "Rome"}[TOOL_CALLS]weather[CALL_ID]abcdefghi[ARGS]{}',
      '',
      [ROME, ['weather', {}]],
    ],
    ['Mistral without its mark', `[${WEATHER}]`, '', [ROME]],
    ['Llama 3', '{"name": "weather", "parameters": {"city": "Rome"}}', '', [ROME]],
    ['Llama 3, with its mark', `<|python_tag|>${WEATHER}; ${ADD}`, '', [ROME, SUM]],
    [
      'Llama 3 as OpenAI has it',
      '{"type": "function", "function": {"name": "add", "parameters": {}}}',
      '',
      [['add', {}]],
    ],
    ['a fence', `\`\`\`json\n${WEATHER}\n\`\`\``, `\`\`\`json\n${WEATHER}\n\`\`\``, []],
    ['words', 'It is [sunny] in {Rome}.', 'It is [sunny] in {Rome}.', []],
    ['JSON that is an answer', '{"answer": 42}', '{"answer": 42}', []],
    ['JSON that names another tool', '{"name": "rm", "arguments": {}}', undefined, []],
    ['a call that is none', '<tool_call>rm</tool_call> so', '<tool_call>rm</tool_call> so', []],
    ['nothing', '', '', []],
  ])('is read in the form of %s, in pieces of any size', (_, reply, text = reply, calls) => {
    for (const size of [1, 2, 3, 7, 1_000]) {
      expect(read(reply, size), `pieces of ${size}`).toMatchObject({ text, calls });
    }
  });

  it('has ids that every template takes, and no more calls than it may', () => {
    const reply = `<tool_call>${WEATHER}</tool_call><tool_call>${ADD}</tool_call>`;
    for (const id of read(reply).ids) expect(id).toMatch(/^[A-Za-z0-9]{9}$/);
    expect(read(reply, 5, { ...CALLING, isSingle: true }).calls).toEqual([ROME]);
  });

  it('loses no words of a reply that calls nothing', () => {
    const words = fc.array(
      fc.constantFrom('<tool_call', '>', '[TOOL', '_CALLS', ' ', '\n', 'a', '{', '}', '<|python'),
    );
    fc.assert(
      fc.property(words, fc.integer({ min: 1, max: 9 }), (list, size) => {
        const reply = list.join('');
        fc.pre(!/<tool_call>|\[TOOL_CALLS\]|<\|python_tag\|>/.test(reply));
        expect(read(reply, size)).toMatchObject({ text: reply, calls: [] });
      }),
    );
  });

  it.each([
    ['a text that is JSON', '"{\\"city\\": \\"Rome\\"}"', { city: 'Rome' }],
    ['a text that is not', '"Rome"', 'Rome'],
    ['nothing', 'null', {}],
  ])('has arguments that can be parsed, where the model wrote %s', (_, written, expected) => {
    const [call] = callsIn(`{"name": "weather", "arguments": ${written}}`) ?? [];
    expect(JSON.parse(call?.arguments ?? '')).toEqual(expected);
  });

  it('whose arguments are no JSON has none', () => {
    expect(callsIn('{"name": "add", "arguments": {')).toBeUndefined();
    expect(callsIn('add{"a": }')).toBeUndefined();
  });
});
