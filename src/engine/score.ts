// Log-probabilities of given tokens on the path that serves, run by run; contexts that sequences
// share are run once.
import { at } from '../base/at.ts';
import type { ScoreRequest } from './engine.ts';
import type { Row, Runner, WeightFeeds } from './runner.ts';

export interface ScoreOptions {
  readonly runner: Runner;
  readonly weights: WeightFeeds;
  readonly prefillChunkTokens: number;
  /** Rows scored in one run: their logits (rows, vocabularySize) are in memory at once. */
  readonly rowsMax: number;
}

type Sequence = ScoreRequest['sequences'][number];

/** Yields after each run. @returns for each sequence log p of its tokens from `from` on */
export async function* score(
  sequences: readonly Sequence[],
  options: ScoreOptions,
): AsyncGenerator<void, Float32Array[]> {
  const { runner } = options;
  const scores: Float32Array[] = [];
  let before: Sequence | undefined;
  const row = runner.open();
  try {
    for (const sequence of sequences) {
      const shared = before === undefined ? 0 : sharedContext(before, sequence);
      if (row.tokens > shared) runner.truncate(row, shared);
      yield* prefill(row, sequence.ids.slice(0, sequence.from - 1), options);
      scores.push(yield* scoreTail(row, sequence, options));
      before = sequence;
    }
    return scores;
  } finally {
    runner.close(row);
  }
}

/** Leading tokens that are context of both and equal. */
function sharedContext(a: Sequence, b: Sequence): number {
  const longest = Math.min(a.from, b.from) - 1;
  let shared = 0;
  while (shared < longest && a.ids[shared] === b.ids[shared]) shared++;
  return shared;
}

/** Extends a row to hold these ids, in chunks. */
export async function* prefill(
  row: Row,
  ids: readonly number[],
  { runner, weights, prefillChunkTokens }: Omit<ScoreOptions, 'rowsMax'>,
): AsyncGenerator<void, void> {
  while (row.tokens < ids.length) {
    const chunk = ids.slice(row.tokens, row.tokens + prefillChunkTokens);
    await runner.extend(row, Int32Array.from(chunk), weights);
    yield;
  }
}

async function* scoreTail(
  row: Row,
  { ids, from }: Sequence,
  options: ScoreOptions,
): AsyncGenerator<void, Float32Array> {
  const scores = new Float32Array(ids.length - from);
  const { runner, weights, rowsMax } = options;
  for (let first = from - 1; first < ids.length - 1; first += rowsMax) {
    const run = Int32Array.from(ids.slice(first, Math.min(first + rowsMax, ids.length - 1)));
    const after = await runner.extend(row, run, weights, run.length);
    for (const [i, { logits, logSum }] of after.entries()) {
      scores[first + i - from + 1] = at(logits, at(ids, first + i + 1)) - logSum;
    }
    yield;
  }
  return scores;
}
