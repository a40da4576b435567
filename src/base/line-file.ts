// Reads JSONL files, gzipped or not, one checked object at a time.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import type { z } from 'zod';
import { AttuneError, describeIssues } from './errors.ts';

/** @throws message-invalid with the number of the line, or saying that the gzip is damaged */
export async function* readLineFile<S extends z.ZodType>(
  path: string,
  schema: S,
): AsyncGenerator<z.infer<S>> {
  await assertFile(path);
  let number = 0;
  for await (const line of linesOf(path)) {
    number++;
    if (line.trim() === '') continue;
    yield parseLine(line, schema, `${path}:${number}`);
  }
}

/** Every object of a file that fits in memory. @throws as `readLineFile` */
export async function readWholeLineFile<S extends z.ZodType>(
  path: string,
  schema: S,
): Promise<z.infer<S>[]> {
  const all: z.infer<S>[] = [];
  for await (const value of readLineFile(path, schema)) all.push(value);
  return all;
}

async function* linesOf(path: string): AsyncGenerator<string> {
  const file = createReadStream(path);
  const input = path.endsWith('.gz') ? file.pipe(createGunzip()) : file;
  try {
    yield* createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  } catch (cause) {
    const message = `${path} cannot be read to its end.`;
    throw new AttuneError('message-invalid', message, { path }, { cause });
  }
}

async function assertFile(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() === true) return;
  throw new AttuneError('message-invalid', `There is no file ${path}.`, { path });
}

function parseLine<S extends z.ZodType>(line: string, schema: S, place: string): z.infer<S> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new AttuneError('message-invalid', `${place} is not JSON.`, { place }, { cause });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new AttuneError('message-invalid', `${place}: ${describeIssues(parsed.error)}`, { place });
}
