// What a command prints when it fails, and its exit code.
import { isAttuneError } from '../base/errors.ts';
import { printable } from './chat/terminal.ts';

/** A line on standard output. */
export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** @returns 1 for an operating error, whose message says what to do; 70 for a bug of Attune */
export function reportError(
  error: unknown,
  output: { write(text: string): unknown } = process.stderr,
): number {
  if (isAttuneError(error)) {
    output.write(`attune: ${printable(error.message)} (${error.code})\n`);
    return 1;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  output.write(`attune: this is a bug in Attune; please report it.\n${text}\n`);
  return 70;
}

/** What is not wrong enough to stop for, a line each, on standard error. */
export function reportWarnings(
  warnings: readonly string[],
  output: { write(text: string): unknown } = process.stderr,
): void {
  for (const warning of warnings) output.write(`attune: ${printable(warning)}\n`);
}
