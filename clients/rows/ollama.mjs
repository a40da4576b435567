// ollama, the package of Ollama for JavaScript.
import { Ollama } from 'ollama';
import { ASKED, all, check, refused, TOOL, words } from '../row.mjs';

export function rows({ url, callingUrl }) {
  const client = new Ollama({ host: url });
  const calling = new Ollama({ host: callingUrl });
  const body = { model: 'attune', messages: ASKED, options: { num_predict: 8 } };
  return {
    list: async () => (await client.list()).models.map(({ name }) => name),
    show: async () => (await client.show({ model: 'attune' })).capabilities,
    version: async () => (await client.version()).version,
    chat: async () => words((await client.chat(body)).message.content),
    'chat, streamed': async () => {
      const parts = await all(await client.chat({ ...body, stream: true }));
      words(parts.map(({ message }) => message.content).join(''));
      return check(parts.at(-1).done && parts.at(-1).eval_count > 0, parts.at(-1)).eval_count;
    },
    'chat, ended by the client': async () => {
      const stream = await client.chat({ ...body, options: { num_predict: 24 }, stream: true });
      for await (const _part of stream) break;
      stream.abort();
      return 'abort';
    },
    generate: async () =>
      words((await client.generate({ ...body, prompt: 'Hello.', messages: undefined })).response),
    'generate, raw and streamed': async () => {
      const given = { ...body, prompt: 'Once upon', raw: true, stream: true, messages: undefined };
      return words((await all(await client.generate(given))).map((one) => one.response).join(''));
    },
    'tools, a whole loop': async () => {
      const given = { model: 'attune', messages: ASKED, tools: [TOOL] };
      const { message } = await calling.chat(given);
      check(message.tool_calls?.[0]?.function.arguments.city === 'Rome', message);
      const told = { role: 'tool', tool_name: 'weather', content: 'sunny' };
      const after = await calling.chat({ ...given, messages: [...ASKED, message, told] });
      return words(after.message.content);
    },
    'structured output': refused('format', () => client.chat({ ...body, format: 'json' })),
    'an image': refused('image', () =>
      client.chat({ ...body, messages: [{ role: 'user', content: 'What?', images: ['AAAA'] }] }),
    ),
    embed: refused('embed', () => client.embed({ model: 'attune', input: 'x' })),
  };
}
