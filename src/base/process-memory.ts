// How much memory this process takes; it knows nothing of what it is for.
import { readFileSync } from 'node:fs';

/** Resident memory in bytes; on Linux pages that processes share count by their share. */
export function proportionalBytes(): number {
  try {
    const match = /^Pss:\s+(\d+) kB/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'));
    if (match !== null) return Number(match[1]) * 1024;
  } catch {
    // Only Linux counts shares.
  }
  return process.memoryUsage.rss();
}
