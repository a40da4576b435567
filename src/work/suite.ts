// The test conversations of a folder.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readScenarios } from '../scenario/file.ts';
import type { Scenario } from '../scenario/scenario.ts';

/** All scenarios of the JSONL files of a folder, by file name. */
export async function readSuite(folder: string): Promise<Scenario[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.jsonl')).sort();
  const files = await Promise.all(names.map((name) => readScenarios(join(folder, name))));
  return files.flat();
}
