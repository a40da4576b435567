// `attune night verify` where no daemon runs: it reads the ledgers of the configured store as they are.
import { execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { registerNight } from '../../src/cli/night/night-command.ts';

const STORE = new URL('../fixtures/store/2026-11-22/', import.meta.url).pathname;
const FIRST = 'n0001-2026-11-20';
const SECOND = 'n0002-2026-11-21';

let store: string;
beforeEach(async () => {
  store = await mkdtemp(join(tmpdir(), 'attune-verify-'));
  await cp(STORE, store, { recursive: true });
  vi.stubEnv('ATTUNE_STORE', store);
  vi.stubEnv('ATTUNE_PORT', String(await freePort()));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  process.exitCode = undefined;
  await rm(store, { recursive: true });
});

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0));
    });
  });
}

async function verify(): Promise<{ text: string; exitCode: unknown }> {
  const program = new Command().exitOverride();
  registerNight(program);
  let text = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((piece) => {
    text += String(piece);
    return true;
  });
  try {
    await program.parseAsync(['node', 'attune', 'night', 'verify']);
  } finally {
    write.mockRestore();
  }
  return { text, exitCode: process.exitCode };
}

const inNight = (night: string, name: string): string => join(store, 'ledger/nights', night, name);

describe('attune night verify without a daemon', () => {
  it('finds a sound store sound, and changes nothing in it', async () => {
    const before = await readdir(store, { recursive: true });
    expect(await verify()).toMatchObject({
      text: expect.stringMatching(/^base-[0-9a-f]{12}: 2 nights, sound\n$/),
      exitCode: undefined,
    });
    expect(await readdir(store, { recursive: true })).toEqual(before);
  });

  it('names every damage of a store at once, and throws for none', async () => {
    await writeFile(inNight(FIRST, 'manifest.json'), '{');
    await writeFile(inNight(SECOND, 'deleted.json'), '');
    await writeFile(inNight(SECOND, 'dreams.jsonl'), 'not what was written');
    await rm(inNight(SECOND, 'delta.safetensors'));
    execFileSync('mkfifo', [inNight(SECOND, 'delta.safetensors')]);
    await mkdir(inNight('n0004-2026-11-24', ''));
    await writeFile(join(store, 'ledger/head.json'), '"');
    const { text, exitCode } = await verify();
    expect(exitCode).toBe(1);
    const lines = text.split('\n');
    for (const [night, what] of [
      [FIRST, 'cannot be read'],
      [SECOND, 'deleted.json'],
      [SECOND, 'dreams.jsonl was changed'],
      [SECOND, 'delta.safetensors'],
      ['n0004-2026-11-24', 'cannot be read'],
      ['ledger', 'head.json'],
    ] as const) {
      const isFound = lines.some((line) => line.startsWith(night) && line.includes(what));
      expect(isFound, `${night}, ${what}, in:\n${text}`).toBe(true);
    }
    expect(text).toContain('DAMAGED');
  });
});
