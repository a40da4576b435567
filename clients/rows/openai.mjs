// openai, the package of OpenAI for JavaScript.
import OpenAI from 'openai';
import { ASKED, all, CALLED, check, PICTURE, refused, TOOL, WEATHER, words } from '../row.mjs';

export function rows({ url, callingUrl }) {
  const at = (base) => new OpenAI({ baseURL: `${base}/v1`, apiKey: 'none', maxRetries: 0 });
  const client = at(url);
  const calling = at(callingUrl);
  const model = 'attune';
  const body = { model, messages: ASKED, max_tokens: 8 };
  const chat = (more) => client.chat.completions.create({ ...body, ...more });
  const text = async (more) => words((await chat(more)).choices[0].message.content);
  const schema = { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object' } } };
  const image = { type: 'image_url', image_url: { url: PICTURE } };
  return {
    models: async () => (await all(client.models.list())).map(({ id }) => id),
    'one model, by its own name': async () => {
      const { id } = (await all(client.models.list())).at(-1);
      return (await client.models.retrieve(id)).id;
    },
    chat: () => text(),
    'chat, temperature 0 twice': async () => {
      const [one, other] = [await text({ temperature: 0 }), await text({ temperature: 0 })];
      return check(one === other && one, [one, other]);
    },
    'chat, the same seed': async () => {
      const [one, other] = [await text({ seed: 7 }), await text({ seed: 7 })];
      return check(one === other && one, [one, other]);
    },
    'chat, three choices': async () => {
      const { choices, usage } = await chat({ n: 3 });
      check(choices.length === 3 && choices.every(({ index }, i) => index === i), choices);
      return check(usage.completion_tokens > 3, usage).completion_tokens;
    },
    'chat, logprobs with bytes': async () => {
      const { logprobs, message } = (await chat({ logprobs: true, top_logprobs: 2 })).choices[0];
      const bytes = logprobs.content.flatMap((one) => one.bytes);
      check(
        logprobs.content.every((one) => one.top_logprobs.length === 2),
        logprobs,
      );
      return check(Buffer.from(bytes).toString().includes(message.content.trim()), message);
    },
    'chat, stop and empty stop': async () => {
      const whole = await text({ temperature: 0, stop: [''] });
      const letter = whole.trim()[2];
      const { choices } = await chat({ temperature: 0, stop: letter });
      return check(!choices[0].message.content.includes(letter), choices[0]);
    },
    'chat, penalties and logit_bias': () =>
      text({ presence_penalty: 0.5, frequency_penalty: 0.5, logit_bias: { 5: -100 } }),
    'chat, top_p 0 and no limit': () => text({ top_p: 0, max_tokens: -1 }),
    'chat, prefill': () =>
      text({ messages: [...ASKED, { role: 'assistant', content: 'I would like' }] }),
    'chat, a system message alone': () =>
      text({ messages: [{ role: 'developer', content: 'Greet the person.' }] }),
    'chat, a history with tools': () => text({ messages: CALLED }),
    'chat, tools that are not to be called': () => text({ tools: [TOOL], tool_choice: 'none' }),
    'chat, streamed with usage': async () => {
      const parts = await all(
        await chat({ stream: true, stream_options: { include_usage: true } }),
      );
      check(
        parts.slice(0, -1).every(({ usage }) => usage === null),
        parts,
      );
      check(
        parts.every((part) => part.system_fingerprint),
        parts[0],
      );
      words(parts.map(({ choices }) => choices[0]?.delta.content ?? '').join(''));
      return check(parts.at(-1).usage?.total_tokens > 0, parts.at(-1)).usage.total_tokens;
    },
    'chat.stream()': async () => {
      const stream = client.chat.completions.stream(body);
      return words((await stream.finalMessage()).content);
    },
    'chat, ended by the client': async () => {
      const stream = await chat({ stream: true, max_tokens: 20 });
      for await (const _part of stream) break;
      return stream.controller.signal.aborted;
    },
    'tools, a whole loop': async () => {
      const cities = [];
      const run = calling.chat.completions.runTools({
        ...{ model, messages: ASKED },
        tools: [
          {
            type: 'function',
            function: {
              ...WEATHER,
              parse: JSON.parse,
              function: ({ city }) => `${cities.push(city)} degrees`,
            },
          },
        ],
      });
      const found = await run.finalContent();
      return check(found.includes('sunny') && cities[0] === 'Rome', [found, cities]);
    },
    'tools, streamed': async () => {
      const stream = calling.chat.completions.stream({ model, messages: ASKED, tools: [TOOL] });
      const { message, finish_reason } = (await stream.finalChatCompletion()).choices[0];
      check(finish_reason === 'tool_calls' && message.tool_calls.length === 1, message);
      return message.tool_calls[0].function.arguments;
    },
    completions: async () => {
      const given = { model, prompt: 'Once upon a time', max_tokens: 8, echo: true };
      const { choices } = await client.completions.create(given);
      return check(choices[0].text.startsWith('Once upon a time'), choices[0]).text;
    },
    'completions, streamed, two prompts': async () => {
      const given = { model, prompt: ['One', 'Two'], max_tokens: 4, stream: true };
      const parts = await all(await client.completions.create(given));
      return check(new Set(parts.map(({ choices }) => choices[0]?.index)).size === 2, parts.length);
    },
    responses: async () => {
      const given = { model, input: 'Hello.', instructions: 'Be brief.', max_output_tokens: 8 };
      return words((await client.responses.create(given)).output_text);
    },
    'responses, streamed': async () => {
      const stream = client.responses.stream({ model, input: 'Hello.', max_output_tokens: 8 });
      words((await stream.finalResponse()).output_text);
      return 'finalResponse';
    },
    'responses, tools': async () => {
      const tools = [{ type: 'function', strict: false, ...WEATHER }];
      const input = [{ role: 'user', content: 'How is the weather?' }];
      const { output } = await calling.responses.create({ model, input, tools });
      const call = check(output.at(-1).type === 'function_call' && output, output).at(-1);
      const { call_id } = call;
      const answer = { type: 'function_call_output', call_id, output: 'sunny' };
      const next = { model, input: [...input, ...output, answer], tools };
      return words((await calling.responses.create(next)).output_text);
    },
    'structured output': refused('response_format', () => chat({ response_format: schema })),
    embeddings: refused('input', () => client.embeddings.create({ model, input: 'x' })),
    'an image': refused('messages', () =>
      chat({ messages: [{ role: 'user', content: [{ type: 'text', text: 'What?' }, image] }] }),
    ),
    'a tool that must be called': refused('tool_choice', () =>
      calling.chat.completions.create({ ...body, tools: [TOOL], tool_choice: 'required' }),
    ),
    'a name that nobody knows': refused('temprature', () => chat({ temprature: 1 })),
    'another model': refused('gpt-3.5-turbo', () => chat({ model: 'gpt-3.5-turbo' })),
  };
}
