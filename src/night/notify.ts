// Tells the person of a morning with a program of theirs; what becomes of it changes no night.
import { spawn } from 'node:child_process';
import type { Logger } from '../base/logger.ts';

/** One that hangs is ended. */
const TIMEOUT_MS = 30_000;

/** @param command a program and its arguments; empty: nobody is told */
export function notify(
  command: readonly string[],
  { headline, url }: { readonly headline: string; readonly url: string },
  logger: Logger,
): void {
  const [program, ...given] = command;
  if (program === undefined) return;
  const child = spawn(program, [...given, headline, url], {
    stdio: 'ignore',
    timeout: TIMEOUT_MS,
  });
  const failed = (facts: object): void =>
    logger.warn({ program, ...facts }, 'notify.command did not do its work');
  child.on('error', (error) => failed({ error }));
  child.on('exit', (code, signal) => {
    if (code !== 0) failed({ code, signal });
  });
  child.unref();
}
