import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type Logger, silentLogger } from '../../src/base/logger.ts';
import { notify } from '../../src/night/nightly.ts';

// A program is started, on a busy machine.
vi.setConfig({ testTimeout: 60_000 });
const PATIENT = { timeout: 30_000 };

const MORNING = { headline: 'Night 3: "better"; $(rm -rf /)', url: 'http://localhost:1/nights/n3' };
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-notify-'));
});
afterEach(() => rm(folder, { recursive: true }));

function watched(): { logger: Logger; warnings: unknown[] } {
  const warnings: unknown[] = [];
  const warn = (facts: unknown): void => void warnings.push(facts);
  return { warnings, logger: { ...silentLogger, warn } as Logger };
}

it('runs the program with what the night came to and its address, as they are', async () => {
  const path = join(folder, 'told.json');
  const script = `require('fs').writeFileSync(${JSON.stringify(path)}, JSON.stringify(process.argv.slice(1)))`;
  const { logger, warnings } = watched();
  notify([process.execPath, '-e', script, 'Attune'], MORNING, logger);
  const told = () => readFile(path, 'utf8').then(JSON.parse, () => null);
  await expect.poll(told, PATIENT).toEqual(['Attune', MORNING.headline, MORNING.url]);
  expect(warnings).toEqual([]);
});

it('says in the log when the program is not there or fails, and does nothing without one', async () => {
  const { logger, warnings } = watched();
  notify([], MORNING, logger);
  notify([join(folder, 'nowhere')], MORNING, logger);
  await expect.poll(() => warnings, PATIENT).toHaveLength(1);
  notify([process.execPath, '-e', 'process.exit(3)'], MORNING, logger);
  await expect.poll(() => warnings[1], PATIENT).toMatchObject({ code: 3 });
});
