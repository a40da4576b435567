// Reads folders that other programs fill: with bounds, so that no folder keeps a list waiting.
import { opendir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readTextBounded } from '../../base/atomic-file.ts';

/** Entries that are looked at in one folder, and in all folders of one program. */
const ENTRIES_MAX = 10_000;
const ENTRIES_OF_PROGRAM_MAX = 50_000;
/** A manifest or the name of a revision. */
const TEXT_BYTES_MAX = 2 ** 20;

/** What cannot be read is not there. One reader is for one program's folders. */
export class FolderReader {
  #left = ENTRIES_OF_PROGRAM_MAX;

  /** Names, sorted. */
  async names(folder: string): Promise<string[]> {
    const names: string[] = [];
    try {
      for await (const { name } of await opendir(folder)) {
        if (names.length === ENTRIES_MAX || this.#left-- <= 0) break;
        names.push(name);
      }
    } catch {
      // What was read so far is what there is.
    }
    return names.sort();
  }

  /** Names of the folders in a folder, also of those behind links. */
  async folders(folder: string): Promise<string[]> {
    const found: string[] = [];
    for (const name of await this.names(folder)) {
      const there = await stat(join(folder, name)).catch(() => undefined);
      if (there?.isDirectory() === true) found.push(name);
    }
    return found;
  }

  /** Of a small file. */
  text(path: string): Promise<string | undefined> {
    return readTextBounded(path, { bytesMax: TEXT_BYTES_MAX }).catch(() => undefined);
  }

  /** The path, where a regular file or a link to one is. */
  async file(path: string): Promise<string | undefined> {
    const there = await stat(path).catch(() => undefined);
    return there?.isFile() === true ? path : undefined;
  }
}
