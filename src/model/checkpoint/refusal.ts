// The two ways in which a model folder is refused, and how foreign values are quoted in messages.
import type { z } from 'zod';
import { AttuneError } from '../../base/errors.ts';

const QUOTE_CHARACTERS_MAX = 80;

/** What is there is sound, but not implemented here. */
export function unsupported(path: string, reason: string): AttuneError {
  return new AttuneError('model-unsupported', `${path}: ${reason}.`, { path, reason });
}

/** What is there is not what it should be. `field` is the key or tensor that is wrong. */
export function damaged(path: string, field: string, reason: string, cause?: unknown): AttuneError {
  const message = `${path}: ${field}: ${reason}.`;
  return new AttuneError('model-damaged', message, { path, field }, { cause });
}

/** @throws model-damaged naming the first field that does not fit */
export function checked<T>(schema: z.ZodType<T>, value: unknown, path: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.map(String).join('.') || '(root)';
  throw damaged(path, field, issue?.message ?? 'unexpected content', parsed.error);
}

/** A value from outside, for a message; nested ones only by their kind. */
export function quote(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, QUOTE_CHARACTERS_MAX));
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
