// Scenarios on disk: one JSON object a line, in and out; a bad line is refused with its number.
import { readFile } from 'node:fs/promises';
import { parsedJson } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import { parseScenario, type Scenario } from './scenario.ts';

/** Reads scenarios; blank lines are skipped. @throws scenario-invalid `<path>:<line>: …` */
export async function readScenarios(path: string): Promise<Scenario[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    const message = `${path}: cannot be read; give a JSONL file of scenarios`;
    throw new AttuneError('scenario-invalid', message, { path }, { cause });
  }
  return parseScenarios(text, path);
}

/** @throws scenario-invalid naming the line, also for an id that occurs twice. */
export function parseScenarios(text: string, path: string): Scenario[] {
  const scenarios: Scenario[] = [];
  const lineOf = new Map<string, number>();
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const where = `${path}:${index + 1}`;
    const scenario = parseScenario(parsedJson(line), where);
    const earlier = lineOf.get(scenario.id);
    if (earlier !== undefined) {
      const message = `${where}: the id "${scenario.id}" is also that of line ${earlier}`;
      throw new AttuneError('scenario-invalid', message, { where });
    }
    lineOf.set(scenario.id, index + 1);
    scenarios.push(scenario);
  }
  return scenarios;
}

/** The text of a file that `readScenarios` reads back to the same scenarios. */
export function printScenarios(scenarios: readonly Scenario[]): string {
  return scenarios.map((scenario) => `${JSON.stringify(scenario)}\n`).join('');
}
