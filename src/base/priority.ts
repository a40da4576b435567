// The priority of a process that nobody waits for.
import type { ChildProcess } from 'node:child_process';
import { setPriority } from 'node:os';

/**
 * Threads that it starts from now on have it, too.
 * @param niceness 0 (as others) to 19; a system that does not let us lower it (some containers) is
 * no reason not to work
 */
export function lowerPriority({ pid }: Pick<ChildProcess, 'pid'>, niceness: number): void {
  if (pid === undefined) return;
  try {
    setPriority(pid, niceness);
  } catch {
    // It stays as it is.
  }
}
