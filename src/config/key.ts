// Names of configuration values: every dotted key, its leaf schema, and the nearest known name.
import { z } from 'zod';
import { configSchema } from './schema.ts';

export interface ConfigKey {
  /** "server.limits.connectionsMax" */
  readonly key: string;
  readonly path: readonly string[];
  readonly schema: z.ZodType;
  /** What it means, with its unit. */
  readonly description: string;
}

/** One value as somebody wrote it. */
export interface Written {
  readonly path: readonly string[];
  readonly value: unknown;
  /** Where it was written, for messages. */
  readonly source: string;
}

export interface ConfigSection {
  /** "server.limits" */
  readonly key: string;
  readonly description: string;
  readonly keys: readonly ConfigKey[];
}

/** Without its wrappers: default, prefault, optional. */
function bare(schema: z.core.$ZodType): z.core.$ZodType {
  const isWrapper =
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodOptional;
  return isWrapper ? bare(schema.def.innerType) : schema;
}

function membersOf(schema: z.core.$ZodType): Readonly<Record<string, z.core.$ZodType>> | undefined {
  const inner = bare(schema);
  return inner instanceof z.ZodObject ? inner.shape : undefined;
}

/** What stands on the schema itself counts before what stands on the one that it wraps. */
function describe(schema: z.core.$ZodType): string {
  const described = [schema, bare(schema)].map((one) => z.globalRegistry.get(one)?.description);
  return described.find((text) => text !== undefined) ?? '';
}

function collect(schema: z.core.$ZodType, path: readonly string[]): ConfigSection[] {
  const members = Object.entries(membersOf(schema) ?? {}).map(([name, member]) => ({
    path: [...path, name],
    schema: member as z.ZodType,
    isSection: membersOf(member) !== undefined,
  }));
  const keys = members
    .filter(({ isSection }) => !isSection)
    .map((one) => ({ ...one, key: one.path.join('.'), description: describe(one.schema) }));
  const below = members.filter(({ isSection }) => isSection);
  return [
    { key: path.join('.'), description: describe(schema), keys },
    ...below.flatMap((one) => collect(one.schema, one.path)),
  ];
}

/** Every section, in the order of the schema, each before the sections within it. */
export const CONFIG_SECTIONS: readonly ConfigSection[] = collect(configSchema, []).slice(1);

/** Every value there is. */
export const CONFIG_KEYS: readonly ConfigKey[] = CONFIG_SECTIONS.flatMap(({ keys }) => keys);

/** Names of the members at a place; empty when there is no such section. */
export function namesAt(path: readonly string[]): string[] {
  let schema: z.core.$ZodType = configSchema;
  for (const name of path) {
    const member: z.core.$ZodType | undefined = membersOf(schema)?.[name];
    if (member === undefined) return [];
    schema = member;
  }
  return Object.keys(membersOf(schema) ?? {});
}

/** Levenshtein distance, letters alike in upper and lower case. */
function editDistance(a: string, b: string): number {
  const left = a.toLowerCase();
  const right = b.toLowerCase();
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const replaced = (row[j - 1] as number) + (left[i - 1] === right[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[right.length] as number;
}

/** The known name nearest to what was written, or undefined when none is near. */
export function nearestName(written: string, known: readonly string[]): string | undefined {
  const text = written.slice(0, 200);
  const [best] = known
    .map((name) => ({ name, distance: editDistance(text, name) }))
    .sort((a, b) => a.distance - b.distance);
  if (best === undefined) return undefined;
  return best.distance <= Math.max(2, Math.floor(best.name.length / 2)) ? best.name : undefined;
}
