// The environment of a child process that holds much memory; it knows nothing of what that is for.

/**
 * Asks glibc (2.35 or later) for transparent huge pages in blocks of 2 MB, smaller allocations
 * sharing one. A decode step reads every weight once, and with pages of 4 kB it waits for the
 * address translation: measured a third off the time of its matrix products. Other C libraries
 * ignore it, and so does a kernel that gives no huge pages.
 * Source: glibc manual, Memory Allocation Tunables.
 */
const TUNABLES = 'glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=2097152';

/** `environment` with huge pages for a child on Linux; what the user set there himself stays. */
export function withHugePages(
  environment: NodeJS.ProcessEnv,
  platform: NodeJS.Platform = process.platform,
): NodeJS.ProcessEnv {
  if (platform !== 'linux' || environment.GLIBC_TUNABLES !== undefined) return environment;
  return { ...environment, GLIBC_TUNABLES: TUNABLES };
}
