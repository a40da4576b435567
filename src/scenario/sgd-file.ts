// Reads the gzipped JSONL files of Schema-Guided Dialogue and its direction moments, checked.
import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { z } from 'zod';
import { AttuneError } from '../base/errors.ts';
import type { SgdDialogue, SgdMoment } from './sgd.ts';

const dialogueSchema = z.object({
  id: z.string(),
  services: z.array(z.string()),
  turns: z.array(
    z.object({
      role: z.enum(['user', 'assistant']),
      text: z.string().min(1),
      acts: z.array(z.tuple([z.string(), z.string(), z.string()])),
    }),
  ),
});

const momentSchema = z.object({
  id: z.string(),
  kind: z.string(),
  changes: z.array(z.tuple([z.string(), z.string(), z.string()])).default([]),
  reply: z.string(),
  foil: z.string().nullish(),
});

/** @throws scenario-invalid naming the line. */
export async function readSgdDialogues(path: string): Promise<SgdDialogue[]> {
  return readLines(path, dialogueSchema);
}

/** @throws scenario-invalid naming the line. */
export async function readSgdMoments(path: string): Promise<SgdMoment[]> {
  return readLines(path, momentSchema);
}

async function readLines<T>(path: string, schema: z.ZodType<T>): Promise<T[]> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new AttuneError('scenario-invalid', `${path}: cannot be read`, { path }, { cause });
  });
  const lines = gunzipSync(bytes).toString('utf8').split('\n');
  return lines.flatMap((line, index) => {
    if (line.trim() === '') return [];
    const parsed = schema.safeParse(JSON.parse(line));
    if (parsed.success) return [parsed.data];
    const message = `${path}:${index + 1}: ${parsed.error.issues[0]?.message}`;
    throw new AttuneError('scenario-invalid', message, { path, line: index + 1 });
  });
}
