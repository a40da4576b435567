// Reads the configuration: file < environment < options, checked as a whole, frozen.
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseDocument } from 'yaml';
import type { z } from 'zod';
import { readTextBounded } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import { sha256Json } from '../base/hash.ts';
import { readAssignments, readEnvironment } from './environment.ts';
import { today } from './gone-key.ts';
import { namesAt, nearestName, type Written } from './key.ts';
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
  const problems: string[] = [];
  const warnings: string[] = [];
  const written = [
    ...today(leavesOf(values, file ?? 'the file'), warnings, { isFile: true }),
    ...today(readEnvironment(environment, problems), warnings),
    ...leavesOf(input.options ?? {}, 'the options'),
    ...today(readAssignments(input.assignments ?? [], problems), warnings),
  ];
  const sources = new Map(written.map(({ path, source }) => [path.join('.'), source]));
  const tree = written.reduce<unknown>((at, { path, value }) => withValue(at, path, value), {});
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

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Every value, by its place; an empty section (`server:` and nothing below) has none. */
function leavesOf(values: object, source: string, path: readonly string[] = []): Written[] {
  return Object.entries(values).flatMap(([name, value]) => {
    const place = [...path, name];
    const isSection = namesAt(place).length > 0;
    if (isSection && isRecord(value)) return leavesOf(value, source, place);
    const isAbsent = value === undefined || (isSection && value === null);
    return isAbsent ? [] : [{ path: place, value, source }];
  });
}

/** The tree with a value at its place; what is no section gives way. */
function withValue(tree: unknown, [name, ...below]: readonly string[], value: unknown): unknown {
  if (name === undefined) return value;
  const members = isRecord(tree) ? tree : {};
  return { ...members, [name]: withValue(members[name], below, value) };
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
