import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it, vi } from 'vitest';
import { openTestDaemon, type TestDaemon } from './open-test-daemon.ts';
import type { TestClient } from './test-client.ts';

// A daemon is started again and again.
vi.setConfig({ testTimeout: 60_000 });

/** A disk of one megabyte, or undefined where this process may not mount one. */
function mountSmallDisk(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'attune-small-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], { stdio: 'ignore' });
    return folder;
  } catch {
    rmSync(folder, { recursive: true });
    return undefined;
  }
}

const disk = mountSmallDisk();
const skipped = 'SKIPPED: a small tmpfs cannot be mounted here, so a full disk was not tested: ';
const title = (text: string): string => (disk === undefined ? skipped : '') + text;

let daemon: TestDaemon | undefined;

afterEach(async () => {
  if (disk !== undefined) rmSync(join(disk, 'filler'), { force: true });
  await daemon?.stop();
});

afterAll(() => {
  if (disk === undefined) return;
  execFileSync('umount', ['-l', disk]);
  rmSync(disk, { recursive: true });
});

function fill(folder: string): void {
  const { bavail, bsize } = statfsSync(folder);
  writeFileSync(join(folder, 'filler'), Buffer.alloc(bavail * bsize));
}

/** 'stored', or the code with which it was refused. */
async function outcomeOf(client: TestClient, requestId: string): Promise<string> {
  const look = (): string | undefined => {
    const isStored = client.all('message-stored').some((one) => one.requestId === requestId);
    return isStored
      ? 'stored'
      : client.all('error').find((one) => one.requestId === requestId)?.code;
  };
  await expect.poll(look, { timeout: 20_000 }).toBeDefined();
  return look() as string;
}

const quiet = (): Promise<void> =>
  expect.poll(() => daemon?.chat.repliesRunning, { timeout: 20_000 }).toBe(0);

it.skipIf(disk === undefined)(
  title('a full disk refuses with a code, keeps all it acknowledged, and goes on when freed'),
  async () => {
    const folder = join(disk as string, 'store');
    const config = { chat: { replyTokensMax: 20 } };
    daemon = await openTestDaemon({ folder, config });
    const client = await daemon.connect();
    const kept: string[] = [];
    fill(disk as string);
    // Small messages fit into what is left of a page, until that is full as well.
    let outcome = 'stored';
    for (let at = 0; outcome === 'stored' && at < 100; at++) {
      const id = `m${at}`;
      if (at === 2) fill(disk as string);
      const said = { conversationId: 'talk', messageId: id, text: 'y'.repeat(500) };
      client.send({ type: 'message-say', requestId: id, ...said });
      outcome = await outcomeOf(client, id);
      if (outcome === 'stored') kept.push(id);
      await quiet();
      if (at === 0 && outcome !== 'stored') {
        rmSync(join(disk as string, 'filler'));
        outcome = 'stored';
      }
    }
    expect(outcome).toBe('disk-full');
    client.send({ type: 'conversation-open', conversationId: 'talk' });
    await client.next('conversation-opened');
    rmSync(join(disk as string, 'filler'));
    const { reply } = await client.say('talk', 'after', 'there is room again');
    expect(reply.text).toBe('You said: there is r');
    kept.push('after');
    await daemon.stop();
    daemon = await openTestDaemon({ folder });
    const { entries } = await daemon.store.conversations.read('talk');
    const said = entries.filter(({ type }) => type === 'message').map(({ id }) => id);
    expect(said).toEqual(kept);
  },
  120_000,
);

it.skipIf(disk === undefined)(
  title('a reply that cannot be stored is told as failed, never as ended'),
  async () => {
    const config = { chat: { replyTokensMax: 3000 } };
    const options = { folder: join(disk as string, 'second'), config, windowTokens: 10_000 };
    daemon = await openTestDaemon(options);
    const client = await daemon.connect();
    // Longer than a page: what is left of the log's last one cannot hold it.
    const text = 'z'.repeat(1200);
    client.send({ type: 'message-say', conversationId: 'talk', messageId: 'm', text });
    await client.next('reply-delta');
    fill(disk as string);
    const failed = await client.next('reply-failed', () => true, 30_000);
    expect(failed.error.code).toBe('disk-full');
    expect(client.all('reply-end')).toEqual([]);
    rmSync(join(disk as string, 'filler'));
    client.send({ type: 'message-say', conversationId: 'talk', messageId: 'm', text });
    const { reply } = await client.next('reply-end', () => true, 30_000);
    expect(reply.text).toBe(`You said: ${text}`);
  },
  120_000,
);

it.skipIf(disk === undefined)(
  title('on a full disk a conversation is deleted all the same, and nothing of it comes back'),
  async () => {
    const folder = join(disk as string, 'deleting');
    rmSync(join(disk as string, 'filler'), { force: true });
    const config = { chat: { replyTokensMax: 20 } };
    daemon = await openTestDaemon({ folder, config, windowTokens: 100_000 });
    const client = await daemon.connect();
    await client.say('a', 'm1', `walnut ${'x'.repeat(50_000)}`);
    await client.say('b', 'm1', 'quince');
    fill(disk as string);
    const deletion = await fetch(`${daemon.url}/api/conversations/a`, { method: 'DELETE' });
    expect([200, 202]).toContain(deletion.status);
    expect(daemon.store.conversations.ids()).toEqual(['b']);
    rmSync(join(disk as string, 'filler'));
    await daemon.store.conversations.retryDeletions();
    const list = await fetch(`${daemon.url}/api/conversations`);
    expect(await list.json()).toMatchObject({ conversations: [{ id: 'b' }], deleting: [] });
    await daemon.stop();
    const holds = execFileSync('grep', ['-rlc', 'quince', folder], { encoding: 'utf8' });
    expect(holds).toContain('b.jsonl');
    expect(() => execFileSync('grep', ['-rl', 'walnut', folder])).toThrow();
  },
  60_000,
);
