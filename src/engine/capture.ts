// Reads attention weights of chosen query rows out of the model, for `Engine.capture`; memory grows
// with rows × keys, never with keys².
import { at } from '../base/at.ts';
import type { HostTensor, Program } from '../runtime/executor.ts';
import { ascending, bool, i32, takeAll } from '../runtime/host-tensor.ts';
import type { AttentionCapture, CaptureRequest } from './engine.ts';
import type { Row, Runner } from './runner.ts';
import { prefill, type ScoreOptions } from './score.ts';

export interface CaptureOptions extends Omit<ScoreOptions, 'rowsMax'> {
  /** The primitive graph's `attention`, chosen rows, own past. */
  readonly program: Program;
  readonly layers: number;
  readonly heads: number;
}

/** Positions run at once where attention is read: inside the graph they are rows × keys as well. */
const WINDOW_TOKENS = 64;

/** Yields after each run. The keys end with the last row: none sees a later one. */
export async function* capture(
  { ids, rows }: Pick<CaptureRequest, 'ids' | 'rows'>,
  options: CaptureOptions,
): AsyncGenerator<void, AttentionCapture> {
  const { runner, layers, heads } = options;
  const keys = (rows.at(-1) ?? -1) + 1;
  const weights = new Float32Array(layers * heads * rows.length * keys);
  const row = runner.open();
  try {
    for (let done = 0; done < rows.length; ) {
      const start = at(rows, done);
      const chosen = rows.slice(done).filter((each) => each < start + WINDOW_TOKENS);
      yield* prefill(row, ids.slice(0, start), options);
      const run = await runWindow(row, ids, chosen, options);
      const target = { weights, firstRow: done, rows: rows.length, keys };
      for (let layer = 0; layer < layers; layer++) {
        copyAttention(run.outputs[`attention.${layer}`] as HostTensor, { ...run, layer }, target);
      }
      done += chosen.length;
      yield;
    }
    return { layers, heads, rows, keys, weights };
  } finally {
    runner.close(row);
  }
}

interface WindowRun {
  readonly outputs: Readonly<Record<string, HostTensor>>;
  /** Keys of the past, without and with its padding, and of this run. */
  readonly tokens: number;
  readonly capacity: number;
  readonly length: number;
}

async function runWindow(
  row: Row,
  ids: readonly number[],
  chosen: readonly number[],
  { runner, program, weights, layers }: CaptureOptions,
): Promise<WindowRun> {
  const [first = 0] = chosen;
  const end = at(chosen, -1) + 1;
  const { feeds: all, capacity } = runInputs(runner, row, ids.slice(first, end));
  // No attention is computed from the last layer's values, so they are no input.
  const { [`past.${layers - 1}.value`]: _, ...feeds } = all;
  const rows = i32(
    [1, chosen.length],
    Int32Array.from(chosen, (each) => each - first),
  );
  const outputs = await takeAll(await program.run({ ...weights, ...feeds, rows }));
  return { outputs, tokens: row.tokens, capacity, length: end - first };
}

/** (1, heads, chosen, capacity + length) into (layers, heads, rows, keys), padding left out. */
function copyAttention(
  { data, shape }: HostTensor,
  { layer, tokens, capacity, length }: WindowRun & { readonly layer: number },
  target: { weights: Float32Array; firstRow: number; rows: number; keys: number },
): void {
  const [, heads = 0, chosen = 0, width = 0] = shape;
  const attention = data as Float32Array;
  for (let head = 0; head < heads; head++) {
    for (let r = 0; r < chosen; r++) {
      const from = (head * chosen + r) * width;
      const line = (layer * heads + head) * target.rows + target.firstRow + r;
      const to = line * target.keys;
      target.weights.set(attention.subarray(from, from + tokens), to);
      target.weights.set(
        attention.subarray(from + capacity, from + capacity + length),
        to + tokens,
      );
    }
  }
}

/** What the primitive graph reads to run `ids` upon a row. */
function runInputs(
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
