// Configuration from environment variables: ATTUNE_SERVER_PORT is server.port, and so on.
import { parse } from 'yaml';
import type { z } from 'zod';
import { GONE_KEYS, upgraded } from './gone-key.ts';
import { CONFIG_KEYS, type ConfigKey, nearestName } from './key.ts';

const PREFIX = 'ATTUNE_';

/** Short names of the values that people set most. */
const SHORT_NAMES: Readonly<Record<string, string>> = {
  ATTUNE_STORE: 'store.path',
  ATTUNE_MODEL: 'model.path',
  ATTUNE_HOST: 'server.host',
  ATTUNE_PORT: 'server.port',
  ATTUNE_TOKEN: 'server.token',
  ATTUNE_DEVICE: 'engine.device',
  ATTUNE_THREADS: 'engine.threads',
  ATTUNE_LOG_LEVEL: 'logger.level',
};

/** Names with our prefix that are read elsewhere and are not configuration values. */
const OTHER_NAMES = ['ATTUNE_CONFIG'];
const OTHER_PREFIX = 'ATTUNE_TEST_';

/** "server.limits.connectionsMax" → "ATTUNE_SERVER_LIMITS_CONNECTIONS_MAX" */
export function longName(key: string): string {
  const words = key.replaceAll('.', '_').replace(/([a-z\d])([A-Z])/g, '$1_$2');
  return `${PREFIX}${words.toUpperCase()}`;
}

/** Every variable that is read, with the key it sets. */
export const ENVIRONMENT_NAMES: ReadonlyMap<string, ConfigKey> = new Map([
  ...CONFIG_KEYS.map((entry) => [longName(entry.key), entry] as const),
  ...Object.entries(SHORT_NAMES).flatMap(([name, key]) =>
    CONFIG_KEYS.filter((entry) => entry.key === key).map((entry) => [name, entry] as const),
  ),
]);

const KNOWN_KEYS = new Set(CONFIG_KEYS.map(({ key }) => key));
/** Keys that may not be set any more, by their variable. */
const GONE_NAMES: ReadonlyMap<string, string> = new Map(
  Object.keys(GONE_KEYS)
    .filter((key) => !KNOWN_KEYS.has(key))
    .map((key) => [longName(key), key]),
);

/** Text as the value its schema wants: itself where text is wanted, else read as YAML. */
export function readScalar(text: string, schema?: z.ZodType): unknown {
  if (schema?.safeParse(text).success) return text;
  try {
    return parse(text) as unknown;
  } catch {
    return text;
  }
}

export interface Assignment {
  readonly path: readonly string[];
  readonly value: unknown;
  /** Where it was written, for messages. */
  readonly source: string;
}

/** What was written outside the file, with a sentence for each unknown and each gone name. */
export interface Assignments {
  readonly assignments: readonly Assignment[];
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

/** A gone key as assignments to today's, or undefined when the key is not gone. */
export function readGone(
  key: string,
  text: string,
  source: string,
): { readonly assignments: Assignment[]; readonly warning: string } | undefined {
  if (KNOWN_KEYS.has(key)) return undefined;
  const today = upgraded(key, readScalar(text), source);
  if (today === undefined) return undefined;
  const section = key.split('.').slice(0, -1);
  const assignments = Object.entries(today.values).map(([name, value]) => {
    return { path: [...section, name], value, source };
  });
  return { assignments, warning: today.warning };
}

/** Empty variables count as absent. */
export function readEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): Assignments {
  const before: Assignment[] = [];
  const assignments: Assignment[] = [];
  const problems: string[] = [];
  const warnings: string[] = [];
  for (const [name, text] of Object.entries(environment)) {
    if (!name.startsWith(PREFIX) || text === undefined || text === '') continue;
    if (OTHER_NAMES.includes(name) || name.startsWith(OTHER_PREFIX)) continue;
    const gone = readGone(GONE_NAMES.get(name) ?? '', text, name);
    if (gone !== undefined) {
      before.push(...gone.assignments);
      warnings.push(gone.warning);
      continue;
    }
    const entry = ENVIRONMENT_NAMES.get(name);
    if (entry === undefined) {
      const near = nearestName(name, [...ENVIRONMENT_NAMES.keys()]);
      problems.push(`${name} is not known${near ? `; did you mean ${near}?` : '.'}`);
      continue;
    }
    const value = readScalar(text, entry.schema);
    assignments.push({ path: entry.path, value, source: name });
  }
  // The long name of a value wins over its short one, whatever the order of the environment.
  assignments.sort((a, b) => Number(a.source in SHORT_NAMES) - Number(b.source in SHORT_NAMES));
  return { assignments: [...before, ...assignments.reverse()], problems, warnings };
}
