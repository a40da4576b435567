// How commands end when something goes wrong: one sentence on standard error and an exit code.
import { isAttuneError } from '../base/errors.ts';

/** 1: something outside is wrong, and the sentence says what to do. 70: a mistake of ours. */
export function reportError(
  error: unknown,
  output: { write(text: string): unknown } = process.stderr,
): number {
  if (isAttuneError(error)) {
    output.write(`attune: ${error.message} (${error.code})\n`);
    return 1;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  output.write(`attune: this is a mistake of Attune, not yours; please report it.\n${text}\n`);
  return 70;
}

/** What is not wrong enough to stop for, a line each, on standard error. */
export function reportWarnings(
  warnings: readonly string[],
  output: { write(text: string): unknown } = process.stderr,
): void {
  for (const warning of warnings) output.write(`attune: ${warning}\n`);
}
