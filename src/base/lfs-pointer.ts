// What is in the place of a large file where a repository was cloned without Git LFS.

/** Source: git-lfs, docs/spec.md: every pointer begins with its version. */
const BEGINNING = 'version https://git-lfs.github.com/';

/** For a message about a file that `isLfsPointer`. */
export const LFS_POINTER = 'it is a Git LFS pointer, not the file itself; run `git lfs pull`';

/** @param beginning bytes or text of a file, from its start */
export function isLfsPointer(beginning: Uint8Array | string): boolean {
  if (typeof beginning === 'string') return beginning.startsWith(BEGINNING);
  return Buffer.from(beginning.subarray(0, BEGINNING.length)).toString('latin1') === BEGINNING;
}
