// Where the compiled entry of a thread or a process is, whether this runs compiled or from src/.
import { existsSync } from 'node:fs';

/** @param name its path below dist/ */
export function compiledEntry(name: string): URL {
  const beside = new URL(`../${name}`, import.meta.url);
  return existsSync(beside) ? beside : new URL(`../../dist/${name}`, import.meta.url);
}
