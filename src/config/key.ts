// Names of configuration values: every dotted key, its leaf schema, and the nearest known name.
import { z } from 'zod';
import { configSchema } from './schema.ts';

export interface ConfigKey {
  /** "server.limits.connectionsMax" */
  readonly key: string;
  readonly path: readonly string[];
  readonly schema: z.ZodType;
}

/** Follows wrappers such as default and prefault to an object's members. */
function membersOf(schema: z.core.$ZodType): Readonly<Record<string, z.core.$ZodType>> | undefined {
  if (schema instanceof z.ZodObject) return schema.shape;
  if (schema instanceof z.ZodPrefault || schema instanceof z.ZodDefault) {
    return membersOf(schema.def.innerType);
  }
  return undefined;
}

function collect(schema: z.core.$ZodType, path: readonly string[]): ConfigKey[] {
  const members = membersOf(schema);
  if (members === undefined) {
    return [{ key: path.join('.'), path, schema: schema as z.ZodType }];
  }
  return Object.entries(members).flatMap(([name, member]) => collect(member, [...path, name]));
}

/** Every value there is, in the order of the schema. */
export const CONFIG_KEYS: readonly ConfigKey[] = collect(configSchema, []);

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
