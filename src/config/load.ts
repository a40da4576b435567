// Reads the configuration: file < environment < options, checked as a whole, frozen.
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseDocument } from 'yaml';
import type { z } from 'zod';
import { readTextBounded } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import { sha256Json } from '../base/hash.ts';
import {
  type Assignment,
  type Assignments,
  readEnvironment,
  readGone,
  readScalar,
} from './environment.ts';
import { GONE_KEYS, upgraded } from './gone-key.ts';
import { CONFIG_KEYS, namesAt, nearestName } from './key.ts';
import { type Config, type ConfigPatch, configSchema } from './schema.ts';

export interface LoadConfigOptions {
  /** Must exist when named here or in ATTUNE_CONFIG; else config/attune.yaml of the installation. */
  readonly file?: string | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Values of command line options. */
  readonly options?: ConfigPatch;
  /** "section.key=value", as `--set` gives them; these win over `options`. */
  readonly assignments?: readonly string[] | undefined;
}

export interface LoadedConfig {
  readonly config: Config;
  /** The file that was read, if any. */
  readonly file: string | undefined;
  /** Where each value was written, by its key; what is not here is a default. */
  readonly sources: ReadonlyMap<string, string>;
  /** One sentence for each key of an earlier version. */
  readonly warnings: readonly string[];
}

const FILE_BYTES_MAX = 1_048_576;

/** The folder that holds package.json, from src/ as from dist/. */
export const installationFolder = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

/** Of Attune, as its package.json has it. */
export async function installedVersion(): Promise<string> {
  const text = await readTextBounded(join(installationFolder, 'package.json'));
  const { version } = JSON.parse(text ?? '{}') as { version?: unknown };
  return typeof version === 'string' ? version : 'unknown';
}

/** @throws config-invalid with every problem, its place and where it was written */
export async function loadConfig(input: LoadConfigOptions = {}): Promise<LoadedConfig> {
  const environment = input.environment ?? {};
  const { file, values } = await readConfigFile(
    input.file ?? (environment.ATTUNE_CONFIG || undefined),
  );
  const fromFile = upgradeFile(values, file ?? 'the file');
  const fromEnvironment = readEnvironment(environment);
  const fromAssignments = readAssignments(input.assignments ?? []);
  const problems = [...fromEnvironment.problems, ...fromAssignments.problems];

  const sources = new Map<string, string>();
  const tree: Record<string, unknown> = {};
  merge(tree, fromFile.values, { source: file ?? 'the file', sources });
  for (const one of fromEnvironment.assignments) assign(tree, one, sources);
  merge(tree, input.options ?? {}, { source: 'the options', sources });
  for (const one of fromAssignments.assignments) assign(tree, one, sources);

  const parsed = configSchema.safeParse(tree);
  if (!parsed.success) {
    problems.push(...parsed.error.issues.flatMap((issue) => explain(issue, sources)));
  }
  if (!parsed.success || problems.length > 0) {
    const message = `The configuration has errors: ${problems.join(' ')}`;
    throw new AttuneError('config-invalid', message, {
      problems: problems.join('\n'),
      file: file ?? null,
    });
  }
  const all = [fromFile, fromEnvironment, fromAssignments];
  const warnings = all.flatMap((each) => each.warnings);
  return { config: freeze(parsed.data), file, sources, warnings };
}

/** What a run was configured with, for manifests; the token has no part in it. */
export function configHash(config: Config): string {
  return sha256Json({ ...config, server: { ...config.server, token: '' } });
}

async function readConfigFile(
  named: string | undefined,
): Promise<{ file: string | undefined; values: Record<string, unknown> }> {
  const file = resolve(named ?? join(installationFolder, 'config', 'attune.yaml'));
  const text = await readTextBounded(file, { bytesMax: FILE_BYTES_MAX });
  if (text === undefined) {
    if (named === undefined) return { file: undefined, values: {} };
    throw new AttuneError('config-invalid', `There is no configuration file ${file}.`, { file });
  }
  const document = parseDocument(text, { uniqueKeys: true });
  const [first] = document.errors;
  if (first !== undefined) {
    const message = `${file} is not YAML: ${first.message}`;
    throw new AttuneError('config-invalid', message, { file }, { cause: first });
  }
  let values: unknown;
  try {
    // Aliases that multiply (a "billion laughs") are refused here.
    values = document.toJS({ maxAliasCount: 20 });
  } catch (cause) {
    throw new AttuneError('config-invalid', `${file} cannot be read.`, { file }, { cause });
  }
  if (values === null) return { file, values: {} };
  if (isRecord(values)) return { file, values };
  throw new AttuneError('config-invalid', `${file} must hold sections, not a list.`, { file });
}

/** Values of a file as they are called today; a key that is given under both names keeps the new. */
function upgradeFile(values: Readonly<Record<string, unknown>>, file: string) {
  const today = structuredClone(values);
  const warnings: string[] = [];
  for (const key of Object.keys(GONE_KEYS)) {
    const path = key.split('.');
    const name = path.pop() as string;
    const members = path.reduce<unknown>((at, part) => (isRecord(at) ? at[part] : at), today);
    if (!isRecord(members) || !Object.hasOwn(members, name)) continue;
    const found = upgraded(key, members[name], file);
    if (found === undefined) continue;
    delete members[name];
    for (const [other, value] of Object.entries(found.values)) members[other] ??= value;
    warnings.push(found.warning);
  }
  return { values: today, warnings };
}

function readAssignments(texts: readonly string[]): Assignments {
  const assignments: Assignment[] = [];
  const problems: string[] = [];
  const warnings: string[] = [];
  for (const text of texts) {
    const at = text.indexOf('=');
    const key = at === -1 ? text : text.slice(0, at);
    const entry = CONFIG_KEYS.find((candidate) => candidate.key === key);
    const gone = readGone(key, text.slice(at + 1), `--set ${key}`);
    if (at === -1) {
      problems.push(`"${text}" must be written as section.key=value.`);
    } else if (gone !== undefined) {
      assignments.push(...gone.assignments);
      warnings.push(gone.warning);
    } else if (entry === undefined) {
      const near = nearestName(
        key,
        CONFIG_KEYS.map((candidate) => candidate.key),
      );
      problems.push(`${key} is not known${near ? `; did you mean ${near}?` : '.'}`);
    } else {
      const value = readScalar(text.slice(at + 1), entry.schema);
      assignments.push({ path: entry.path, value, source: `--set ${key}` });
    }
  }
  return { assignments, problems, warnings };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

interface MergeContext {
  readonly source: string;
  readonly sources: Map<string, string>;
  readonly path?: readonly string[];
}

/** An empty section (`server:` and nothing below) is as if it were not there. */
function merge(tree: Record<string, unknown>, values: object, context: MergeContext): void {
  const { source, sources, path = [] } = context;
  for (const [name, value] of Object.entries(values)) {
    const place = [...path, name];
    if (value === undefined || (value === null && namesAt(place).length > 0)) continue;
    if (isRecord(value) && namesAt(place).length > 0) {
      const below = isRecord(tree[name]) ? tree[name] : {};
      tree[name] = below;
      merge(below, value, { source, sources, path: place });
    } else {
      Object.defineProperty(tree, name, {
        value,
        enumerable: true,
        writable: true,
        configurable: true,
      });
      sources.set(place.join('.'), source);
    }
  }
}

function assign(
  tree: Record<string, unknown>,
  { path, value, source }: Assignment,
  sources: Map<string, string>,
): void {
  const nested = path.reduceRight<unknown>((inner, name) => ({ [name]: inner }), value);
  if (isRecord(nested)) merge(tree, nested, { source, sources });
}

/** One sentence a problem, with the place, the source and the nearest known name. */
function explain(issue: z.core.$ZodIssue, sources: ReadonlyMap<string, string>): string[] {
  const path = issue.path.map(String);
  const place = path.join('.');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((name) => {
      const key = [...path, name].join('.');
      const near = nearestName(name, namesAt(path));
      const hint = near === undefined ? '.' : `; did you mean ${[...path, near].join('.')}?`;
      return `${key}${from(sources.get(key))} is not known${hint}`;
    });
  }
  return [`${place}${from(sources.get(place))}: ${issue.message}.`];
}

function from(source: string | undefined): string {
  return source === undefined ? '' : ` (from ${source})`;
}

function freeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) {
    if (typeof member === 'object' && member !== null) freeze(member);
  }
  return Object.freeze(value);
}
