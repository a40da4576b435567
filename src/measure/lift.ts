// Attention lift of spans: how much more a row looks at a span than its length alone would give.
import type { AttentionCapture } from '../engine/engine.ts';

/** Positions 0–3 take the surplus attention of most heads. Source: Xiao et al., arXiv:2309.17453. */
export const SINK_POSITIONS = 4;
/** Least share of attention that the logarithm sees. */
export const LIFT_FLOOR = 1e-4;

/** Key positions of a span, `[start, end)` in tokens of the captured sequence. */
export interface TokenSpan {
  readonly feature: string;
  readonly start: number;
  readonly end: number;
}

export interface LiftMap {
  readonly layers: number;
  readonly heads: number;
  /** (layers, heads): log of the span's share of non-sink attention over its share of tokens. */
  readonly lift: Float64Array;
  /** (layers, heads): the same with each weight times the norm of its value after W_o. */
  readonly valueLift: Float64Array;
  /** (layers, heads): mean attention on the sink. */
  readonly sink: Float64Array;
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
 * Undefined when no token of the spans is visible. Source: Kobayashi et al. 2020, arXiv:2004.10102
 * (value norms); Xiao et al. 2023 (sink).
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
  const size = layers * heads;
  const lift = new Float64Array(size);
  const valueLift = new Float64Array(size);
  const sinkMass = new Float64Array(size);
  for (let head = 0; head < size; head++) {
    let plain = 0;
    let valued = 0;
    for (let row = 0; row < rows.length; row++) {
      const share = rowShare(capture, { head, row, inSpan, sink });
      plain += share.plain / rows.length;
      valued += share.valued / rows.length;
      sinkMass[head] = (sinkMass[head] as number) + share.sink / rows.length;
    }
    lift[head] = Math.log(Math.max(plain, LIFT_FLOOR) / expected);
    valueLift[head] = Math.log(Math.max(valued, LIFT_FLOOR) / expected);
  }
  return { layers, heads, lift, valueLift, sink: sinkMass };
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

function rowShare(
  { weights, valueNorms, rows, keys }: AttentionCapture,
  { head, row, inSpan, sink }: RowQuery,
): { plain: number; valued: number; sink: number } {
  const weightAt = (head * rows.length + row) * keys;
  let span = 0;
  let rest = 0;
  let spanValued = 0;
  let restValued = 0;
  let sinkMass = 0;
  for (let key = 0; key < keys; key++) {
    const weight = weights[weightAt + key] as number;
    if (sink.has(key)) {
      sinkMass += weight;
      continue;
    }
    const valued = weight * (valueNorms[head * keys + key] as number);
    rest += weight;
    restValued += valued;
    if (inSpan[key]) {
      span += weight;
      spanValued += valued;
    }
  }
  return {
    plain: rest > 0 ? span / rest : 0,
    valued: restValued > 0 ? spanValued / restValued : 0,
    sink: sinkMass,
  };
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
