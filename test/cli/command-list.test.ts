import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { COMMANDS, createProgram } from '../../src/cli/command-list.ts';
import { installationFolder } from '../../src/config/load.ts';

const namesOf = async (called: string | undefined): Promise<string[]> =>
  (await createProgram(called)).commands.map((command) => command.name());

describe('the list of commands', () => {
  it('names every command once, in the order of the help', async () => {
    expect(await namesOf(undefined)).toEqual(Object.keys(COMMANDS));
  });

  const alone = Object.keys(COMMANDS).filter((name) => name !== 'completion');
  it.each(alone)('loads %s when it is called, and little else', async (name) => {
    const names = await namesOf(name);
    expect(names).toContain(name);
    expect(names.length).toBeLessThanOrEqual(4);
  });

  it.each(['--help', 'nothing', 'constructor'])('loads them all for %s', async (name) => {
    expect(await namesOf(name)).toHaveLength(Object.keys(COMMANDS).length);
  });
});

const main = join(installationFolder, 'dist', 'main.js');

it.skipIf(!existsSync(main))(
  existsSync(main)
    ? "loads no native runtime into the daemon's process"
    : "SKIPPED, run npm run build first: loads no native runtime into the daemon's process",
  () => {
    const print = 'process.report.getReport().sharedObjects.join()';
    const script = `await import(${JSON.stringify(main)}); console.log(${print});`;
    const loaded = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    expect(loaded).toContain('libc');
    expect(loaded).not.toMatch(/onnxruntime|tensorflow/);
  },
);
