// The test conversations of a folder.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { NightPlan } from '../record/message.ts';
import { readScenarios } from '../scenario/file.ts';
import type { Scenario } from '../scenario/scenario.ts';

/** All scenarios of the JSONL files of a folder, by file name. */
export async function readSuite(folder: string): Promise<Scenario[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.jsonl')).sort();
  const files = await Promise.all(names.map((name) => readScenarios(join(folder, name))));
  return files.flat();
}

/** A model of at most this size knows only the world of the companion's test conversations. */
const SMALL_PARAMETERS_MAX = 50_000_000;

/** What judges a model of this size, below the folder of all suites. */
export function judgingSuites(
  suites: string,
  parameters: number,
): Pick<NightPlan, 'suiteFolder' | 'sceneFolder'> {
  if (parameters <= SMALL_PARAMETERS_MAX) return { suiteFolder: join(suites, 'companion') };
  return { suiteFolder: join(suites, 'open'), sceneFolder: join(suites, 'listen') };
}
