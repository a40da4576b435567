// KV caches of conversations between their turns; the least recently used are dropped first.
import { AttuneError } from '../base/errors.ts';
import type { VersionRun } from './engine.ts';
import type { Row, Runner } from './runner.ts';

/** A sequence's cache with the ids in it and who wrote which position. */
export interface CachedSequence {
  readonly row: Row;
  /** One id for each position of the row, at least. */
  readonly ids: readonly number[];
  /** Which version wrote which positions of the row; gapless from 0. */
  readonly runs: readonly VersionRun[];
}

export class PrefixCache {
  readonly #runner: Runner;
  readonly #entries = new Map<string, CachedSequence>();

  constructor(runner: Runner) {
    this.#runner = runner;
  }

  /** Bytes that eviction could free. */
  get bytes(): number {
    let tokens = 0;
    for (const { row } of this.#entries.values()) tokens += row.tokens;
    return tokens * this.#runner.bytesPerToken;
  }

  /** Keeps a sequence for the next turn; what the key had before is closed. */
  put(key: string, sequence: CachedSequence): void {
    this.forget(key);
    this.#entries.set(key, sequence);
  }

  /** Hands a sequence over, which is then the caller's. */
  take(key: string): CachedSequence | undefined {
    const entry = this.#entries.get(key);
    this.#entries.delete(key);
    return entry;
  }

  forget(key: string): void {
    const entry = this.take(key);
    if (entry !== undefined) this.#runner.close(entry.row);
  }

  /** Closes the least recently used until at most so many bytes are cached. */
  shrinkTo(bytes: number): void {
    for (const key of this.#entries.keys()) {
      if (this.bytes <= bytes) return;
      this.forget(key);
    }
  }
}

/** How many leading positions of a cached sequence serve a prompt under a version. */
export function reusableTokens(
  { row, ids, runs }: CachedSequence,
  prompt: readonly number[],
  { version, keepCache }: { version: string; keepCache: boolean },
): number {
  const [first] = runs;
  const own = first !== undefined && first[2] === version ? first[1] : 0;
  // The last prompt token always runs: its row predicts the first token of the reply.
  const longest = Math.min(keepCache ? row.tokens : own, row.tokens, prompt.length - 1);
  let common = 0;
  while (common < longest && ids[common] === prompt[common]) common++;
  return common;
}

/** The runs after positions `[from, to)` were written by `version`. */
export function withRun(
  runs: readonly VersionRun[],
  from: number,
  to: number,
  version: string,
): VersionRun[] {
  const kept = cutRuns(runs, from);
  const last = kept.at(-1);
  if (last === undefined || last[2] !== version) return [...kept, [from, to, version]];
  return [...kept.slice(0, -1), [last[0], to, version]];
}

/** The runs of the first `tokens` positions. */
export function cutRuns(runs: readonly VersionRun[], tokens: number): VersionRun[] {
  return runs
    .filter(([from]) => from < tokens)
    .map(([from, to, version]) => [from, Math.min(to, tokens), version]);
}

/**
 * A cache runs under the version that wrote it, unless it is kept on purpose.
 * @throws version-mismatch
 */
export function assertVersion(
  runs: readonly VersionRun[],
  version: string,
  { keepCache }: { keepCache: boolean },
): void {
  const foreign = runs.find((run) => run[2] !== version);
  if (foreign === undefined || keepCache) return;
  const message =
    `positions ${foreign[0]} to ${foreign[1]} of this cache were written by ${foreign[2]} ` +
    `and cannot run under ${version}; prefill them again or ask for keepCache`;
  throw new AttuneError('version-mismatch', message, { version, writtenBy: foreign[2] });
}
