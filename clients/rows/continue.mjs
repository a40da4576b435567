// Continue's adapters, by which its editor extensions talk to the providers that people configure.
import { constructLlmApi } from '@continuedev/openai-adapters';
import { ASKED, all, check, refused, TOOL, words } from '../row.mjs';

/** Providers of Continue's configuration that are told an address. */
const PROVIDERS = ['openai', 'lmstudio', 'llama.cpp', 'vllm', 'ollama'];

export const label = '@continuedev/openai-adapters';

export function rows({ url, callingUrl }) {
  const at = (provider, base) =>
    constructLlmApi({ provider, model: 'attune', apiKey: 'none', apiBase: `${base}/v1/` });
  const body = { model: 'attune', messages: ASKED, max_tokens: 8 };
  const { signal } = new AbortController();
  const text = (parts) => words(parts.map((one) => one.choices[0]?.delta.content ?? '').join(''));
  const each = PROVIDERS.map((provider) => [
    `${provider}: chat, whole and streamed`,
    async () => {
      const api = at(provider, url);
      words((await api.chatCompletionNonStream(body, signal)).choices[0].message.content);
      return text(await all(api.chatCompletionStream({ ...body, stream: true }, signal)));
    },
  ]);
  const openai = at('openai', url);
  return {
    ...Object.fromEntries(each),
    'openai: models': async () => (await openai.list()).map(({ id }) => id),
    'openai: completion, streamed': async () => {
      const given = { model: 'attune', prompt: 'const a =', max_tokens: 8, stream: true };
      const parts = await all(openai.completionStream(given, signal));
      return words(parts.map(({ choices }) => choices[0]?.text ?? '').join(''));
    },
    'openai: tools, streamed': async () => {
      const given = { model: 'attune', messages: ASKED, tools: [TOOL], stream: true };
      const parts = await all(at('openai', callingUrl).chatCompletionStream(given, signal));
      const calls = parts.flatMap(({ choices }) => choices[0]?.delta.tool_calls ?? []);
      return check(calls[0]?.function.name === 'weather', parts);
    },
    'openai: the rest of a line between two texts': refused('suffix', () =>
      openai.completionNonStream(
        { ...body, prompt: 'a', suffix: 'b', messages: undefined },
        signal,
      ),
    ),
    'openai: embed': refused('input', () => openai.embed({ model: 'attune', input: ['x'] })),
  };
}
