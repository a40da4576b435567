// What the system says of its graphics cards; it loads no driver.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';

export interface GraphicsCard {
  readonly name: string;
  readonly driver?: string;
  readonly memoryBytes?: number;
  readonly freeBytes?: number;
}

export const NVIDIA = '/dev/nvidiactl';

/** False where Linux shows no graphics device: loading a software adapter would take seconds. */
export function mayHaveCard(): boolean {
  if (process.platform !== 'linux') return true;
  return ['/dev/dri', NVIDIA, '/dev/dxg'].some((path) => existsSync(path));
}

const QUERY = 'name,driver_version,memory.total,memory.free';

/** NVIDIA's by its own tool, others of Linux by sysfs; none where neither says anything. */
export async function graphicsCards(drm = '/sys/class/drm'): Promise<GraphicsCard[]> {
  const names = await readdir(drm).catch(() => []);
  const others = names.filter((name) => /^card\d+$/.test(name)).map((name) => join(drm, name));
  const cards = await Promise.all(others.map((path) => cardAt(join(path, 'device'))));
  return [...(await nvidiaCards()), ...cards.filter(({ driver }) => driver !== 'nvidia')];
}

async function nvidiaCards(): Promise<GraphicsCard[]> {
  const query = [`--query-gpu=${QUERY}`, '--format=csv,noheader,nounits'];
  const run = promisify(execFile)('nvidia-smi', query, { timeout: 10_000 });
  const { stdout } = await run.catch(() => ({ stdout: '' }));
  const lines = stdout.split('\n').filter((line) => line.trim() !== '');
  return lines.map((line) => {
    const [name = '', driver = '', total, free] = line.split(',').map((part) => part.trim());
    const [memoryBytes, freeBytes] = [Number(total) * 2 ** 20, Number(free) * 2 ** 20];
    return { name, driver: `nvidia ${driver}`, memoryBytes, freeBytes };
  });
}

async function cardAt(device: string): Promise<GraphicsCard> {
  const read = (file: string): Promise<string | undefined> =>
    readFile(join(device, file), 'utf8').then(
      (text) => text.trim(),
      () => undefined,
    );
  const [vendor, id] = [await read('vendor'), await read('device')];
  const [memory, used] = [await read('mem_info_vram_total'), await read('mem_info_vram_used')];
  const driver = await readlink(join(device, 'driver')).catch(() => undefined);
  return {
    name: `PCI ${vendor ?? 'unknown'}:${id ?? 'unknown'}`,
    ...(driver === undefined ? {} : { driver: basename(driver) }),
    ...(memory === undefined ? {} : { memoryBytes: Number(memory) }),
    ...(memory === undefined || used === undefined
      ? {}
      : { freeBytes: Number(memory) - Number(used) }),
  };
}
