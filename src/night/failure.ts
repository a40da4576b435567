// Failures of a night under way, counted in its folder: one that repeats ends it for good.
import { join } from 'node:path';
import { z } from 'zod';
import { readJsonBounded, writeJsonAtomic } from '../base/atomic-file.ts';
import { isAttuneError } from '../base/errors.ts';
import type { Folder } from '../base/file-ops.ts';
import { WORK } from '../record/files.ts';

/** In the folder that is removed at the commit. */
const FAILURES = join(WORK, 'failures.json');
const failuresSchema = z.strictObject({ schema: z.literal(1), codes: z.array(z.string()) });

/** Not the night's own failing: a person frees the disk, or puts the model back. */
const FROM_OUTSIDE = ['disk-full', 'model-changed'];

/** The code with which a night's process failed; undefined: it was told to end, or never began. */
export function failureCode(error: unknown): string | undefined {
  if (!isAttuneError(error, 'night-failed')) return undefined;
  const { cause } = error.facts;
  return typeof cause === 'string' ? cause : undefined;
}

/** Notes the failure. True when the night has failed in this way before. */
export async function isRepeated({ path, ops }: Folder, code: string): Promise<boolean> {
  if (FROM_OUTSIDE.includes(code)) return false;
  const file = join(path, FAILURES);
  const before = await readJsonBounded(file, failuresSchema, { ops }).catch(() => undefined);
  const codes = before?.codes ?? [];
  if (codes.includes(code)) return true;
  await ops.makeFolder(join(path, WORK));
  await writeJsonAtomic(file, { schema: 1, codes: [...codes, code] }, ops);
  return false;
}
