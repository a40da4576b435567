import type OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { idsOf, textOfIds } from '../fakes/fake-tokenizer.ts';
import { openOpenaiHouse } from './openai-house.ts';

const house = openOpenaiHouse();

const lastPrompt = () => textOfIds(house.daemon.engine.requests.at(-1)?.ids ?? []);
const CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>';

describe('a completion', () => {
  it('goes on with a text as it is, echoed if asked for, and is not kept', async () => {
    const before = house.daemon.store.conversations.size;
    house.said = ' blind mice';
    const body = { model: 'attune', prompt: 'Three', max_tokens: 6 };
    const { choices, usage } = await house.client.completions.create(body);
    expect(choices).toEqual([
      { index: 0, text: ' blind', logprobs: null, finish_reason: 'length' },
    ]);
    expect(lastPrompt()).toBe('Three');
    expect(usage?.total_tokens).toBe(11);
    const echoed = await house.client.completions.create({ ...body, echo: true, stop: ['mi'] });
    expect(echoed.choices[0]?.text).toBe('Three blind');
    expect(house.daemon.store.conversations.size).toBe(before);
  });

  it('has choices of several prompts, as text or as ids, and streams them', async () => {
    house.said = '!';
    const body = { model: 'attune', prompt: ['a', 'b'], n: 2, logprobs: 1 };
    const { choices, usage } = await house.client.completions.create(body);
    expect(choices.map(({ index, text }) => [index, text])).toEqual(
      [0, 1, 2, 3].map((index) => [index, '!']),
    );
    expect([usage?.prompt_tokens, usage?.completion_tokens]).toEqual([2, 4]);
    expect(choices[0]?.logprobs).toMatchObject({ tokens: ['!'], text_offset: [0] });
    const ids = { ...body, prompt: idsOf('xy'), n: 1, stream: true as const };
    let text = '';
    for await (const chunk of await house.client.completions.create(ids))
      text += chunk.choices[0]?.text;
    expect([text, lastPrompt()]).toEqual(['!', 'xy']);
  });

  it.each([
    [{ prompt: '' }, 'prompt'],
    [{ prompt: [999_999] }, 'prompt'],
    [{ prompt: 'x', suffix: 'y' }, 'suffix'],
    [{ prompt: 'x', best_of: 3 }, 'best_of'],
    [{ prompt: 'x', echo: true, logprobs: 1 }, 'echo'],
  ])('of %j is refused by name', async (body, param) => {
    const asked = house.client.completions.create({ model: 'attune', ...body });
    await expect(asked).rejects.toMatchObject({ status: 400, param });
  });
});

describe('a response', () => {
  const tools = [
    { type: 'function' as const, name: 'weather', parameters: {}, strict: false, description: 'W' },
  ];

  it('says what is said, with instructions, and goes on in the same conversation', async () => {
    house.said = undefined;
    const before = house.daemon.store.conversations.size;
    const first = await house.client.responses.create({
      ...{ model: 'attune', input: 'hello', instructions: 'Be brief.', max_output_tokens: 100 },
    });
    expect(first).toMatchObject({ output_text: 'You said: hello', status: 'completed' });
    expect(lastPrompt()).toBe('<system>Be brief.<end><user>hello<end><assistant>');
    expect(first.usage?.output_tokens).toBe(15);
    const input = [
      { role: 'user' as const, content: 'hello' },
      ...(first.output as OpenAI.Responses.ResponseInputItem[]),
      { role: 'user' as const, content: [{ type: 'input_text' as const, text: 'again' }] },
    ];
    const again = await house.client.responses.create({
      ...{ model: 'attune', input, instructions: 'Be brief.', max_output_tokens: 3 },
    });
    expect(again).toMatchObject({
      ...{ output_text: 'You', status: 'incomplete' },
      incomplete_details: { reason: 'max_output_tokens' },
    });
    expect(house.daemon.store.conversations.size).toBe(before + 1);
  });

  it('streams its events in their order, which the client puts together', async () => {
    house.said = `Let me see.\n${CALL}`;
    const stream = house.client.responses.stream({ model: 'attune', input: 'weather?', tools });
    const types: string[] = [];
    const numbers: number[] = [];
    for await (const one of stream) {
      if (types.at(-1) !== one.type) types.push(one.type);
      numbers.push(one.sequence_number);
    }
    expect(numbers).toEqual(numbers.map((_, index) => index));
    expect(types).toEqual([
      ...['response.created', 'response.in_progress', 'response.output_item.added'],
      ...['response.content_part.added', 'response.output_text.delta'],
      ...['response.output_text.done', 'response.content_part.done', 'response.output_item.done'],
      ...['response.output_item.added', 'response.function_call_arguments.delta'],
      ...['response.function_call_arguments.done', 'response.output_item.done'],
      'response.completed',
    ]);
    const whole = await stream.finalResponse();
    expect(whole.output[0]).toMatchObject({ content: [{ text: 'Let me see.' }] });
    const called = whole.output[1] as OpenAI.Responses.ResponseFunctionToolCall;
    expect(called).toMatchObject({ name: 'weather', arguments: '{"city":"Rome"}' });
    house.said = 'Sunny.';
    const { call_id } = called;
    const output = { type: 'function_call_output' as const, call_id, output: 'sun' };
    const final = await house.client.responses.create({
      ...{ model: 'attune', tools },
      input: [{ role: 'user', content: 'weather?' }, called, output],
    });
    expect(final.output_text).toBe('Sunny.');
    expect(lastPrompt()).toContain('<tool>sun<end>');
  });

  it.each([
    [{ previous_response_id: 'resp_1' }, 'previous_response_id', /upstream/],
    [{ text: { format: { type: 'json_object' } } }, 'text.format', /upstream/],
    [{ tools: [{ type: 'web_search' }] }, 'tools[0].type', /upstream/],
    [{ max_output_tokens: 0 }, 'max_output_tokens', /-1/],
    [{ temprature: 0 }, 'temprature', /not known/],
    [{ input: [{ type: 'item_reference', id: 'x' }] }, 'input[0].content[0].type', /upstream/],
  ])('with %j is refused by name', async (body, param, message) => {
    const asked = house.client.responses.create({ model: 'attune', input: 'x', ...body } as never);
    await expect(asked).rejects.toMatchObject({ status: 400, param });
    await expect(asked).rejects.toThrow(message);
  });
});

describe('what is kept on the servers of OpenAI', () => {
  it('is refused with the reason', async () => {
    const { responses, chat, models } = house.client;
    for (const asked of [responses.retrieve('resp_1'), chat.completions.retrieve('x')]) {
      await expect(asked).rejects.toMatchObject({ status: 404 });
      await expect(asked).rejects.toThrow(/upstream/);
    }
    await expect(models.delete('attune')).rejects.toMatchObject({ status: 405 });
  });
});

describe("Ollama's API", () => {
  async function post(path: string, body: object) {
    const response = await fetch(`${house.daemon.url}/api/${path}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ model: 'attune:latest', ...body }),
    });
    const lines = (await response.text()).trimEnd().split('\n');
    return { status: response.status, lines: lines.map((line) => JSON.parse(line) as object) };
  }
  const messages = [{ role: 'user', content: 'hello' }];

  it('chats, whole and streamed, with its options', async () => {
    house.said = undefined;
    const options = { temperature: 0, num_predict: 5, num_ctx: 8192, repeat_penalty: 1.3, seed: 4 };
    const whole = await post('chat', { messages, options, stream: false });
    expect(whole.lines).toMatchObject([
      { message: { role: 'assistant', content: 'You s' }, done: true, done_reason: 'length' },
    ]);
    expect(house.daemon.engine.requests.at(-1)).toMatchObject({
      replyTokensMax: 5,
      sampling: { temperature: 0, repetitionPenalty: 1.3, seed: 4 },
    });
    const { lines } = await post('chat', { messages, options: { num_predict: -1 } });
    const texts = lines.map((line) => (line as { message: { content: string } }).message.content);
    expect(texts.join('')).toBe('You said: hello');
    expect(lines.at(-1)).toMatchObject({ done: true, done_reason: 'stop', eval_count: 15 });
  });

  it('calls tools, and takes what they answer', async () => {
    house.said = CALL;
    const tools = [{ type: 'function', function: { name: 'weather', parameters: {} } }];
    const { lines } = await post('chat', { messages, tools, stream: false });
    const [{ message }] = lines as [{ message: { tool_calls: object[] } }];
    expect(message.tool_calls).toMatchObject([
      { function: { name: 'weather', arguments: { city: 'Rome' } } },
    ]);
    house.said = 'Sunny.';
    const answered = { role: 'tool', tool_name: 'weather', content: 'sun' };
    await post('chat', { messages: [...messages, message, answered], tools });
    expect(lastPrompt()).toContain('<tool>sun<end>');
  });

  it('generates with the template and without it', async () => {
    house.said = 'Yes.';
    const { lines } = await post('generate', { prompt: 'So?', system: 'Be brief.', stream: false });
    expect(lines).toMatchObject([{ response: 'Yes.', done: true }]);
    expect(lastPrompt()).toBe('<system>Be brief.<end><user>So?<end><assistant>');
    await post('generate', { prompt: 'Once', raw: true });
    expect(lastPrompt()).toBe('Once');
    expect((await post('generate', {})).lines).toMatchObject([{ done: true, done_reason: 'load' }]);
  });

  it('tells of its models and its version', async () => {
    const read = async (path: string) => (await fetch(`${house.daemon.url}/api/${path}`)).json();
    for (const path of ['tags', 'ps'])
      expect(await read(path)).toMatchObject({ models: [{ name: 'attune:latest' }, {}] });
    expect(await read('version')).toEqual({ version: expect.stringMatching(/^\d/) });
    expect((await post('show', {})).lines).toMatchObject([
      { capabilities: ['completion', 'tools'] },
    ]);
  });

  it('takes what names no type of content, as its clients and curl send it, but from no page', async () => {
    house.said = 'Hi.';
    const ask = (headers: Record<string, string>) =>
      fetch(`${house.daemon.url}/api/chat`, {
        ...{ method: 'POST', headers },
        body: Buffer.from(JSON.stringify({ model: 'attune', messages, stream: false })),
      });
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
    expect([(await ask({})).status, (await ask(form)).status]).toEqual([200, 200]);
    expect((await ask({ ...form, Origin: house.daemon.url })).status).toBe(400);
    expect((await ask({ ...form, Origin: 'https://elsewhere.example' })).status).toBe(403);
  });

  it.each([
    ['embed', { input: 'x' }, 404, /embed.*upstream/],
    ['pull', {}, 404, /pull/],
    ['chat', { messages, model: 'llama3' }, 404, /llama3/],
    ['chat', { messages, format: 'json' }, 400, /format.*upstream/],
    ['chat', { messages: [{ role: 'user', content: 'x', images: ['AAAA'] }] }, 400, /upstream/],
    ['chat', { messages, options: { num_predict: 0 } }, 400, /num_predict/],
    ['chat', { messages, options: { mirostat: 2 } }, 400, /mirostat/],
    ['generate', { prompt: 'x', suffix: 'y' }, 400, /suffix.*upstream/],
  ])('refuses %s with %j in one text', async (path, body, status, message) => {
    const answer = await post(path, body);
    expect(answer.status).toBe(status);
    expect(answer.lines).toEqual([{ error: expect.stringMatching(message) }]);
  });
});
