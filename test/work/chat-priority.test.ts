import { describe, expect, it } from 'vitest';
import { ChatPriority } from '../../src/work/chat-priority.ts';

/** Whether a promise settles within a few turns of the event loop. */
async function settles(promise: Promise<unknown>): Promise<boolean> {
  let isSettled = false;
  const note = (): void => {
    isSettled = true;
  };
  promise.then(note, note);
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
  return isSettled;
}

describe("a night's work beside the chat", () => {
  it('goes on at once while no reply is being made', async () => {
    const priority = new ChatPriority(new AbortController().signal);
    expect(await settles(priority.pauseWhileBusy())).toBe(true);
  });

  it('waits while one is, all that ask, and goes on when it ends', async () => {
    const priority = new ChatPriority(new AbortController().signal);
    priority.pause();
    const [one, two] = [priority.pauseWhileBusy(), priority.untilIdle()];
    expect(await settles(Promise.race([one, two]))).toBe(false);
    priority.resume();
    expect(await settles(Promise.all([one, two]))).toBe(true);
  });

  it('waits again when the next reply began before it could go on', async () => {
    const priority = new ChatPriority(new AbortController().signal);
    priority.pause();
    const waiting = priority.untilIdle();
    expect(await settles(waiting)).toBe(false);
    priority.resume();
    priority.pause();
    expect(await settles(waiting)).toBe(false);
    priority.resume();
    expect(await settles(waiting)).toBe(true);
  });

  it('does not wait any longer once the night is stopped, and says so where it is asked to', async () => {
    const abort = new AbortController();
    const priority = new ChatPriority(abort.signal);
    priority.pause();
    const [quiet, loud] = [priority.untilIdle(), priority.pauseWhileBusy()];
    abort.abort(new Error('stopped'));
    await expect(quiet).resolves.toBeUndefined();
    await expect(loud).rejects.toThrow('stopped');
    await expect(priority.pauseWhileBusy()).rejects.toThrow('stopped');
  });
});
