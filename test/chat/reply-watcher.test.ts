import { afterEach, expect, it } from 'vitest';
import { openTestDaemon, type TestDaemon } from '../server/open-test-daemon.ts';

let daemon: TestDaemon;
afterEach(() => daemon.end());

it('tells a watcher when the first of the replies begins and when the last is stored', async () => {
  daemon = await openTestDaemon({ tokenDelayMs: 2 });
  const seen: string[] = [];
  daemon.chat.watchReplies({
    onBusy: () => void seen.push('busy'),
    onIdle: () => void seen.push(`idle, ${daemon.chat.repliesRunning} running`),
  });
  const client = await daemon.connect();
  await Promise.all(['a', 'b'].map((id) => client.say(id, `${id}-m`, 'hello')));
  await expect.poll(() => seen).toEqual(['busy', 'idle, 0 running']);
  await client.say('a', 'a-m2', 'and again');
  await expect.poll(() => seen).toHaveLength(4);
});
