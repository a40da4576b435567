// Requests as chat programs make them that cannot be run here: Open WebUI, LibreChat, LM Studio's
// examples (from their sources and documentation).
import { check, words } from '../row.mjs';

export const label = 'requests';

const TITLE = `### Task:
Generate a concise, 3-5 word title with an emoji summarizing the chat history.
### Output:
JSON format: { "title": "your concise title here" }
### Chat History:
<chat_history>
USER: Soup or salad?
</chat_history>`;

export function rows({ url }) {
  const ask = async (path, body) => {
    const response = await fetch(url + path, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: 'Bearer none' },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${response.status}: ${text}`);
    return text;
  };
  const chat = async (more) => {
    const messages = [{ role: 'user', content: 'Soup or salad?' }];
    return ask('/v1/chat/completions', { model: 'attune', messages, max_tokens: 8, ...more });
  };
  const streamed = async (more) => {
    const events = (await chat({ stream: true, ...more })).trim().split('\n\n');
    check(events.at(-1) === 'data: [DONE]', events.at(-1));
    const parts = events.slice(0, -1).map((one) => JSON.parse(one.slice('data: '.length)));
    return words(parts.map(({ choices }) => choices[0]?.delta.content ?? '').join(''));
  };
  const count = async () => JSON.parse(await ask('/api/conversations')).conversations.length;
  const sliders = {
    ...{ temperature: 0.8, top_p: 0.9, min_p: 0.05, frequency_penalty: 0.2, seed: 1 },
    ...{ presence_penalty: 0.1, logit_bias: { 5: -100 }, stop: ['###'], repeat_penalty: 1.1 },
  };
  return {
    'Open WebUI: models': async () => JSON.parse(await ask('/v1/models')).data.length,
    'Open WebUI: a chat': () => streamed({ stream_options: { include_usage: true } }),
    'Open WebUI: a chat with every slider': () => streamed(sliders),
    'Open WebUI: a title, which is not kept': async () => {
      const before = await count();
      const messages = [{ role: 'user', content: TITLE }];
      await chat({ messages, stream: false, max_completion_tokens: 8, max_tokens: undefined });
      return check((await count()) === before, before);
    },
    "Open WebUI: as Ollama's": async () => {
      for (const path of ['version', 'tags', 'ps']) JSON.parse(await ask(`/api/${path}`));
      const messages = [{ role: 'user', content: 'Soup or salad?' }];
      const options = { num_ctx: 4096, temperature: 0.8, num_predict: 8 };
      const lines = (await ask('/api/chat', { model: 'attune:latest', messages, options })).trim();
      const parts = lines.split('\n').map((one) => JSON.parse(one));
      return words(parts.map(({ message }) => message.content).join(''));
    },
    LibreChat: () =>
      streamed({
        ...{ temperature: 1, top_p: 1, presence_penalty: 0, frequency_penalty: 0 },
        user: '65a0',
      }),
    "LM Studio's example, to its first sentence": async () => {
      const messages = [
        { role: 'system', content: 'Always answer in rhymes.' },
        { role: 'user', content: 'Introduce yourself.' },
      ];
      const given = {
        messages,
        temperature: 0.7,
        max_tokens: -1,
        stream: false,
        stop: ['.', ',', '!'],
      };
      return words(JSON.parse(await chat(given)).choices[0].message.content);
    },
  };
}
