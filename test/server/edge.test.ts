import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { AttuneError } from '../../src/base/errors.ts';
import type { Logger } from '../../src/base/logger.ts';
import { Conversation } from '../../src/protocol/conversation.ts';
import { errorMessage, openaiError } from '../../src/server/error-message.ts';
import { hasRoom } from '../../src/server/route.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';
import { FAKE_VOCABULARY } from '../fakes/fake-tokenizer.ts';
import { echo, openTestDaemon, type TestDaemon } from './open-test-daemon.ts';

// It takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const Opened = z.object({ conversation: Conversation });

let daemon: TestDaemon;
const errors: string[] = [];
const engine = new FakeEngine({
  ...{ reply: echo, tokenDelayMs: 0, windowTokens: 4096, vocabularySize: FAKE_VOCABULARY },
});
const nothing = (): void => undefined;
const logger: Logger = {
  ...{ debug: nothing, info: nothing, warn: nothing, child: () => logger },
  error: (_, message) => void errors.push(message),
};

beforeAll(async () => {
  const routes = [
    {
      method: 'GET' as const,
      pattern: '/api/endless',
      async handle({ response }: { response: Parameters<typeof hasRoom>[0] }) {
        response.writeHead(200);
        do response.write('x'.repeat(1 << 20));
        while (await hasRoom(response, 200));
      },
    },
  ];
  daemon = await openTestDaemon({ engine, logger, routes });
});
afterAll(() => daemon.end());

/** The first line of the answer to what is written as it is. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(daemon.port, '127.0.0.1', () => socket.write(text));
    socket.once('data', (data) => {
      resolve(data.toString().split('\r\n', 1)[0] ?? '');
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

describe('an odd request', () => {
  it.each(['//', '///', '//x', 'http://['])('for %s gets an answer of its kind', async (target) => {
    const answer = await raw(`GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 (200|404) /);
    expect(errors).toEqual([]);
  });

  it('with HEAD gets the head alone, and one with a wrong method what is allowed', async () => {
    const head = await fetch(`${daemon.url}/healthz`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    const wrong = await fetch(`${daemon.url}/api/conversations`, { method: 'DELETE' });
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET, POST']);
  });

  it('that is broken off is no fault of the daemon', async () => {
    const head =
      'POST /api/flags HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n';
    const socket = connect(daemon.port, '127.0.0.1');
    socket.write(`${head}Content-Length: 100\r\n\r\n{`);
    await delay(50);
    socket.destroy();
    await delay(50);
    expect(errors).toEqual([]);
  });

  it('of more values than may be is refused before it is checked', async () => {
    const messages = `[${'[],'.repeat(100_000)}[]]`;
    const response = await fetch(`${daemon.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: `{"model":"x","messages":${messages}}`,
    });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain('more than 32768 values');
  });
});

describe('a reader', () => {
  it('that reads nothing is let go, so that others find room', async () => {
    const socket = connect(daemon.port, '127.0.0.1');
    socket.write('GET /api/endless HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
    socket.pause();
    const closed = new Promise((resolve) => socket.once('close', resolve));
    await delay(1_000);
    socket.resume();
    await closed;
  });

  it('gets a long conversation whole, and as an export line by line', async () => {
    const at = 1_000;
    const messages = Array.from({ length: 3_000 }, (_, index) => {
      const role = index % 2 === 0 ? 'user' : 'assistant';
      return { id: `m${index}`, role, text: `words ${index} `.repeat(10), at };
    });
    const body = JSON.stringify({ id: 'long', title: 'Long', origin: 'import', messages });
    const headers = { 'Content-Type': 'application/json' };
    const url = `${daemon.url}/api/conversations`;
    expect((await fetch(url, { method: 'POST', headers, body })).status).toBe(201);
    const { conversation } = Opened.parse(await (await fetch(`${url}/long`)).json());
    expect(conversation.history).toHaveLength(3_000);
    expect(conversation.history.at(-1)?.text).toBe(messages.at(-1)?.text);
    const lines = (await (await fetch(`${url}/long/export`)).text()).trimEnd().split('\n');
    expect(lines).toHaveLength(3_001);
    expect((await fetch(`${url}/none/export`)).status).toBe(404);
  });

  it('of the nights gets them while the engine is down', async () => {
    engine.die();
    const response = await fetch(`${daemon.url}/api/nights`);
    expect(response.status).toBe(200);
  });
});

it('an error names a file, not where it is on this machine', () => {
  const path = '/home/anna/store/flags.json';
  const error = new AttuneError('disk-full', `The disk is full: ${path} was not written.`, {
    path,
  });
  const told = [errorMessage(error).message, openaiError(error).error.message];
  expect(told).toEqual(Array(2).fill('The disk is full: flags.json was not written.'));
});
