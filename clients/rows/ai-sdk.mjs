// ai, the AI SDK, with its provider for OpenAI-compatible servers and the one for OpenAI.
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { embed, generateObject, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import { all, check, refused, WEATHER, words } from '../row.mjs';

export const label = 'ai';

export function rows({ url, callingUrl }) {
  const compatible = (base) =>
    createOpenAICompatible({ name: 'attune', baseURL: `${base}/v1`, includeUsage: true });
  const openai = (base) => createOpenAI({ baseURL: `${base}/v1`, apiKey: 'none' });
  const asked = { prompt: 'Soup or salad?', maxOutputTokens: 8, maxRetries: 0 };
  const model = compatible(url)('attune');
  const weather = tool({
    description: WEATHER.description,
    inputSchema: z.object({ city: z.string() }),
    execute: ({ city }) => `sunny in ${city}`,
  });
  const loop = async (calling) => {
    const given = { prompt: 'How is the weather?', tools: { weather }, maxRetries: 0 };
    const { text, steps } = await generateText({
      ...given,
      model: calling,
      stopWhen: stepCountIs(3),
    });
    check(steps.length === 2 && text.includes('sunny'), text);
    return JSON.stringify(steps[0].toolResults[0]?.output);
  };
  const streamed = async (one) => {
    const { fullStream, usage } = streamText({ ...asked, model: one });
    const parts = await all(fullStream);
    const error = parts.find(({ type }) => type === 'error');
    if (error) throw error.error;
    words(parts.map((part) => (part.type === 'text-delta' ? part.text : '')).join(''));
    return check((await usage).totalTokens > 0, await usage).totalTokens;
  };
  const schema = z.object({ dish: z.string() });
  return {
    'compatible: generateText': async () => words((await generateText({ ...asked, model })).text),
    'compatible: streamText with usage': () => streamed(model),
    'compatible: tools, a whole loop': () => loop(compatible(callingUrl)('attune')),
    'compatible: completions': async () => {
      const completion = compatible(url).completionModel('attune');
      return words((await generateText({ ...asked, model: completion })).text);
    },
    'compatible: generateObject': refused('response_format', () =>
      generateObject({ ...asked, model, schema }),
    ),
    'compatible: embed': refused('input', () =>
      embed({ model: compatible(url).textEmbeddingModel('attune'), value: 'x', maxRetries: 0 }),
    ),
    'openai(): generateText, by responses': async () =>
      words((await generateText({ ...asked, model: openai(url)('attune') })).text),
    'openai(): streamText, by responses': () => streamed(openai(url)('attune')),
    'openai(): tools, a whole loop': () => loop(openai(callingUrl)('attune')),
    'openai.chat(): streamText': () => streamed(openai(url).chat('attune')),
    'openai.completion(): streamText': () => streamed(openai(url).completion('attune')),
    'openai(): generateObject': refused('text.format', () =>
      generateObject({ ...asked, model: openai(url)('attune'), schema }),
    ),
  };
}
