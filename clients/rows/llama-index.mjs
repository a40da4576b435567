// LlamaIndex for JavaScript, with its package for OpenAI (its makers no longer maintain either).
import { tool } from '@llamaindex/core/tools';
import { OpenAI } from '@llamaindex/openai';
import { z } from 'zod';
import { ASKED, all, check, refused, WEATHER, words } from '../row.mjs';

export const label = '@llamaindex/openai';

export function rows({ url, callingUrl }) {
  const at = (base, more) =>
    new OpenAI({
      ...{ model: 'attune', apiKey: 'none', maxTokens: 20, maxRetries: 0, ...more },
      baseURL: `${base}/v1`,
    });
  const weather = tool({
    name: WEATHER.name,
    description: WEATHER.description,
    parameters: z.object({ city: z.string() }),
    execute: ({ city }) => `sunny in ${city}`,
  });
  const responseFormat = z.object({ dish: z.string() });
  return {
    chat: async () => words((await at(url).chat({ messages: ASKED })).message.content),
    'chat, streamed': async () => {
      const parts = await all(await at(url).chat({ messages: ASKED, stream: true }));
      return words(parts.map(({ delta }) => delta).join(''));
    },
    complete: async () => words((await at(url).complete({ prompt: 'Soup or salad?' })).text),
    'tools, a whole loop': async () => {
      const messages = [{ role: 'user', content: 'How is the weather?' }];
      const one = await at(callingUrl).exec({ messages, tools: [weather] });
      check(one.toolCalls[0]?.input.city === 'Rome', one);
      const two = await at(callingUrl).exec({
        messages: [...messages, ...one.newMessages],
        tools: [weather],
      });
      return words(two.newMessages.at(-1).content);
    },
    'structured output': refused('response_format', () =>
      at(url).chat({ messages: ASKED, responseFormat }),
    ),
  };
}
