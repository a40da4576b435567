// What the system says of its graphics cards; it loads no driver.
import { execFile } from 'node:child_process';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { bytesText } from '../hub/progress-bar.ts';

export interface GraphicsCard {
  readonly name: string;
  readonly driver?: string;
  readonly memoryBytes?: number;
}

const QUERY = ['--query-gpu=name,driver_version,memory.total', '--format=csv,noheader,nounits'];

/** NVIDIA's by its own tool, others of Linux by sysfs; none where neither says anything. */
export async function graphicsCards(drm = '/sys/class/drm'): Promise<GraphicsCard[]> {
  const names = await readdir(drm).catch(() => []);
  const others = names.filter((name) => /^card\d+$/.test(name)).map((name) => join(drm, name));
  const cards = await Promise.all(others.map((path) => cardAt(join(path, 'device'))));
  return [...(await nvidiaCards()), ...cards.filter(({ driver }) => driver !== 'nvidia')];
}

async function nvidiaCards(): Promise<GraphicsCard[]> {
  const answer = await promisify(execFile)('nvidia-smi', QUERY, { timeout: 10_000 }).catch(
    () => undefined,
  );
  return (answer?.stdout ?? '')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [name = '', driver = '', megabytes] = line.split(',').map((part) => part.trim());
      return { name, driver: `nvidia ${driver}`, memoryBytes: Number(megabytes) * 2 ** 20 };
    });
}

async function cardAt(device: string): Promise<GraphicsCard> {
  const read = (file: string): Promise<string | undefined> =>
    readFile(join(device, file), 'utf8').then(
      (text) => text.trim(),
      () => undefined,
    );
  const [vendor, id, memory] = [
    await read('vendor'),
    await read('device'),
    await read('mem_info_vram_total'),
  ];
  const driver = await readlink(join(device, 'driver')).catch(() => undefined);
  return {
    name: `PCI ${vendor ?? 'unknown'}:${id ?? 'unknown'}`,
    ...(driver === undefined ? {} : { driver: basename(driver) }),
    ...(memory === undefined ? {} : { memoryBytes: Number(memory) }),
  };
}

export function cardText({ name, driver, memoryBytes }: GraphicsCard): string {
  const memory = memoryBytes === undefined ? '' : `, ${bytesText(memoryBytes)}`;
  return `${name}, driver ${driver ?? 'unknown'}${memory}`;
}
