import { afterEach, describe, expect, it } from 'vitest';
import { openHttpListener } from '../../src/listen/http-listener.ts';
import type { SceneMessage } from '../../src/listen/scene.ts';
import { openTestDaemon } from '../server/open-test-daemon.ts';
import {
  type Answer,
  type FakeServer,
  openFakeServer,
  sendJson,
  sendStream,
} from './fake-server.ts';

const messages: SceneMessage[] = [{ role: 'user', content: 'Leek soup, please.' }];
const base = { model: 'm', replyTokensMax: 48 };
let server: FakeServer;

async function serve(answer: Answer): Promise<string> {
  server = await openFakeServer(answer);
  return server.url;
}

afterEach(() => server?.close());

/** Ollama: streams with usage, lists models of "library", knows none of the other routes. */
const ollama: Answer = ({ path, body }, response) => {
  if (path === '/v1/models') {
    const data = [{ id: 'm', object: 'model', created: 1, owned_by: 'library' }];
    return sendJson(response, 200, { object: 'list', data });
  }
  if (path === '/v1/completions') {
    const choices = [{ text: 'It', index: 0, finish_reason: 'length' }];
    return sendJson(response, 200, { object: 'text_completion', choices });
  }
  if (path !== '/v1/chat/completions') return sendJson(response, 404, '404 page not found');
  if (body.stream !== true) {
    const choices = [{ index: 0, message: { role: 'assistant', content: 'Sure' } }];
    return sendJson(response, 200, { choices, usage: { prompt_tokens: 11, completion_tokens: 1 } });
  }
  sendStream(response, ['Wash', ' the leeks.'], { prompt_tokens: 11, completion_tokens: 4 });
};

describe('a server as what is tested', () => {
  it('is asked as Ollama understands it, and its reply is read as it streams', async () => {
    const listener = await openHttpListener({ ...base, url: `${await serve(ollama)}/` });
    expect(listener.score).toBeUndefined();
    expect(listener.likelihood).toMatch(/^none/);
    expect(listener.notices).toEqual([]);
    const reply = await listener.reply(messages);
    expect(reply).toMatchObject({ text: 'Wash the leeks.', promptTokens: 11, replyTokens: 4 });
    expect(reply.firstTokenMs).toBeGreaterThan(0);
    const { body, authorization } = server.requests.at(-1) ?? {};
    expect(body).toMatchObject({
      model: 'm',
      messages,
      temperature: 0,
      max_tokens: 48,
      stream: true,
    });
    expect(authorization).toBeUndefined();
  });

  it('is asked as OpenAI’s newer models want it: other names, a key, no temperature', async () => {
    const url = await serve(({ path, body, authorization }, response) => {
      const refuse = (status: number, message: string) =>
        sendJson(response, status, {
          error: { message, type: 'invalid_request_error', code: null },
        });
      if (authorization !== 'Bearer secret') return refuse(401, 'Incorrect API key provided');
      if (path === '/v1/models') return sendJson(response, 200, { data: [{ owned_by: 'openai' }] });
      if (path !== '/v1/chat/completions') return refuse(404, 'Unknown request URL');
      if ('max_tokens' in body)
        return refuse(400, "'max_tokens' is not supported, use 'max_completion_tokens'");
      if ('temperature' in body)
        return refuse(400, "'temperature' does not support 0 with this model");
      if ('prompt_logprobs' in body) return refuse(400, "Unknown parameter: 'prompt_logprobs'");
      sendStream(response, ['Slice them.'], { prompt_tokens: 12, completion_tokens: 3 });
    });
    const listener = await openHttpListener({ ...base, url, key: 'secret' });
    expect((await listener.reply(messages)).text).toBe('Slice them.');
    expect(listener.score).toBeUndefined();
    await expect(openHttpListener({ ...base, url })).rejects.toMatchObject({
      code: 'endpoint-failed',
      message: expect.stringContaining('--key-env'),
    });
  });

  it('may count no tokens, and may think before it speaks', async () => {
    const url = await serve(({ path, body }, response) => {
      if (path !== '/v1/chat/completions' || 'stream_options' in body)
        return sendJson(response, 400, {});
      sendStream(response, ['<think>leek', ' or fish</think>', ' Leek.'], null);
    });
    const reply = await (await openHttpListener({ ...base, url })).reply(messages);
    expect(reply).toMatchObject({ text: 'Leek.', promptTokens: null, replyTokens: null });
  });

  it('gives log-probabilities of a prompt as vLLM does', async () => {
    const url = await serve(({ path, body }, response) => {
      if (path !== '/v1/chat/completions') return sendJson(response, 404, {});
      if (body.stream === true) return sendStream(response, ['Yes.'], null);
      const usage = { prompt_tokens: 5, completion_tokens: 1 };
      if (body.continue_final_message !== true)
        return sendJson(response, 200, { choices: [], usage });
      const said = (body.messages as SceneMessage[]).at(-1)?.content ?? '';
      const value = said.includes('leek') ? -0.5 : -1.5;
      const token = { 7: { logprob: value, rank: 1, decoded_token: 'x' } };
      const before = [null, ...Array.from({ length: 4 }, () => ({ 3: { logprob: -9 } }))];
      sendJson(response, 200, { choices: [], usage, prompt_logprobs: [...before, token, token] });
    });
    const listener = await openHttpListener({ ...base, url });
    expect(listener.likelihood).toContain('vLLM');
    expect(await listener.score?.(messages, ['For leek soup', 'For fish soup'])).toEqual([
      -0.5, -1.5,
    ]);
  });

  /** llama-cpp-python: completions echo their prompt with log-probabilities. */
  const echoing: Answer = ({ path, body }, response) => {
    if (path === '/apply-template') return sendJson(response, 200, { prompt: '<u>Leek<a>' });
    if (path === '/v1/chat/completions' && body.stream === true) {
      return sendStream(response, ['Yes.'], { prompt_tokens: 3, completion_tokens: 1 });
    }
    if (path !== '/v1/completions') return sendJson(response, 404, {});
    const whole = `${body.prompt}!`;
    const text_offset = [...whole].map((_, i) => i);
    const token_logprobs = [...whole].map((c, i) => (i === 0 ? null : c === 'f' ? -4 : -1));
    sendJson(response, 200, {
      choices: [{ text: whole, logprobs: { text_offset, token_logprobs } }],
    });
  };

  it('gives log-probabilities of an echoed prompt under its own template', async () => {
    const listener = await openHttpListener({ ...base, url: await serve(echoing) });
    expect(listener.likelihood).toContain('template of the server');
    expect(await listener.score?.(messages, ['leek', 'fish'])).toEqual([-1, -1.75]);
    expect(server.requests.at(-1)?.body.prompt).toBe('<u>Leek<a>fish');
  });

  it('gives them under a template that is known here', async () => {
    const url = await serve(echoing);
    const render = (all: readonly SceneMessage[]) => `[${all.map(({ content }) => content)}]`;
    const listener = await openHttpListener({ ...base, url, render });
    expect(listener.likelihood).toContain('template that was given');
    await listener.score?.(messages, ['leek']);
    expect(server.requests.at(-1)?.body.prompt).toBe('[Leek soup, please.]leek');
  });

  it('is reported with its own words when it refuses, breaks off, or is not there', async () => {
    const url = await serve((_, response) => sendJson(response, 500, { error: 'out of memory' }));
    await expect(openHttpListener({ ...base, url })).rejects.toMatchObject({
      code: 'endpoint-failed',
      message: expect.stringContaining('out of memory'),
    });
    await server.close();
    await expect(openHttpListener({ ...base, url })).rejects.toMatchObject({
      code: 'endpoint-failed',
      message: expect.stringContaining('Is it running'),
    });
  });

  it('may be our own daemon, which says that it keeps what it hears', async () => {
    const daemon = await openTestDaemon();
    try {
      const url = `${daemon.url}/v1`;
      const listener = await openHttpListener({ ...base, url, model: 'attune' });
      const reply = await listener.reply(messages);
      expect(reply.text).toBe('You said: Leek soup, please.');
      expect(reply.promptTokens).toBeGreaterThan(0);
      expect(listener.notices[0]).toContain('Attune');
      expect(listener.score).toBeUndefined();
    } finally {
      await daemon.end();
    }
  });
});
