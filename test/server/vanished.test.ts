// What the daemon says and keeps where somebody takes files away while it runs.
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openTestDaemon, type TestDaemon } from './open-test-daemon.ts';

let daemon: TestDaemon;
beforeEach(async () => {
  daemon = await openTestDaemon();
  const client = await daemon.connect();
  for (const id of ['a', 'b', 'c']) {
    const { reply } = await client.say(id, `${id}-m`, `words of ${id}`);
    await daemon.conversations.addFlag({
      ...{ id: `flag-${id}`, conversationId: id, replyId: reply.id, kind: 'missed', strength: 2 },
      ...{ userSpan: null, replySpan: null, reason: null, betterWords: `better ${id}` },
    });
  }
});
afterEach(() => daemon.end());

const inStore = (...names: string[]): string => join(daemon.folder, ...names);

async function ask(path: string, method = 'GET', body?: object) {
  const response = await fetch(daemon.url + path, {
    ...{ method, headers: { 'Content-Type': 'application/json' } },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, text: await response.text() };
}

it('a conversation whose log is gone is deleted all the same, flags and all', async () => {
  await rm(inStore('conversations', 'a.jsonl'));
  expect(await ask('/api/conversations/a', 'DELETE')).toMatchObject({ status: 200 });
  expect((await ask('/api/flags')).text).not.toContain('better a');
  expect(daemon.store.conversations.ids()).toEqual(['b', 'c']);
});

it('an export leaves out the conversation whose log is gone, and the nights page names it', async () => {
  await rm(inStore('conversations', 'b.jsonl'));
  const { status, text } = await ask('/api/export');
  expect(status).toBe(200);
  expect(text).toContain('words of a');
  expect(text).toContain('words of c');
  expect((await ask('/api/nights')).text).toContain('The log of the conversation b is gone');
});

it('without its folder the store answers with codes, and goes on when it is back', async () => {
  await daemon.store.conversations.flush();
  await rename(inStore('conversations'), inStore('away'));
  const body = { id: 'n', title: 'N', origin: 'import', messages: [] };
  for (const [method, path, sent] of [
    ['PATCH', '/api/conversations/a', { title: 'x' }],
    ['POST', '/api/conversations', { conversationId: 'n' }],
    ['POST', '/api/conversations', body],
    ['GET', '/api/search?query=words', undefined],
  ] as const) {
    expect((await ask(path, method, sent)).text, path).not.toContain('internal-error');
  }
  await rename(inStore('away'), inStore('conversations'));
  expect((await ask('/api/conversations/b')).status).toBe(200);
});

it('flags of a conversation whose deletion is pending are told nobody, nor where it failed', async () => {
  daemon.store.consent.watch({
    letGo: () => Promise.reject(new Error(`ENOENT: no such file, open '${inStore('x.json')}'`)),
  });
  const { status, text } = await ask('/api/conversations/a', 'DELETE');
  expect(status).toBe(202);
  expect(text).toContain('x.json');
  expect(text).not.toContain(daemon.folder);
  expect((await ask('/api/flags')).text).not.toContain('better a');
  expect((await ask('/api/flags')).text).toContain('better b');
});
