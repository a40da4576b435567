import { mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestDaemon, type TestDaemon } from './open-test-daemon.ts';

let daemon: TestDaemon;
let web: string;

beforeAll(async () => {
  web = await mkdtemp(join(tmpdir(), 'attune-web-'));
  await mkdir(join(web, 'assets'));
  await writeFile(join(web, 'index.html'), '<!doctype html><title>Attune</title>');
  await writeFile(join(web, 'assets', 'app-1234.js'), 'export {};');
  await writeFile(join(tmpdir(), 'attune-outside.txt'), 'outside');
  await symlink(join(tmpdir(), 'attune-outside.txt'), join(web, 'link.txt'));
  daemon = await openTestDaemon({ webFolder: web });
});

afterAll(async () => {
  await daemon.end();
  await rm(web, { recursive: true });
  await rm(join(tmpdir(), 'attune-outside.txt'));
});

async function ask(path: string, init: { method?: string; body?: unknown } = {}) {
  const response = await fetch(daemon.url + path, {
    method: init.method ?? 'GET',
    ...(init.body === undefined
      ? {}
      : { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(init.body) }),
  });
  const body = await response.json();
  // biome-ignore lint/suspicious/noExplicitAny: the tests say what they expect of it
  return { status: response.status, body: body as any };
}

const talk = {
  id: 'imported',
  title: 'An imported talk',
  origin: 'import',
  messages: [
    { id: 'u1', role: 'user', text: 'What is the capital of France?', at: 1000 },
    { id: 'a1', role: 'assistant', text: 'It is Lyon, I think.', at: 2000 },
  ],
  flags: [
    {
      id: 'mark',
      replyId: 'a1',
      kind: 'missed',
      reason: 'wrong',
      betterWords: 'Paris.',
      strength: 3,
    },
  ],
};

describe('routes under /api', () => {
  it('import a talk with its flags once, however often it is sent', async () => {
    const first = await ask('/api/conversations', { method: 'POST', body: talk });
    expect(first).toEqual({
      status: 201,
      body: { conversationId: 'imported', isDuplicate: false, messages: 2, flags: 1 },
    });
    const second = await ask('/api/conversations', { method: 'POST', body: talk });
    expect(second.body.isDuplicate).toBe(true);
    expect((await ask('/api/flags')).body.flags).toHaveLength(1);
  });

  it('give, rename, configure and list a talk', async () => {
    const { body } = await ask('/api/conversations/imported');
    expect(body.conversation.history.map(({ id }: { id: string }) => id)).toEqual(['u1', 'a1']);
    const patch = { title: 'France', canLearn: false, settings: { temperature: 0 } };
    const changed = await ask('/api/conversations/imported', { method: 'PATCH', body: patch });
    expect(changed.body.conversation).toMatchObject({ title: 'France', canLearn: false });
    const list = await ask('/api/conversations?limit=5');
    expect(list.body.conversations[0].title).toBe('France');
    const back = { settings: { temperature: null } };
    await ask('/api/conversations/imported', { method: 'PATCH', body: back });
    const again = await ask('/api/conversations/imported');
    expect(again.body.conversation.settings).toEqual({});
  });

  it('find words, whatever their case', async () => {
    const { body } = await ask(`/api/search?query=${encodeURIComponent('LYON, i')}`);
    expect(body.hits).toHaveLength(1);
    const [hit] = body.hits;
    expect(hit.excerpt.slice(hit.start, hit.end)).toBe('Lyon, I');
  });

  it('add, edit, list and withdraw flags', async () => {
    const flag = {
      id: 'f2',
      conversationId: 'imported',
      replyId: 'a1',
      replySpan: { start: 6, end: 10, text: 'Lyon' },
      userSpan: { messageId: 'u1', span: { start: 12, end: 19, text: 'capital' } },
    };
    const added = await ask('/api/flags', { method: 'POST', body: flag });
    expect(added.status).toBe(201);
    expect(added.body.flag).toMatchObject({ messageId: 'u1', strength: 2, kind: 'missed' });
    const edited = await ask('/api/flags/f2', { method: 'PATCH', body: { strength: 3 } });
    expect(edited.body.flag.strength).toBe(3);
    const withdrawn = await ask('/api/flags/f2', { method: 'DELETE' });
    expect(withdrawn.body.flag.withdrawnAt).toBeGreaterThan(0);
    const late = await ask('/api/flags/f2', { method: 'PATCH', body: { strength: 1 } });
    expect([late.status, late.body.error.code]).toEqual([409, 'flag-withdrawn']);
    const wrong = { ...flag, id: 'f3', replySpan: { start: 6, end: 10, text: 'Nice' } };
    const refused = await ask('/api/flags', { method: 'POST', body: wrong });
    expect([refused.status, refused.body.error.code]).toEqual([422, 'span-mismatch']);
  });

  it('export the log and the flags as one object a line', async () => {
    const response = await fetch(`${daemon.url}/api/export`);
    const lines = (await response.text()).trim().split('\n');
    const types = lines.map((line) => (JSON.parse(line) as { type: string }).type);
    expect(types.slice(0, 3)).toEqual(['conversation', 'message', 'reply']);
    expect(types.filter((type) => type === 'flag')).toHaveLength(2);
  });

  it('delete a talk with its flags and its words', async () => {
    const deleted = await ask('/api/conversations/imported', { method: 'DELETE' });
    expect(deleted.status).toBe(200);
    expect((await ask('/api/conversations/imported')).body.error.code).toBe(
      'conversation-not-found',
    );
    expect((await ask('/api/flags')).body.flags).toEqual([]);
    expect(await readdir(join(daemon.folder, 'conversations'))).toEqual([]);
    expect(daemon.engine.forgotten).toEqual(['imported']);
  });

  it.each([
    ['GET', '/api/nothing', 404, 'route-unknown'],
    ['GET', '/api/conversations/none', 404, 'conversation-not-found'],
    ['GET', '/api/conversations/..%2F..%2Fflags', 400, 'message-invalid'],
    ['GET', '/api/conversations/%ff', 404, 'route-unknown'],
    ['GET', '/api/conversations?limit=0', 400, 'message-invalid'],
    ['GET', '/api/search', 400, 'message-invalid'],
    ['PUT', '/api/flags', 405, 'method-refused'],
    ['DELETE', '/api/flags/none', 404, 'flag-not-found'],
  ])('refuse %s %s with %i %s', async (method, path, status, code) => {
    const answer = await ask(path, { method });
    expect([answer.status, answer.body.error.code]).toEqual([status, code]);
  });

  it('take JSON only, so that no form of another site can be a request', async () => {
    const body = JSON.stringify(talk);
    const headers = { 'Content-Type': 'text/plain' };
    const response = await fetch(`${daemon.url}/api/conversations`, {
      method: 'POST',
      headers,
      body,
    });
    expect(response.status).toBe(400);
    const bad = await fetch(`${daemon.url}/api/conversations`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '{',
    });
    expect(bad.status).toBe(400);
    const unknown = { ...talk, id: 'x', colour: 'red' };
    const refused = await ask('/api/conversations', { method: 'POST', body: unknown });
    expect(refused.body.error.code).toBe('message-invalid');
  });

  it('say whether the daemon is ready', async () => {
    expect((await ask('/readyz')).status).toBe(200);
    daemon.engine.die();
    daemon.watch.onFailure(await daemon.engine.describe().catch((error: unknown) => error));
    const { status, body } = await ask('/readyz');
    expect([status, body.status]).toEqual([503, 'restarting']);
    daemon.engine.revive();
    await expect.poll(async () => (await ask('/readyz')).status).toBe(200);
  });
});

describe('pages', () => {
  it('come with a policy under which no foreign script runs', async () => {
    const response = await fetch(daemon.url);
    expect(await response.text()).toContain('Attune');
    const policy = response.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self'");
    expect(policy).not.toContain('unsafe');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(response.headers.get('x-frame-options')).toBe('DENY');
  });

  it('are the same for the routes of the client, and fixed files are kept', async () => {
    expect((await fetch(`${daemon.url}/nights/n0001`)).status).toBe(200);
    const asset = await fetch(`${daemon.url}/assets/app-1234.js`);
    expect(asset.headers.get('cache-control')).toContain('immutable');
    expect(asset.headers.get('content-type')).toContain('javascript');
    const etag = asset.headers.get('etag') ?? '';
    const again = await fetch(`${daemon.url}/assets/app-1234.js`, {
      headers: { 'If-None-Match': etag },
    });
    expect(again.status).toBe(304);
  });

  it.each([
    '/link.txt',
    '/../attune-outside.txt',
    '/..%2fattune-outside.txt',
    '/assets/..%5c..%5cattune-outside.txt',
    '/.env',
    '/assets/none.js',
    '//etc/passwd.txt',
  ])('never give what is not theirs: %s', async (path) => {
    const response = await fetch(daemon.url + path);
    expect(await response.text()).not.toContain('outside\n');
    expect(response.status).toBe(404);
  });
});

describe('an address where nothing is', () => {
  const HTML = { Accept: 'text/html,*/*' };

  it.each([
    ['GET', '/models', /ends with \/v1/],
    ['POST', '/chat/completions', /ends with \/v1/],
    ['GET', '/version', /nothing at \/version/],
    ['GET', '/v1', /nothing at \/v1/],
    ['GET', '/v1/nothing', /nothing at \/v1\/nothing/],
  ])('%s %s is told to programs as JSON', async (method, path, message) => {
    const response = await fetch(daemon.url + path, { method });
    expect([response.status, response.headers.get('content-type')]).toEqual([
      404,
      'application/json; charset=utf-8',
    ]);
    expect(JSON.stringify(await response.json())).toMatch(message);
  });

  it('is told to readers as a page', async () => {
    const response = await fetch(`${daemon.url}/nowhere`, { headers: HTML });
    expect([response.status, response.headers.get('content-type')]).toEqual([
      404,
      'text/html; charset=utf-8',
    ]);
    const page = await fetch(`${daemon.url}/nights`);
    expect([page.status, page.headers.get('content-type')]).toEqual([
      200,
      'text/html; charset=utf-8',
    ]);
  });
});

it('the embeddings that a client asks for are refused by name', async () => {
  const response = await fetch(`${daemon.url}/v1/embeddings`, { method: 'POST' });
  expect(response.status).toBe(404);
  expect(await response.json()).toMatchObject({
    error: { param: 'input', message: expect.stringContaining('upstream') },
  });
});

it('the health of the engine and the numbers of its replies are told', async () => {
  const client = await daemon.connect();
  await client.say('counted', 'm', 'count this');
  const text = await (await fetch(`${daemon.url}/metrics`)).text();
  const number = (name: string) =>
    Number(new RegExp(`^attune_${name} (\\S+)$`, 'm').exec(text)?.[1]);
  expect(number('replies_total')).toBeGreaterThan(0);
  expect(number('reply_tokens_total')).toBeGreaterThan(0);
  expect(number('engine_up')).toBe(1);
  expect(number('conversations')).toBe(daemon.store.conversations.size);
  for (const line of text.trimEnd().split('\n')) {
    expect(line).toMatch(/^(# (HELP|TYPE) attune_\w+ .+|attune_\w+ [\d.e+]+)$/);
  }
  expect((await fetch(`${daemon.url}/health`)).status).toBe(200);
});

it('all files of a store are for their owner alone', async () => {
  const client = await daemon.connect();
  const { reply } = await client.say('private', 'm', 'between us');
  client.send({
    type: 'flag-add',
    flag: { id: 'f', conversationId: 'private', replyId: reply.id },
  });
  await client.next('flag-added');
  await daemon.store.conversations.flush();
  const entries = await readdir(daemon.folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  expect(files.length).toBeGreaterThan(2);
  for (const file of files) {
    const { mode } = await stat(join(file.parentPath, file.name));
    expect(mode & 0o077, file.name).toBe(0);
  }
});
