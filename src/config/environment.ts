// Configuration from outside the file: ATTUNE_SERVER_PORT and `--set server.port` are server.port,
// and so on.
import { parse } from 'yaml';
import { GONE_KEYS } from './gone-key.ts';
import { CONFIG_KEYS, type ConfigKey, nearestName, type Written } from './key.ts';

const PREFIX = 'ATTUNE_';

/** Short names of the values that people set most. */
const SHORT_NAMES: Readonly<Record<string, string>> = {
  'store.path': 'ATTUNE_STORE',
  'model.path': 'ATTUNE_MODEL',
  'server.host': 'ATTUNE_HOST',
  'server.port': 'ATTUNE_PORT',
  'server.token': 'ATTUNE_TOKEN',
  'engine.device': 'ATTUNE_DEVICE',
  'engine.threads': 'ATTUNE_THREADS',
  'logger.level': 'ATTUNE_LOG_LEVEL',
};

/** Names with our prefix that are read elsewhere and are not configuration values. */
const OTHER_NAMES = ['ATTUNE_CONFIG'];
const OTHER_PREFIX = 'ATTUNE_TEST_';

/** "server.limits.connectionsMax" → "ATTUNE_SERVER_LIMITS_CONNECTIONS_MAX" */
function longName(key: string): string {
  const words = key.replaceAll('.', '_').replace(/([a-z\d])([A-Z])/g, '$1_$2');
  return `${PREFIX}${words.toUpperCase()}`;
}

/** What a name sets: a key of today, or one of an earlier version, which has no schema. */
type Names = ReadonlyMap<string, Pick<ConfigKey, 'path'> & Partial<ConfigKey>>;

/** Every key, those of earlier versions too, by its name; without one where that is empty. */
function namesOf(nameOf: (key: string) => string): Names {
  const gone = Object.keys(GONE_KEYS).filter((key) => GONE_KEYS[key]?.only === undefined);
  const earlier = gone.map((key) => ({ key, path: key.split('.') }));
  const named = [...CONFIG_KEYS, ...earlier].map((entry) => [nameOf(entry.key), entry] as const);
  return new Map(named.filter(([name]) => name !== ''));
}

const KEY_NAMES = namesOf((key) => key);

/** Every variable that is read; the long name of a value comes after its short one, and wins. */
export const ENVIRONMENT_NAMES: Names = new Map([
  ...namesOf((key) => SHORT_NAMES[key] ?? ''),
  ...namesOf(longName),
]);

function unknown(name: string, names: Names): string {
  const known = [...names].filter(([, { schema }]) => schema !== undefined);
  const near = nearestName(
    name,
    known.map(([one]) => one),
  );
  return `${name} is not known${near ? `; did you mean ${near}?` : '.'}`;
}

/** Text as the value its key wants: itself where text is wanted, else read as YAML. */
function valueFrom(text: string, { schema }: Partial<ConfigKey>): unknown {
  if (schema?.safeParse(text).success) return text;
  try {
    return parse(text) as unknown;
  } catch {
    return text;
  }
}

/**
 * Empty variables count as absent.
 * @param problems gets a sentence for each unknown name
 */
export function readEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  problems: string[],
): Written[] {
  const ours = Object.keys(environment).filter((name) => {
    const isOther = OTHER_NAMES.includes(name) || name.startsWith(OTHER_PREFIX);
    return name.startsWith(PREFIX) && !isOther && environment[name];
  });
  for (const name of ours) {
    if (!ENVIRONMENT_NAMES.has(name)) problems.push(unknown(name, ENVIRONMENT_NAMES));
  }
  return [...ENVIRONMENT_NAMES].flatMap(([name, entry]) => {
    const text = environment[name];
    return text ? [{ path: entry.path, value: valueFrom(text, entry), source: name }] : [];
  });
}

/** @param texts "section.key=value" each  @param problems gets a sentence for each that is not */
export function readAssignments(texts: readonly string[], problems: string[]): Written[] {
  return texts.flatMap((text) => {
    const [, key = text, value] = /^([^=]*)=(.*)$/s.exec(text) ?? [];
    const entry = KEY_NAMES.get(key);
    if (value !== undefined && entry !== undefined) {
      return [{ path: entry.path, value: valueFrom(value, entry), source: `--set ${key}` }];
    }
    const malformed = `"${text}" must be written as section.key=value.`;
    problems.push(value === undefined ? malformed : unknown(key, KEY_NAMES));
    return [];
  });
}
