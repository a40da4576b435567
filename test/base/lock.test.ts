import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { acquireLock, processStart } from '../../src/base/lock.ts';

let folder: string;
let child: ChildProcess | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-lock-'));
});
afterEach(() => {
  child?.kill('SIGKILL');
  child = undefined;
});

/** A process that sleeps, and a claim in its name. */
async function claimOfChild(changes: Record<string, unknown> = {}): Promise<string> {
  child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)'], { stdio: 'ignore' });
  await once(child, 'spawn');
  const own = await acquireLock(folder);
  const [name = ''] = await readdir(folder);
  const claim = JSON.parse(await readFile(join(folder, name), 'utf8'));
  await own.release();
  const started = { pid: child.pid, startedAt: processStart(child.pid ?? 0) };
  const path = join(folder, 'child.claim.json');
  await writeFile(path, JSON.stringify({ ...claim, ...started, purpose: 'a child', ...changes }));
  return path;
}

describe('a lock', () => {
  it('refuses a second holder, names the first, and is free after release', async () => {
    const lock = await acquireLock(folder, { purpose: 'attune start' });
    await expect(acquireLock(folder)).rejects.toMatchObject({
      code: 'store-locked',
      facts: { pid: process.pid },
    });
    await expect(acquireLock(folder)).rejects.toThrow('attune start');
    await lock.release();
    await (await acquireLock(folder)).release();
    expect(await readdir(folder)).toEqual([]);
  });

  it('is held by one at most when many ask at once', async () => {
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => acquireLock(folder)));
    const held = results.filter(({ status }) => status === 'fulfilled');
    expect(held.length).toBeLessThanOrEqual(1);
    for (const one of held) if (one.status === 'fulfilled') await one.value.release();
    await (await acquireLock(folder)).release();
  });

  it('respects a living process and takes over from one that was killed', async () => {
    await claimOfChild();
    await expect(acquireLock(folder)).rejects.toThrow('a child');
    child?.kill('SIGKILL');
    await once(child as ChildProcess, 'exit');
    await (await acquireLock(folder)).release();
    expect(await readdir(folder)).toEqual([]);
  });

  it('takes over when the pid belongs to another process now', async () => {
    await claimOfChild({ startedAt: '1' });
    await (await acquireLock(folder)).release();
  });

  it('takes over what is left from before the machine was started again', async () => {
    await claimOfChild({ boot: 'another' });
    await (await acquireLock(folder)).release();
  });

  it.each([{ host: 'elsewhere' }, { namespace: 'pid:[1]' }])(
    'believes a claim from %o as long as it is renewed',
    async (changes) => {
      const path = await claimOfChild(changes);
      await expect(acquireLock(folder)).rejects.toMatchObject({ code: 'store-locked' });
      const past = new Date(Date.now() - 60_000);
      await utimes(path, past, past);
      await (await acquireLock(folder)).release();
    },
  );

  it('respects a living process on Windows, which does not say when it started', async () => {
    const windows = { platform: 'win32' } as const;
    const path = await claimOfChild({ startedAt: '' });
    await expect(acquireLock(folder, windows)).rejects.toThrow('a child');
    const past = new Date(Date.now() - 60_000);
    await utimes(path, past, past);
    await (await acquireLock(folder, windows)).release();
    await claimOfChild({ startedAt: '' });
    child?.kill('SIGKILL');
    await once(child as ChildProcess, 'exit');
    await (await acquireLock(folder, windows)).release();
  });

  it('takes over from a claim that is damaged', async () => {
    await writeFile(join(folder, 'x.claim.json'), '{"pid":');
    await (await acquireLock(folder)).release();
    await writeFile(join(folder, 'x.claim.json'), '{"pid":-1}');
    await (await acquireLock(folder)).release();
  });
});

it('knows when a process started, and that none is there', () => {
  expect(processStart(process.pid)).toBe(processStart(process.pid));
  expect(processStart(process.pid)).not.toBe('');
  expect(processStart(2 ** 22 + 1)).toBeUndefined();
  expect(processStart(process.pid, 'win32')).toBe('');
  expect(processStart(2 ** 22 + 1, 'win32')).toBeUndefined();
});
