import { mkdtemp, readFile, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AttuneError } from '../../src/base/errors.ts';
import { createLogger } from '../../src/base/logger.ts';
import { isSecretKey, maskSecrets, maskText } from '../../src/base/redact.ts';

function collect(level?: 'debug' | 'warn') {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  const logger = createLogger({ write, ...(level === undefined ? {} : { level }) });
  return { logger, lines, last: () => JSON.parse(lines.at(-1) ?? '{}') };
}

describe('the logger', () => {
  it('writes one JSON line with time, level, facts and a sentence', () => {
    const { logger, last, lines } = collect();
    logger.child({ part: 'server' }).info({ port: 4747 }, 'listening');
    expect(last()).toMatchObject({ level: 'info', part: 'server', port: 4747, msg: 'listening' });
    expect(new Date(last().time).getTime()).toBeGreaterThan(0);
    expect(lines[0]?.endsWith('\n')).toBe(true);
  });

  it('keeps quiet below its level', () => {
    const { logger, lines } = collect('warn');
    logger.info({}, 'no');
    logger.warn({}, 'yes');
    expect(lines).toHaveLength(1);
  });

  it('masks secrets by key, in nested facts, in bindings, in text and in errors', () => {
    const { logger, lines } = collect();
    const cause = new Error('GET /x?token=s3cret failed');
    logger.child({ headers: { authorization: 'Bearer s3cret' } }).error(
      {
        error: new AttuneError('store-failed', 'Bearer s3cret', { hfToken: 's3cret' }, { cause }),
      },
      'sent Bearer s3cret to hf_s3crets3cret',
    );
    logger.info({ list: [{ apiKey: 's3cret' }] }, 'x');
    logger.error(new Error('password=1 Bearer s3cret'), 'x');
    expect(lines.join('')).not.toContain('s3cret');
    expect(JSON.parse(lines[0] ?? '').error).toMatchObject({ code: 'store-failed' });
    expect(JSON.parse(lines[2] ?? '').error.stack).toContain('logger.test.ts');
  });

  it('starts a new file when one is full, and keeps one old one', async () => {
    const file = join(await mkdtemp(join(tmpdir(), 'attune-logger-')), 'sub', 'attune.log');
    const logger = createLogger({ file, fileBytesMax: 1000 });
    for (let n = 0; n < 40; n++) logger.info({ n }, 'x'.repeat(50));
    const [now, before] = await Promise.all(
      [file, `${file}.1`].map((path) => readFile(path, 'utf8')),
    );
    expect(now?.length).toBeLessThanOrEqual(1000);
    expect(before?.length).toBeLessThanOrEqual(1000);
    expect(now).toContain('"n":39');
    expect((await stat(file)).mode & 0o077).toBe(0);
  });
});

describe('masking', () => {
  it.each([
    'token',
    'server.token',
    'HF_TOKEN',
    'apiKey',
    'api_key',
    'Authorization',
    'password',
    'engine.upstream.key',
  ])('takes %s for a secret', (key) => expect(isSecretKey(key)).toBe(true));

  it.each(['windowTokens', 'tokensMax', 'key', 'cacheKey', 'secretary'])(
    'takes %s for none',
    (key) => expect(isSecretKey(key)).toBe(false),
  );

  it('masks the key of a server, and not what a setting is called', () => {
    const engine = {
      upstream: { url: 'http://127.0.0.1:1', key: 'sesame' },
      key: 'engine.threads',
    };
    expect(maskSecrets({ engine })).toEqual({
      engine: { upstream: { url: 'http://127.0.0.1:1', key: '***' }, key: 'engine.threads' },
    });
  });

  it('shows that a secret is unset, and survives cycles, typed arrays and depth', () => {
    expect(maskSecrets({ token: '', password: null })).toEqual({ token: '', password: null });
    const cycle: Record<string, unknown> = { bytes: new Float32Array(3) };
    cycle.self = cycle;
    expect(JSON.stringify(maskSecrets(cycle))).toContain('[12 bytes]');
    expect(maskText('nothing to hide')).toBe('nothing to hide');
  });
});
