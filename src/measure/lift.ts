// Attention lift of spans: how much more a row looks at a span than its length alone would give.
import type { AttentionCapture } from '../engine/engine.ts';
import type { TokenSpan } from '../scenario/example.ts';

/** Positions 0–3 take the surplus attention of most heads. Source: Xiao et al., arXiv:2309.17453. */
export const SINK_POSITIONS = 4;
/** Least share of attention that the logarithm sees. */
export const LIFT_FLOOR = 1e-4;

export interface LiftMap {
  readonly layers: number;
  readonly heads: number;
  /** (layers, heads): log of the span's share of non-sink attention over its share of tokens. */
  readonly lift: Float64Array;
}

/** Positions that count as sink: the first four and every control token. */
export function sinkPositions(
  ids: readonly number[],
  controlIds: ReadonlySet<number>,
): ReadonlySet<number> {
  const sink = new Set<number>();
  for (const [position, id] of ids.entries()) {
    if (position < SINK_POSITIONS || controlIds.has(id)) sink.add(position);
  }
  return sink;
}

/**
 * Lift of all spans of one feature together, per layer and head. For each row
 * `share = mass on the span / (1 − mass on the sink)`; the mean over the rows is set against
 * `span tokens / visible non-sink tokens`: `log(max(share, floor) / expected)`.
 * Undefined when no token of the spans is visible. Source of the sink: Xiao et al. 2023.
 */
export function attentionLift(
  capture: AttentionCapture,
  spans: readonly TokenSpan[],
  sink: ReadonlySet<number>,
): LiftMap | undefined {
  const { layers, heads, rows, keys } = capture;
  const inSpan = new Uint8Array(keys);
  for (const span of spans) inSpan.fill(1, span.start, Math.min(span.end, keys));
  for (const position of sink) inSpan[position] = 0;
  const expected = expectedShare(inSpan, rows, sink);
  if (expected === 0) return undefined;
  const lift = new Float64Array(layers * heads);
  for (let head = 0; head < lift.length; head++) {
    let share = 0;
    for (let row = 0; row < rows.length; row++) {
      share += rowShare(capture, { head, row, inSpan, sink }) / rows.length;
    }
    lift[head] = Math.log(Math.max(share, LIFT_FLOOR) / expected);
  }
  return { layers, heads, lift };
}

/** Mean over the rows of (visible span tokens / visible non-sink tokens). */
function expectedShare(
  inSpan: Uint8Array,
  rows: readonly number[],
  sink: ReadonlySet<number>,
): number {
  let total = 0;
  for (const row of rows) {
    let span = 0;
    let visible = 0;
    for (let key = 0; key <= row && key < inSpan.length; key++) {
      if (sink.has(key)) continue;
      visible++;
      span += inSpan[key] as number;
    }
    total += visible === 0 ? 0 : span / visible / rows.length;
  }
  return total;
}

interface RowQuery {
  readonly head: number;
  readonly row: number;
  readonly inSpan: Uint8Array;
  readonly sink: ReadonlySet<number>;
}

/** Attention on the span over attention on all that is no sink. */
function rowShare(
  { weights, rows, keys }: AttentionCapture,
  { head, row, inSpan, sink }: RowQuery,
): number {
  const weightAt = (head * rows.length + row) * keys;
  let span = 0;
  let all = 0;
  for (let key = 0; key < keys; key++) {
    if (sink.has(key)) continue;
    const weight = weights[weightAt + key] as number;
    all += weight;
    if (inSpan[key]) span += weight;
  }
  return all > 0 ? span / all : 0;
}

/** The layers of the window fixed in advance: the first two thirds. */
export function windowLayers(layers: number): number {
  return Math.ceil((2 * layers) / 3);
}

/** Mean over the heads of the window's layers. */
export function windowMean(values: Float64Array, layers: number, heads: number): number {
  const size = windowLayers(layers) * heads;
  return values.subarray(0, size).reduce((total, value) => total + value, 0) / size;
}
