// The end of a device, in a process of its own: what is freed after it would end the process.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { whyNoWebGpu } from './swiftshader.ts';

const SCRIPT = fileURLToPath(new URL('../fixtures/process/closing-device.mjs', import.meta.url));

const unavailable = await whyNoWebGpu();
const title = `a device at its end${unavailable === undefined ? '' : ` (${unavailable})`}`;

describe.skipIf(unavailable !== undefined)(title, () => {
  // Software compiles shaders for minutes where other tests want the processor too.
  it('is outlived by values, which then say so, and by no constant', {
    timeout: 600_000,
  }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'attune-device-end-'));
    const path = join(folder, 'c.bin');
    writeFileSync(path, new Uint8Array(16_384));
    const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT, path]).finally(() =>
      rmSync(folder, { recursive: true }),
    );
    expect(stdout).toBe('closed; a value of (2048, 2) f32 was used after its release\n');
  });
});
