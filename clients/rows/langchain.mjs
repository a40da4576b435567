// LangChain for JavaScript, with its package for OpenAI.

import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { ChatOpenAI, OpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { z } from 'zod';
import { all, check, refused, TOOL, words } from '../row.mjs';

export const label = '@langchain/openai';

export function rows({ url, callingUrl }) {
  const options = (base) => ({
    ...{ model: 'attune', apiKey: 'none', maxTokens: 8, maxRetries: 0 },
    configuration: { baseURL: `${base}/v1` },
  });
  const chat = (more) => new ChatOpenAI({ ...options(url), ...more });
  const calling = new ChatOpenAI({ ...options(callingUrl), maxTokens: 20 });
  const question = 'Soup or salad?';
  const schema = z.object({ dish: z.string() });
  return {
    invoke: async () => words((await chat().invoke(question)).content),
    stream: async () => {
      const parts = await all(await chat().stream(question));
      words(parts.map(({ content }) => content).join(''));
      return (
        check(
          parts.some((part) => part.usage_metadata?.total_tokens > 0),
          parts.at(-1),
        ) && 'usage'
      );
    },
    batch: async () =>
      (await chat().batch(['One?', 'Two?', 'Three?'])).map((one) => words(one.content)),
    'several choices': async () => {
      const { generations } = await chat({ n: 2 }).generate([[new HumanMessage(question)]]);
      return check(generations[0].length === 2, generations)[0].length;
    },
    logprobs: async () => {
      const { response_metadata: found } = await chat({ logprobs: true }).invoke(question);
      return check(found.logprobs.content.length > 0, found).logprobs.content.length;
    },
    'responses API': async () =>
      words((await chat({ useResponsesApi: true }).invoke(question)).text),
    'tools, a whole loop': async () => {
      const model = calling.bindTools([TOOL]);
      const asked = new HumanMessage('How is the weather?');
      const called = await model.invoke([asked]);
      const [call] = check(called.tool_calls.length === 1, called) && called.tool_calls;
      const told = new ToolMessage({ content: 'sunny', tool_call_id: call.id });
      return words((await model.invoke([asked, called, told])).content);
    },
    'tools, streamed': async () => {
      const parts = await all(await calling.bindTools([TOOL]).stream('How is the weather?'));
      const [call] = parts.reduce((sum, part) => sum.concat(part)).tool_calls;
      return check(call?.args.city === 'Rome', call);
    },
    'OpenAI, completions': async () => words(await new OpenAI(options(url)).invoke('Once upon a')),
    'structured output by a schema': refused('response_format', () =>
      chat().withStructuredOutput(schema, { method: 'jsonSchema' }).invoke(question),
    ),
    'structured output by a tool': refused('tool_choice', () =>
      calling.withStructuredOutput(schema, { method: 'functionCalling' }).invoke(question),
    ),
    embeddings: refused('input', () => new OpenAIEmbeddings(options(url)).embedQuery('x')),
  };
}
