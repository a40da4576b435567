import type OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { textOfIds } from '../fakes/fake-tokenizer.ts';
import { openOpenaiHouse } from './openai-house.ts';

const house = openOpenaiHouse();

const user = (content: string) => ({ role: 'user' as const, content });
const assistant = (content: string) => ({ role: 'assistant' as const, content });
const prompts = () => house.daemon.engine.requests.map(({ ids }) => textOfIds(ids));
const stored = () => house.daemon.store.conversations.size;

type Body = Omit<OpenAI.ChatCompletionCreateParamsNonStreaming, 'model'>;
async function ask(body: Body | object): Promise<OpenAI.ChatCompletion> {
  const whole = { model: 'attune', ...body } as OpenAI.ChatCompletionCreateParamsNonStreaming;
  const answer = house.client.chat.completions.create(whole);
  return answer.finally(() => {
    house.said = undefined;
  });
}

/** The chunks of a stream put together, and the last reason for its end. */
async function streamed(body: object) {
  const stream = await house.client.chat.completions.create({
    model: 'attune',
    ...body,
    stream: true,
  } as OpenAI.ChatCompletionCreateParamsStreaming);
  const texts: string[] = [];
  const calls: OpenAI.ChatCompletionChunk.Choice.Delta.ToolCall[] = [];
  const finish: (string | null)[] = [];
  const chunks: OpenAI.ChatCompletionChunk[] = [];
  for await (const chunk of stream) {
    chunks.push(chunk);
    for (const { index, delta, finish_reason: reason } of chunk.choices) {
      texts[index] = (texts[index] ?? '') + (delta.content ?? '');
      calls.push(...(delta.tool_calls ?? []));
      if (reason !== null) finish[index] = reason;
    }
  }
  house.said = undefined;
  return { texts, calls, finish, chunks };
}

describe('a chat completion', () => {
  it('has as many choices as are asked for, whole and streamed, and one is kept', async () => {
    const before = stored();
    const body = { messages: [user('twice')], n: 2, seed: 7, temperature: 1 };
    const { choices, usage } = await ask(body);
    expect(choices.map(({ index, message }) => [index, message.content])).toEqual([
      [0, 'You said: twice'],
      [1, 'You said: twice'],
    ]);
    expect(usage?.completion_tokens).toBe(30);
    expect(usage?.prompt_tokens).toBe(8);
    const seeds = house.daemon.engine.requests.slice(-2).map(({ sampling }) => sampling.seed);
    expect(seeds.sort()).toEqual([7, 8]);
    const { texts, finish } = await streamed(body);
    expect([texts, finish]).toEqual([Array(2).fill('You said: twice'), ['stop', 'stop']]);
    expect(stored()).toBe(before + 1);
  });

  it('has its penalties and biases kept to', async () => {
    const logit_bias = { 5: -100, 70: 1.5 };
    await ask({ messages: [user('x')], presence_penalty: 0.5, frequency_penalty: -1, logit_bias });
    expect(house.daemon.engine.requests.at(-1)?.adjustment).toEqual({
      presencePenalty: 0.5,
      frequencyPenalty: -1,
      bias: [
        [5, -100],
        [70, 1.5],
      ],
    });
    await ask({ messages: [user('x')], presence_penalty: 0, frequency_penalty: 0, logit_bias: {} });
    expect(house.daemon.engine.requests.at(-1)).not.toHaveProperty('adjustment');
  });

  it('is greedy at temperature 0 and at top_p 0, and takes the names that others have', async () => {
    await ask({ messages: [user('x')], temperature: 0, top_p: 0, repeat_penalty: 1.2 });
    expect(house.daemon.engine.requests.at(-1)?.sampling).toMatchObject({
      ...{ temperature: 0, topP: 0, topK: 0, repetitionPenalty: 1.2 },
    });
    await ask({ messages: [user('x')], temperature: 0 });
    expect(house.daemon.engine.requests.at(-1)?.sampling.repetitionPenalty).toBe(1);
  });

  it('has no limit of tokens with -1, and ignores stop strings that are empty', async () => {
    const text = 'x'.repeat(600);
    const { choices } = await ask({ messages: [user(text)], max_tokens: -1, stop: ['', ''] });
    expect(choices[0]?.message.content).toBe(`You said: ${text}`);
    expect(choices[0]?.finish_reason).toBe('stop');
  });

  it('goes on with a last message of the model, and keeps both as one reply', async () => {
    house.said = ' blind mice';
    const { choices } = await ask({ messages: [user('Sing.'), assistant('Three')] });
    expect(choices[0]?.message.content).toBe(' blind mice');
    expect(prompts().at(-1)).toBe('<user>Sing.<end><assistant>Three');
    const [newest] = house.daemon.store.conversations.list({ limit: 1 }).conversations;
    const { entries } = await house.daemon.store.conversations.read(newest?.id ?? '');
    expect(entries.map(({ text }) => text)).toEqual(['Sing.', 'Three blind mice']);
    await ask({ messages: [user('Sing.'), assistant('Three blind mice'), user('More.')] });
    const { entries: later } = await house.daemon.store.conversations.read(newest?.id ?? '');
    expect(later).toHaveLength(4);
  });

  it('answers a system prompt alone, or empty words, and keeps nothing of it', async () => {
    const before = stored();
    house.said = 'Hello there.';
    const { choices } = await ask({ messages: [{ role: 'system', content: 'Greet.' }] });
    expect(choices[0]?.message.content).toBe('Hello there.');
    expect(prompts().at(-1)).toBe('<system>Greet.<end><assistant>');
    await ask({ messages: [user('')] });
    const more = { add_generation_prompt: false, continue_final_message: true };
    await ask({ messages: [assistant('Once')], ...more });
    expect(prompts().slice(-2)).toEqual(['<user><end><assistant>', '<user><end><assistant>Once']);
    expect(stored()).toBe(before);
  });

  it('has the bytes of every token, and the fingerprint of the weights in every chunk', async () => {
    const { chunks } = await streamed({
      messages: [user('x')],
      ...{ logprobs: true, stream_options: { include_usage: true } },
    });
    for (const chunk of chunks) expect(chunk.system_fingerprint).toBe('v0');
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    const tokens = chunks.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? []);
    expect(tokens.flatMap(({ bytes }) => bytes)).toEqual([...Buffer.from('You said: x')]);
  });

  const refused: [object, string, RegExp][] = [
    [{ temperature: 9 }, 'temperature', /<=5/],
    [{ temperture: 1 }, 'temperture', /not known/],
    [{ response_format: { type: 'json_object' } }, 'response_format', /upstream/],
    [{ grammar: 'root ::= "a"' }, 'grammar', /upstream/],
    [{ min_tokens: 5 }, 'min_tokens', /upstream/],
    [{ max_tokens: 0 }, 'max_tokens', /-1/],
    [{ n: 99 }, 'n', /16/],
    [{ top_logprobs: 3 }, 'top_logprobs', /logprobs/],
    [{ tool_choice: 'required', tools: [] }, 'tool_choice', /upstream/],
    [{ tools: [{ type: 'web_search' }] }, 'tools[0].type', /upstream/],
    [{ logit_bias: { 99999: 1 } }, 'logit_bias', /99999/],
    [{ logit_bias: { word: 1 } }, 'logit_bias.word', /key/],
    [{ truncate_prompt_tokens: 5 }, 'truncate_prompt_tokens', /upstream/],
    [{ add_generation_prompt: false }, 'add_generation_prompt', /is true here/],
    [{ continue_final_message: true }, 'continue_final_message', /is false here/],
    [
      { messages: [assistant('Once')], continue_final_message: false },
      ...(['continue_final_message', /is true here/] as [string, RegExp]),
    ],
    [{ messages: [] }, 'messages', /1/],
    [{ messages: [{ role: 'user' }] }, 'messages[0].content', /./],
    [
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] },
      ...(['messages[0].content[0].type', /image_url parts.*upstream/] as [string, RegExp]),
    ],
  ];
  it.each(refused)('that asks for %j is refused by its name', async (body, param, message) => {
    const before = house.daemon.engine.requests.length;
    const asked = ask({ messages: [user('x')], ...body });
    await expect(asked).rejects.toMatchObject({ status: 400, param });
    await expect(asked).rejects.toThrow(message);
    expect(house.daemon.engine.requests).toHaveLength(before);
  });

  it('takes what asks for nothing', async () => {
    await ask({
      messages: [user('x')],
      ...{ response_format: { type: 'text' }, tools: [], functions: [], user: 'me', suffix: '' },
      ...{ mirostat: 0, mirostat_tau: 5, typical_p: 1, min_tokens: 0, grammar: '', seed: null },
      ...{ parallel_tool_calls: true, service_tier: 'auto', unknown_but_absent: null },
      ...{ add_generation_prompt: true, continue_final_message: false },
      ...{ modalities: ['text'], verbosity: 'medium', cache_prompt: true, stop: null },
    });
  });
});

const TOOLS = [
  {
    type: 'function' as const,
    function: { name: 'weather', parameters: { type: 'object', properties: {} } },
  },
];
const CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>';

describe('tools', () => {
  const question = [user('How is the weather in Rome?')];

  it('are called, and what they answer leads to the reply that is kept', async () => {
    const before = stored();
    house.said = CALL;
    const { choices } = await ask({ messages: question, tools: TOOLS });
    const [choice] = choices;
    expect(choice?.finish_reason).toBe('tool_calls');
    expect(choice?.message.content).toBeNull();
    const [call] = choice?.message.tool_calls ?? [];
    expect(call).toMatchObject({
      type: 'function',
      function: { name: 'weather', arguments: '{"city":"Rome"}' },
    });
    const answered = { role: 'tool', tool_call_id: call?.id ?? '', content: 'Sunny.' };
    const messages = [...question, choice?.message, answered];
    house.said = 'It is sunny.';
    const final = await ask({ messages, tools: TOOLS });
    expect(final.choices[0]?.message.content).toBe('It is sunny.');
    expect(final.usage?.prompt_tokens_details?.cached_tokens).toBeGreaterThan(0);
    expect(stored()).toBe(before + 1);
    const [newest] = house.daemon.store.conversations.list({ limit: 1 }).conversations;
    const { entries } = await house.daemon.store.conversations.read(newest?.id ?? '');
    expect(entries.map(({ text }) => text)).toEqual([question[0]?.content, 'It is sunny.']);
    const later = [...messages, assistant('It is sunny.'), user('Thanks.')];
    await ask({ messages: later, tools: TOOLS });
    expect(prompts().at(-1)).toContain('<tool>Sunny.<end><assistant>It is sunny.<end><user>');
    expect((await house.daemon.store.conversations.read(newest?.id ?? '')).entries).toHaveLength(4);
  });

  it('are called in a stream', async () => {
    house.said = `Let me see.\n${CALL}`;
    const { texts, calls, finish } = await streamed({ messages: question, tools: TOOLS });
    expect([texts, finish]).toEqual([['Let me see.'], ['tool_calls']]);
    expect(calls).toMatchObject([
      { index: 0, type: 'function', function: { name: 'weather', arguments: '{"city":"Rome"}' } },
    ]);
  });

  it('that are offered with tool_choice none are not told of, and words stay words', async () => {
    house.said = CALL;
    const { choices } = await ask({ messages: question, tools: TOOLS, tool_choice: 'none' });
    expect(choices[0]?.message).toMatchObject({ content: CALL });
  });
});
