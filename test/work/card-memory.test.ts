// What a night takes of a card's memory, as the tools of the system tell what is free.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import { type Model, readModel } from '../../src/model/model.ts';
import { graphicsCards } from '../../src/runtime/graphics-card.ts';
import { contextBytesOnCard } from '../../src/work/card-memory.ts';
import { FIXTURES } from '../model/runner.ts';

let folder: string;
let model: Model;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'attune-card-'));
  model = await readModel(join(FIXTURES, 'llama'), { cacheDir: folder });
  vi.stubEnv('PATH', `${folder}:${process.env.PATH}`);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

/** `nvidia-smi` of these lines, first in PATH. */
function nvidia(...lines: readonly string[]): void {
  const path = join(folder, 'nvidia-smi');
  writeFileSync(path, `#!/bin/sh\nprintf '%s\\n' ${lines.map((line) => `'${line}'`).join(' ')}\n`);
  chmodSync(path, 0o755);
}

describe('the cards of a machine', () => {
  it('are those of NVIDIA’s tool, and those of sysfs that it does not show', async () => {
    nvidia('A100, 570.1, 40960, 1024');
    for (const [card, driver] of [
      ['card0', 'nvidia'],
      ['card1', 'amdgpu'],
    ] as const) {
      const device = join(folder, 'drm', card, 'device');
      mkdirSync(device, { recursive: true });
      symlinkSync(`/drivers/${driver}`, join(device, 'driver'));
      const files = {
        vendor: '0x1',
        device: '0x2',
        mem_info_vram_total: '800',
        mem_info_vram_used: '300',
      };
      for (const [name, text] of Object.entries(files))
        writeFileSync(join(device, name), `${text}\n`);
    }
    expect(await graphicsCards(join(folder, 'drm'))).toEqual([
      { name: 'A100', driver: 'nvidia 570.1', memoryBytes: 40 * 2 ** 30, freeBytes: 2 ** 30 },
      { name: 'PCI 0x1:0x2', driver: 'amdgpu', memoryBytes: 800, freeBytes: 500 },
    ]);
  });
});

describe('the contexts of a night on a card', () => {
  const config = configSchema.parse({ train: { contextCacheBytesMax: 2 ** 28 } });

  it('are as many as configured where there is room, on the card with the most memory', async () => {
    nvidia('small, 1, 1000, 1000', 'large, 1, 8000, 4000');
    expect(await contextBytesOnCard(config, model)).toBe(2 ** 28);
  });

  it('are what is left beside the chat, which goes before them', async () => {
    nvidia('card, 1, 1000, 600');
    const left = await contextBytesOnCard(config, model);
    expect(left).toBeGreaterThan(2 ** 20);
    expect(left).toBeLessThan(600 * 2 ** 20 - config.engine.cacheBytesMax);
    const chatElsewhere = configSchema.parse({ ...config, engine: { device: 'cpu' } });
    expect(await contextBytesOnCard(chatElsewhere, model)).toBe(2 ** 28);
  });

  it('are refused where the weights do not fit, so that the night goes on on the CPU', async () => {
    nvidia('card, 1, 1000, 500');
    await expect(contextBytesOnCard(config, model)).rejects.toMatchObject({
      code: 'runtime-failed',
      message: expect.stringMatching(
        /^0\.5 GB of its memory are free, and a night takes 0\.5 beside/,
      ),
    });
  });
});
