// What passes to a server and back: its bytes, whatever they say, and what is kept of them.
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FileOps, systemFileOps } from '../../src/base/file-ops.ts';
import { Hearing, type Piece } from '../../src/upstream/hearing.ts';
import { openTestDaemon, type TestDaemon } from '../server/open-test-daemon.ts';

interface Came {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

let server: Server;
let daemon: TestDaemon;
let came: Came[];
/** Closes the connection at the next request. */
let isClosing = false;
/** What it answers to whatever is asked. */
let answer: { status: number; type: string; body: string; end?: Promise<string> };

async function open(kind: 'ollama' | 'vllm', ops?: FileOps): Promise<void> {
  await daemon?.end();
  const { port } = server.address() as AddressInfo;
  const upstream = { kind, url: `http://127.0.0.1:${port}/v1/`, model: 'qwen', key: 'their-key' };
  daemon = await openTestDaemon({ config: { engine: { upstream } }, ...(ops && { ops }) });
  await expect.poll(() => daemon.watch.view().upstream?.status, { timeout: 8_000 }).toBe('ready');
  came.length = 0;
}

beforeEach(async () => {
  came = [];
  answer = { status: 200, type: 'application/json', body: '{}' };
  server = createServer(async (request, response) => {
    if (isClosing) {
      isClosing = false;
      return void request.socket.destroy();
    }
    let body = '';
    for await (const piece of request as AsyncIterable<Buffer>) body += piece.toString();
    came.push({ path: request.url ?? '', headers: request.headers, body });
    response.writeHead(answer.status, { 'content-type': answer.type, 'x-own': 'kept' });
    response.write(answer.body);
    response.end(await answer.end);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  await open('vllm');
});

afterEach(async () => {
  letGo();
  await daemon.end();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function post(path: string, body: string): Promise<Response> {
  const headers = {
    'content-type': 'application/json',
    authorization: 'Bearer ours',
    'x-more': '1',
  };
  return fetch(daemon.url + path, { method: 'POST', headers, body });
}

/** A request in which these were said, in turns. */
const said = (lines: readonly string[]): string =>
  JSON.stringify({
    model: 'qwen',
    messages: lines.map((content, at) => ({ role: ['user', 'assistant'][at % 2], content })),
  });

/** Of the disk that is held; a test that fails must not hold the end. */
let letGo = (_code?: string): void => undefined;

/** A disk whose syncs can be made to wait, and to fail. */
function heldDisk() {
  let isHeld = false;
  const waiting: ((code?: string) => void)[] = [];
  letGo = (code) => {
    isHeld = false;
    for (const go of waiting.splice(0)) go(code);
  };
  const ops: FileOps = {
    ...systemFileOps,
    async open(path, mode) {
      const file = await systemFileOps.open(path, mode);
      const sync = async (): Promise<void> => {
        if (isHeld && path.includes('conversations')) {
          const code = await new Promise<string | undefined>((resolve) => waiting.push(resolve));
          if (code !== undefined) throw Object.assign(new Error(code), { code });
        }
        await file.sync();
      };
      return { ...file, sync };
    },
  };
  return {
    ops,
    hold: () => {
      isHeld = true;
    },
    letGo,
    get waiting() {
      return waiting.length;
    },
  };
}

const textOf = (read?: { readonly value?: Uint8Array }): string =>
  Buffer.from(read?.value ?? []).toString();

/** Beside what Attune asks by itself, to compare the models. */
const asked = (path: string, words = ''): Came[] =>
  came.filter((one) => one.path === path && one.body.includes(words));
const CHAT = '/v1/chat/completions';

async function kept(): Promise<string[][]> {
  const ids = daemon.store.conversations.ids();
  const all = [];
  for (const id of ids) all.push([...(await daemon.conversations.read(id)).entries]);
  return all.map((entries) => entries.map(({ text }) => text));
}

describe('a request', () => {
  it('goes out as it came, fields that nobody here knows too, with the key of the server', async () => {
    const body =
      '{ "model":"qwen",  "messages":[{"role":"user","content":"Hi"}], "xtc": 1.50, "big": 12345678901234567890 }';
    await post(CHAT, body);
    const [one] = asked(CHAT);
    expect(one?.body).toBe(body);
    expect(one?.headers).toMatchObject({ authorization: 'Bearer their-key', 'x-more': '1' });
  });

  it('has the name of the model exchanged, and nothing else', async () => {
    const rest = '"messages": [{"role": "user", "content": "Hi"}], "temperature": 1.0}';
    await post(CHAT, `{"model": "attune", ${rest}`);
    expect(asked(CHAT)[0]?.body).toBe(`{"model":"qwen", ${rest}`);
    // Where the name stands in more places than one, the request is written again.
    await post(CHAT, `{"model": "attune", "x": {"model": "attune"}, ${rest}`);
    expect(JSON.parse(asked(CHAT)[1]?.body ?? '')).toMatchObject({
      model: 'qwen',
      x: { model: 'attune' },
    });
  });

  it('is answered with the bytes, the status and the headers of the server', async () => {
    for (const [status, body] of [
      [200, '{"choices": [ {"message":{"content":"Yes"}} ], "odd": 1.0}'],
      [418, '{"error": {"message": "a teapot"}}'],
    ] as const) {
      answer = { status, type: 'application/json', body };
      const response = await post(
        CHAT,
        '{"model":"qwen","messages":[{"role":"user","content":"Hi"}]}',
      );
      expect([response.status, await response.text()]).toEqual([status, body]);
      expect(response.headers.get('x-own')).toBe('kept');
    }
  });

  it('for embeddings passes, and nothing of it is kept', async () => {
    answer.body = '{"data":[{"embedding":[0.1]}]}';
    const response = await post('/v1/embeddings', '{"model":"nomic","input":"x"}');
    expect(await response.text()).toBe(answer.body);
    expect(asked('/v1/embeddings')[0]?.body).toBe('{"model":"nomic","input":"x"}');
    expect(await kept()).toEqual([]);
  });

  it('for an answer that the server keeps passes, whatever is asked of it', async () => {
    const all = {
      [CHAT]: 'GET',
      [`${CHAT}/a/messages?limit=2`]: 'GET',
      [`${CHAT}/a`]: 'POST',
      [`${CHAT}/b`]: 'DELETE',
      '/v1/responses/a': 'GET',
      '/v1/responses/a/cancel': 'POST',
    };
    const headers = { 'content-type': 'application/json' };
    for (const [path, method] of Object.entries(all)) {
      const body = method === 'POST' ? '{"metadata":{}}' : null;
      const response = await fetch(daemon.url + path, { method, headers, body });
      expect([response.status, await response.text()]).toEqual([200, '{}']);
    }
    expect(came.map(({ path }) => path)).toEqual(expect.arrayContaining(Object.keys(all)));
    expect(await kept()).toEqual([]);
  });

  it('comes again where the server has just closed a kept connection, and fails where it is gone', async () => {
    await (await fetch(`${daemon.url}/v1/models`)).text();
    isClosing = true;
    const again = await fetch(`${daemon.url}/v1/models/qwen`);
    expect([again.status, await again.text()]).toEqual([200, '{}']);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    const failed = await fetch(`${daemon.url}/v1/models/qwen`);
    expect([failed.status, await failed.text()]).toEqual([
      502,
      expect.stringContaining('No server'),
    ]);
  });

  it('does not pass where it would change the server', async () => {
    for (const path of ['/v1/load_lora_adapter', '/api/create', '/api/delete']) {
      expect((await post(path, '{}')).status).toBeGreaterThanOrEqual(400);
    }
    const removed = await fetch(`${daemon.url}/v1/models/qwen`, { method: 'DELETE' });
    expect([removed.status, removed.headers.get('allow')]).toEqual([405, 'GET']);
    expect(came.filter(({ path }) => !path.startsWith('/v1/models'))).toEqual([]);
  });
});

describe('what was said', () => {
  it('is kept of a stream, with its thought, and not of another model', async () => {
    const chunks = [{ reasoning_content: 'Hm.' }, { content: 'The ' }, { content: 'sky.' }];
    const lines = chunks.map((delta) => `data: ${JSON.stringify({ choices: [{ delta }] })}\n\n`);
    answer = { status: 200, type: 'text/event-stream', body: `${lines.join('')}data: [DONE]\n\n` };
    const ask = (model: string) =>
      post(CHAT, `{"model":"${model}","stream":true,"messages":[{"role":"user","content":"Up?"}]}`);
    expect(await (await ask('qwen')).text()).toBe(answer.body);
    expect(await (await ask('another')).text()).toBe(answer.body);
    expect(await kept()).toEqual([['Up?', 'The sky.']]);
    const [id = ''] = daemon.store.conversations.ids();
    expect((await daemon.conversations.read(id)).entries[1]).toMatchObject({ thought: 'Hm.' });
  });

  it('has a mark in place of a picture, and is not learnt from', async () => {
    answer.body = '{"choices":[{"message":{"content":"A fern."}}]}';
    const picture = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } };
    const content = [{ type: 'text', text: 'What is it?' }, picture];
    const messages = [{ role: 'user', content }];
    await (await post(CHAT, JSON.stringify({ model: 'qwen', messages }))).text();
    expect(asked(CHAT)[0]?.body).toContain('base64,AAAA');
    expect(await kept()).toEqual([['What is it?\n[image]', 'A fern.']]);
    const [id = ''] = daemon.store.conversations.ids();
    const { canLearn, isUndecided } = daemon.store.conversations.summary(id);
    expect([canLearn, isUndecided]).toEqual([false, false]);
  });

  it('is answered before it is on the disk, and the answer ends when both are', async () => {
    const disk = heldDisk();
    await open('vllm', disk.ops);
    answer.body = '{"choices":[{"message":{"content":"Yes."}}]}';
    disk.hold();
    const reader = (await post(CHAT, said(['Up?']))).body?.getReader();
    expect(textOf(await reader?.read())).toBe(answer.body);
    await expect.poll(() => disk.waiting).toBe(1);
    let isEnded = false;
    const ending = reader?.read().then(({ done }) => {
      isEnded = done;
    });
    // As long as it likes: it does not end.
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(isEnded).toBe(false);
    disk.letGo();
    await ending;
    expect(isEnded).toBe(true);
    expect(await kept()).toEqual([['Up?', 'Yes.']]);
  });

  it('breaks off the answer where the disk does not take it', async () => {
    const disk = heldDisk();
    await open('vllm', disk.ops);
    answer.body = '{"choices":[{"message":{"content":"Yes."}}]}';
    disk.hold();
    const reader = (await post(CHAT, said(['Up?']))).body?.getReader();
    expect(textOf(await reader?.read())).toBe(answer.body);
    await expect.poll(() => disk.waiting).toBe(1);
    disk.letGo('ENOSPC');
    await expect(reader?.read()).rejects.toThrow();
    expect(await kept()).toEqual([]);
  });

  it.each([
    ['its last reply is not on the disk yet', 'reply'],
    ['nothing of it is on the disk yet', 'message'],
  ])('goes on in its log, though %s', async (_, what) => {
    const disk = heldDisk();
    await open('vllm', disk.ops);
    const chunk = (content: string): string =>
      `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`;
    let sayEnd = (): void => undefined;
    const end = new Promise<string>((resolve) => {
      sayEnd = () => resolve(`${chunk('es.')}data: [DONE]\n\n`);
    });
    answer = { status: 200, type: 'text/event-stream', body: chunk('Y'), end };
    if (what === 'message') disk.hold();
    const reader = (await post(CHAT, said(['Up?']))).body?.getReader();
    await reader?.read();
    disk.hold();
    sayEnd();
    expect(textOf(await reader?.read())).toContain('[DONE]');
    await expect.poll(() => disk.waiting).toBe(1);
    answer = { status: 200, type: 'application/json', body: '{"choices":[{"text":"Still."}]}' };
    const next = post(CHAT, said(['Up?', 'Yes.', 'And now?']));
    await expect.poll(() => asked(CHAT, 'And now?').length).toBe(1);
    disk.letGo();
    expect(await (await next).text()).toBe(answer.body);
    expect(await kept()).toEqual([['Up?', 'Yes.', 'And now?', 'Still.']]);
  });

  it("is kept of Ollama's own routes, whose lines pass", async () => {
    await open('ollama');
    const line = (content: string, done: boolean): string =>
      `${JSON.stringify({ model: 'qwen', message: { role: 'assistant', content }, done })}\n`;
    answer = {
      status: 200,
      type: 'application/x-ndjson',
      body: line('Two', false) + line('', true),
    };
    const body =
      '{"model":"qwen","messages":[{"role":"user","content":"1+1?"}],"options":{"num_ctx":512}}';
    expect(await (await post('/api/chat', body)).text()).toBe(answer.body);
    expect(asked('/api/chat')[0]?.body).toBe(body);
    answer.body = `${JSON.stringify({ response: 'Three', done: true })}\n`;
    await (await post('/api/generate', '{"model":"qwen","prompt":"1+2?"}')).text();
    expect(await kept()).toEqual([
      ['1+1?', 'Two'],
      ['1+2?', 'Three'],
    ]);
  });
});

describe('hearing', () => {
  /** In pieces of three bytes: no character and no line comes whole. */
  function hear(type: string, body: string) {
    const hearing = new Hearing(type);
    const bytes = Buffer.from(body);
    const pieces: Piece[] = [];
    for (let at = 0; at < bytes.length; at += 3)
      pieces.push(hearing.push(bytes.subarray(at, at + 3)));
    pieces.push(hearing.end());
    const { calls, finish, error, promptTokens, replyTokens } = hearing;
    const text = pieces.map((piece) => piece.text).join('');
    const thought = pieces.map((piece) => piece.thought).join('');
    return { text, thought, calls, finish, error, promptTokens, replyTokens };
  }
  const events = (all: readonly object[]): string =>
    all.map((one) => `event: x\ndata: ${JSON.stringify(one)}\n\n`).join('');

  it('puts a call together from its pieces', () => {
    const delta = (index: number, more: object) => ({
      choices: [{ index: 0, delta: { tool_calls: [{ index, ...more }] } }],
    });
    const heard = hear(
      'text/event-stream',
      events([
        delta(0, { id: 'a', function: { name: 'look', arguments: '{"at":' } }),
        delta(0, { function: { arguments: '"sky"}' } }),
        delta(1, { id: 'b', function: { name: 'go', arguments: '{}' } }),
        { choices: [{ index: 0, delta: {}, finish_reason: 'tool_calls' }] },
        { choices: [], usage: { prompt_tokens: 5, completion_tokens: 6 } },
      ]),
    );
    expect(heard).toMatchObject({
      calls: [
        { id: 'a', name: 'look', arguments: '{"at":"sky"}' },
        { id: 'b', name: 'go', arguments: '{}' },
      ],
      ...{ finish: 'tool_calls', promptTokens: 5, replyTokens: 6 },
    });
  });

  it('reads responses, whole and as events', () => {
    const call = { type: 'function_call', call_id: 'c', name: 'look', arguments: '{}' };
    const said = { type: 'message', content: [{ type: 'output_text', text: 'Ünder.' }] };
    const usage = { input_tokens: 3, output_tokens: 4 };
    const whole = { object: 'response', output: [said, call], usage };
    const streamed = events([
      { type: 'response.output_text.delta', delta: 'Ün' },
      { type: 'response.output_text.delta', delta: 'der.' },
      { type: 'response.output_item.done', item: call },
      { type: 'response.completed', response: whole },
    ]);
    const wanted = {
      ...{ text: 'Ünder.', finish: 'stop', promptTokens: 3, replyTokens: 4 },
      calls: [{ id: 'c', name: 'look', arguments: '{}' }],
    };
    expect(hear('application/json', JSON.stringify(whole))).toMatchObject(wanted);
    expect(hear('text/event-stream', streamed)).toMatchObject(wanted);
  });

  it('hears the first of several choices, an error in a stream, and calls of Ollama', () => {
    const two = [1, 0].map((index) => ({ index, message: { content: `choice ${index}` } }));
    expect(hear('application/json', JSON.stringify({ choices: two })).text).toBe('choice 0');
    const failed = events([{ error: { message: 'out of memory' } }]);
    expect(hear('text/event-stream', failed).error).toBe('out of memory');
    const called = { function: { name: 'look', arguments: { at: 'sky' } } };
    const line = JSON.stringify({ message: { content: '', tool_calls: [called] }, done: true });
    expect(hear('application/x-ndjson', line).calls).toMatchObject([
      { name: 'look', arguments: '{"at":"sky"}' },
    ]);
  });
});
