import { request } from 'node:http';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Logger, silentLogger } from '../../src/base/logger.ts';
import { PROTOCOL_VERSION } from '../../src/protocol/handshake.ts';
import {
  assertHost,
  assertOrigin,
  assertSafeToListen,
  isLoopback,
  TokenGate,
  tokenMatches,
  tokenOf,
} from '../../src/server/access.ts';
import { createFakeClock } from '../fakes/fake-clock.ts';
import { openTestDaemon, type TestDaemon, type TestDaemonOptions } from './open-test-daemon.ts';
import { TestClient } from './test-client.ts';

// It takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const rules = {
  token: '',
  allowedHosts: ['attune.home'],
  allowedOrigins: ['https://mine.example'],
};

describe('Host', () => {
  it.each([
    '127.0.0.1:4747',
    'localhost',
    'LOCALHOST:1',
    '[::1]:4747',
    '192.168.1.5',
    'attune.home:80',
  ])('answers as %s', (host) => expect(() => assertHost({ host }, rules)).not.toThrow());

  it.each([
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'attune.home.evil',
    '',
    'localhost@evil.example',
    'localhost/x',
    'localhost:80:90',
    '[::1',
    'a b',
  ])('refuses %j, which a stranger may have chosen', (host) => {
    expect(() => assertHost({ host }, rules)).toThrow(
      expect.objectContaining({ code: 'host-refused' }),
    );
  });

  it('refuses a request without one', () => {
    expect(() => assertHost({}, rules)).toThrow();
  });
});

describe('Origin', () => {
  const host = '127.0.0.1:4747';

  it.each(['http://127.0.0.1:4747', 'https://127.0.0.1:4747', 'https://mine.example', undefined])(
    'takes %s',
    (origin) => {
      const headers = origin === undefined ? { host } : { host, origin };
      expect(() => assertOrigin(headers, rules)).not.toThrow();
    },
  );

  it.each([
    'http://evil.example',
    'null',
    'http://127.0.0.1:9999',
    'http://localhost:4747',
    'file://',
    'https://mine.example.evil',
    'http://127.0.0.1:4747/path',
    'http://user@127.0.0.1:4747',
  ])('refuses %s', (origin) => {
    expect(() => assertOrigin({ host, origin }, rules)).toThrow(
      expect.objectContaining({ code: 'origin-refused' }),
    );
  });

  it('refuses what a browser says comes from another site, though no Origin came along', () => {
    expect(() => assertOrigin({ host, 'sec-fetch-site': 'cross-site' }, rules)).toThrow();
    expect(() => assertOrigin({ host, 'sec-fetch-site': 'same-origin' }, rules)).not.toThrow();
  });
});

describe('wrong tokens', () => {
  it('are answered one after the other and logged once, while the right one passes', async () => {
    const clock = createFakeClock(0);
    const lines: string[] = [];
    const logger = { ...silentLogger, warn: (_: object, message: string) => lines.push(message) };
    const gate = new TokenGate({ ...rules, token: 'right' }, clock, logger as Logger);
    let answered = 0;
    const wrong = Array.from({ length: 200 }, (_, at) =>
      gate.assert(`guess ${at}`).catch(() => answered++),
    );
    await gate.assert('right');
    await clock.advance(1_000);
    expect(answered).toBe(4);
    await clock.advance(9_000);
    await Promise.all(wrong);
    expect(answered).toBe(200);
    expect(lines).toEqual(['a wrong token was presented']);
    await expect(gate.assert(undefined)).rejects.toMatchObject({ code: 'token-required' });
  });
});

describe('the token', () => {
  it('is compared whatever the lengths', () => {
    expect(tokenMatches('secret', 'secret')).toBe(true);
    expect(tokenMatches('secre', 'secret')).toBe(false);
    expect(tokenMatches('', 'secret')).toBe(false);
  });

  it('is read from a Bearer header only', () => {
    expect(tokenOf({ authorization: 'Bearer abc' })).toBe('abc');
    expect(tokenOf({ authorization: 'bearer   abc ' })).toBe('abc');
    expect(tokenOf({ authorization: 'Basic abc' })).toBeUndefined();
    expect(tokenOf({ 'x-api-key': 'abc' })).toBe('abc');
    expect(tokenOf({ 'api-key': 'abc' })).toBe('abc');
    expect(tokenOf({ authorization: 'Bearer a b' })).toBeUndefined();
  });

  it('must be set, to one that nobody guesses, before others can connect', () => {
    for (const host of ['127.0.0.1', '127.9.9.9', 'localhost', '::1', '[::1]']) {
      expect(isLoopback(host)).toBe(true);
      expect(() => assertSafeToListen(host, '')).not.toThrow();
    }
    for (const host of ['0.0.0.0', '::', '192.168.1.2', '127.evil.example', '1270.0.0.1']) {
      for (const guessed of ['', 'x', 'fifteen letters']) {
        expect(() => assertSafeToListen(host, guessed), host).toThrow(
          expect.objectContaining({ code: 'token-missing' }),
        );
      }
      expect(() => assertSafeToListen(host, '0123456789abcdef')).not.toThrow();
    }
  });
});

describe('a running daemon', () => {
  let daemon: TestDaemon;
  const lines: string[] = [];

  async function open(options: TestDaemonOptions = {}): Promise<TestDaemon> {
    daemon = await openTestDaemon(options);
    return daemon;
  }

  afterEach(() => daemon.end());

  /** As a program that sets the headers itself. */
  function ask(
    path: string,
    headers: Record<string, string>,
    method = 'GET',
  ): Promise<{ status: number; body: string; headers: Record<string, unknown> }> {
    return new Promise((resolve, reject) => {
      const asked = request(
        { host: '127.0.0.1', port: daemon.port, path, headers, method },
        (response) => {
          let body = '';
          response.on('data', (piece: Buffer) => {
            body += piece.toString();
          });
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, body, headers: response.headers }),
          );
        },
      );
      asked.on('error', reject);
      asked.end();
    });
  }

  it('refuses a rebound name and another site, for pages, routes and sockets alike', async () => {
    await open();
    for (const path of ['/', '/api/flags', '/v1/models', '/healthz']) {
      expect((await ask(path, { host: 'evil.example' })).status, path).toBe(403);
      expect((await ask(path, { origin: 'http://evil.example' })).status, path).toBe(403);
    }
    const foreign = TestClient.open(daemon.port, { origin: 'http://evil.example' });
    await expect(foreign).rejects.toThrow('403');
    await expect(TestClient.open(daemon.port, { host: 'evil.example' })).rejects.toThrow('403');
    await TestClient.open(daemon.port, { origin: `http://127.0.0.1:${daemon.port}` });
  });

  it('lets a configured origin read answers, and nobody else', async () => {
    await open({ config: { server: { allowedOrigins: ['https://mine.example'] } } });
    const mine = await ask('/api/flags', { origin: 'https://mine.example' });
    expect(mine.headers['access-control-allow-origin']).toBe('https://mine.example');
    const sdk = { 'access-control-request-headers': 'authorization, x-stainless-os' };
    const origin = 'https://mine.example';
    const preflight = await ask('/api/flags', { origin, ...sdk }, 'OPTIONS');
    expect(preflight.status).toBe(204);
    expect(preflight.headers['access-control-allow-headers']).toContain('x-stainless-os');
    expect(preflight.headers['access-control-allow-methods']).toContain('PUT');
    const near = { origin, 'access-control-request-private-network': 'true' };
    const local = await ask('/api/flags', near, 'OPTIONS');
    expect(local.headers['access-control-allow-private-network']).toBe('true');
    expect(mine.headers['access-control-expose-headers']).toBe('Retry-After');
    expect((await ask('/api/flags', {})).headers['access-control-allow-origin']).toBeUndefined();
  });

  it('asks for the token on routes and sockets, not on health and pages, and never logs it', async () => {
    const token = 'a-very-secret-token-1234567890';
    const logger = {
      debug: (facts: object, message: string) => void lines.push(JSON.stringify(facts) + message),
      info: (facts: object, message: string) => void lines.push(JSON.stringify(facts) + message),
      warn: (facts: object, message: string) => void lines.push(JSON.stringify(facts) + message),
      error: (facts: object, message: string) => void lines.push(JSON.stringify(facts) + message),
      child: () => logger,
    };
    await open({ config: { server: { token } }, logger });
    expect((await ask('/healthz', {})).status).toBe(200);
    expect((await ask('/', {})).status).toBe(200);
    for (const path of ['/api/flags', '/api/export', '/v1/models', '/api/conversations']) {
      expect((await ask(path, {})).status, path).toBe(401);
      expect((await ask(path, { authorization: `Bearer ${token}x` })).status).toBe(401);
      expect((await ask(path, { authorization: `Bearer ${token}` })).status, path).toBe(200);
    }
    const silent = await daemon.connect({ hello: false });
    silent.send({ type: 'client-hello', protocol: PROTOCOL_VERSION, client: 'x' });
    expect((await silent.next('error')).code).toBe('token-required');
    expect(await silent.closed()).toBe(4001);
    const wrong = TestClient.open(daemon.port, { authorization: 'Bearer wrong' });
    await expect(wrong).rejects.toThrow('401');
    const inHello = await daemon.connect({ hello: false });
    await inHello.hello(token);
    const inHeader = await TestClient.open(daemon.port, { authorization: `Bearer ${token}` });
    await inHeader.hello();
    inHeader.kill();
    expect(lines.join('\n')).not.toContain(token);
  });
});
