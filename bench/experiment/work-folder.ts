// The folder of an experiment: pieces of work that any number of processes claim, one file each.
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeJsonAtomic } from '../../src/base/atomic-file.ts';

export class WorkFolder {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async makeFolder(): Promise<void> {
    await mkdir(this.#path, { recursive: true });
  }

  at(...parts: string[]): string {
    return join(this.#path, ...parts);
  }

  async read<T>(...parts: string[]): Promise<T | undefined> {
    return readFile(this.at(...parts), 'utf8').then(
      (text) => JSON.parse(text) as T,
      () => undefined,
    );
  }

  /** Names of the finished pieces of a kind. */
  async done(kind: string): Promise<string[]> {
    return this.#named(kind, '.json');
  }

  async #named(kind: string, ending: string): Promise<string[]> {
    const files = await readdir(this.at(kind)).catch((): string[] => []);
    return files.flatMap((file) => (file.endsWith(ending) ? [file.slice(0, -ending.length)] : []));
  }

  async readAll<T>(kind: string): Promise<T[]> {
    const names = await this.done(kind);
    const all = await Promise.all(names.map((name) => this.read<T>(kind, `${name}.json`)));
    return all.filter((one) => one !== undefined);
  }

  /** Takes a piece for this process; false when it is done or a living process has it. */
  async claims(kind: string, name: string): Promise<boolean> {
    await mkdir(this.at(kind), { recursive: true });
    if ((await this.done(kind)).includes(name) || (await this.hasFailed(kind, name))) return false;
    const claim = this.at(kind, `${name}.claim`);
    const holder = await readFile(claim, 'utf8').catch(() => undefined);
    if (holder !== undefined) {
      if (holder === '' || isAlive(Number(holder))) return false;
      await rm(claim, { force: true });
    }
    return writeFile(claim, `${process.pid}`, { flag: 'wx' }).then(
      () => true,
      () => false,
    );
  }

  /** Keeps why a piece cannot be done; it is not tried again. */
  async fail(kind: string, name: string, { message }: Error): Promise<void> {
    await writeJsonAtomic(this.at(kind, `${name}.failed`), { message });
    await rm(this.at(kind, `${name}.claim`), { force: true });
  }

  async hasFailed(kind: string, name: string): Promise<boolean> {
    return (await this.failures(kind)).includes(name);
  }

  async failures(kind: string): Promise<string[]> {
    return this.#named(kind, '.failed');
  }

  /** All that was given up, `<kind> <name>: <why>`. */
  async allFailures(): Promise<string[]> {
    const kinds = await readdir(this.#path).catch((): string[] => []);
    const lists = kinds.map(async (kind) =>
      Promise.all(
        (await this.failures(kind)).map(async (name) => {
          const found = await this.read<{ message: string }>(kind, `${name}.failed`);
          return `${kind} ${name}: ${found?.message}`;
        }),
      ),
    );
    return (await Promise.all(lists)).flat();
  }

  async finish(kind: string, name: string, record: object): Promise<void> {
    await writeJsonAtomic(this.at(kind, `${name}.json`), record);
    await rm(this.at(kind, `${name}.claim`), { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
