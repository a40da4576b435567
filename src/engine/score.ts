// Log-probabilities of given tokens, run by run; contexts that sequences share are run once.
import type { HostTensor, Program } from '../runtime/executor.ts';
import { ascending, bool, i32, takeAll } from '../runtime/host-tensor.ts';
import type { Engine, ScoreRequest } from './engine.ts';
import type { Row, Runner, WeightFeeds } from './runner.ts';

export interface ScoreOptions {
  readonly runner: Runner;
  /** The primitive graph's `logProbabilities`, all rows, own past. */
  readonly program: Program;
  readonly weights: WeightFeeds;
  readonly prefillChunkTokens: number;
  /** Rows scored in one run: their logits (rows, vocabularySize) are in memory at once. */
  readonly rowsMax: number;
}

type Sequence = ScoreRequest['sequences'][number];

const WARM_UP_TOKENS = 32;

/**
 * Scores once when nobody is answered, so that the program of a swap's probe is compiled then and
 * not between two tokens of a reply. Keeps no process alive.
 * @param afterMs how long after now, and again while it is busy then
 */
export function warmUpScoring(
  engine: Engine,
  options: { readonly isBusy: () => boolean; readonly afterMs: number },
): void {
  setTimeout(() => {
    if (options.isBusy()) return warmUpScoring(engine, options);
    const ids = new Array<number>(WARM_UP_TOKENS).fill(0);
    // What fails here fails again, and is reported, when a probe is asked for.
    engine.score({ sequences: [{ ids, from: 1 }] }).catch(() => undefined);
  }, options.afterMs).unref();
}

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
  {
    runner,
    weights,
    prefillChunkTokens,
  }: Pick<ScoreOptions, 'runner' | 'weights' | 'prefillChunkTokens'>,
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
  const { rowsMax } = options;
  for (let first = from - 1; first < ids.length - 1; first += rowsMax) {
    const end = Math.min(first + rowsMax, ids.length - 1);
    yield* prefill(row, ids.slice(0, first), options);
    const { feeds } = runInputs(options.runner, row, ids.slice(first, end));
    const targets = i32([1, end - first], Int32Array.from(ids.slice(first + 1, end + 1)));
    const run = await options.program.run({ ...options.weights, ...feeds, targets });
    const { logProbabilities } = await takeAll(run);
    scores.set(logProbabilities?.data as Float32Array, first - from + 1); // (1, end - first)
    yield;
  }
  return scores;
}

/** What the primitive graph reads to run `ids` upon a row. */
export function runInputs(
  runner: Runner,
  row: Row,
  ids: readonly number[],
): { feeds: Record<string, HostTensor>; capacity: number } {
  const past = runner.pastOf(row);
  const length = ids.length;
  const mask = new Uint8Array(past.capacity + length).fill(1); // 1 = may be attended
  mask.fill(0, row.tokens, past.capacity);
  const feeds = {
    ...past.feeds,
    ids: i32([1, length], Int32Array.from(ids)),
    positions: ascending([1, length], row.tokens),
    keyMask: bool([1, mask.length], mask),
  };
  return { feeds, capacity: past.capacity };
}
