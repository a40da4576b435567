// Small drawings of numbers: an interval beside zero, a line over nights, a map of heads.
import type { VNode } from 'preact';
import { fixed, signed } from '../../../src/protocol/number-text.ts';
import type { EstimateView, LiftView, MeasureView } from '../../../src/protocol/summary.ts';

interface IntervalProps {
  readonly estimate: EstimateView;
  readonly scale: number;
  readonly wish: MeasureView['wish'];
}

/** A mean and its interval against zero, on a scale shared by its neighbours. */
export function Interval({ estimate, scale, wish }: IntervalProps): VNode {
  const { mean, low, high } = estimate;
  if (mean === null) return <span class="hint">not measured</span>;
  const x = (value: number): number =>
    100 + (Math.max(-scale, Math.min(scale, value)) / scale) * 96;
  const isApart = low !== null && high !== null && (low > 0 || high < 0);
  const tone = !isApart || wish === 'gap' ? 'flat' : mean > 0 ? 'up' : 'down';
  const text = `${signed(mean)}, 95 % from ${signed(low)} to ${signed(high)}`;
  return (
    <svg class="interval" data-tone={tone} viewBox="0 0 200 16" role="img" aria-label={text}>
      <line class="zero" x1="100" x2="100" y1="1" y2="15" />
      <line x1={x(low ?? -scale)} x2={x(high ?? scale)} y1="8" y2="8" />
      <circle cx={x(mean)} cy="8" r="4" />
    </svg>
  );
}

const shown = (value: number | null): string =>
  value !== null && Math.abs(value) >= 1 ? fixed(value, 1) : signed(value);

/** A line over nights; gaps where a night has no number. */
export function Trend({
  values,
  label,
}: {
  values: readonly (number | null)[];
  label: string;
}): VNode {
  const known = values.filter((value) => value !== null);
  const top = Math.max(...known, 0.001);
  const bottom = Math.min(...known, 0);
  const x = (index: number): number => 6 + (index / Math.max(1, values.length - 1)) * 228;
  const y = (value: number): number => 52 - ((value - bottom) / (top - bottom)) * 44;
  const points = values.flatMap((value, index) => (value === null ? [] : [[x(index), y(value)]]));
  return (
    <figure class="trend">
      <svg
        viewBox="0 0 240 60"
        role="img"
        aria-label={`${label}: ${known.map((v) => fixed(v)).join(', ')}`}
      >
        <line class="zero" x1="6" x2="234" y1={y(0)} y2={y(0)} />
        <polyline points={points.map((point) => point.join(',')).join(' ')} />
        {points.map(([cx, cy]) => (
          <circle key={cx} cx={cx} cy={cy} r="2.5" />
        ))}
      </svg>
      <figcaption>
        {label} <b>{shown(known.at(-1) ?? null)}</b>
      </figcaption>
    </figure>
  );
}

/** The loss over the steps of one night. */
export function Losses({ losses }: { losses: readonly { step: number; loss: number }[] }): VNode {
  const top = Math.max(...losses.map((one) => one.loss), 0.001);
  const last = losses.at(-1)?.step ?? 1;
  const points = losses.map(
    ({ step, loss }) =>
      `${6 + (step / Math.max(1, last)) * 388},${84 - (Math.max(0, loss) / top) * 76}`,
  );
  return (
    <svg class="losses" viewBox="0 0 400 90" role="img" aria-label={`Loss over ${last} steps`}>
      <line class="zero" x1="6" x2="394" y1="84" y2="84" />
      <polyline points={points.join(' ')} />
    </svg>
  );
}

/** Change of the lift, layer by head: up is warm, down is cool. */
export function HeadMap({ lift }: { lift: LiftView }): VNode {
  const changes = lift.after.map((after, i) => {
    const before = lift.before[i] ?? null;
    return after === null || before === null ? null : after - before;
  });
  const scale = Math.max(...changes.map((value) => Math.abs(value ?? 0)), 0.05);
  const cell = 18;
  return (
    <figure class="heads">
      <svg
        viewBox={`0 0 ${lift.heads * cell + 4} ${lift.layers * cell + 4}`}
        width={1.3 * (lift.heads * cell + 4)}
        role="img"
        aria-label={`Change of attention on ${lift.feature}, ${lift.layers} layers by ${lift.heads} heads`}
      >
        {changes.map((value, i) => {
          const layer = Math.floor(i / lift.heads);
          const head = i % lift.heads;
          const strength = Math.abs(value ?? 0) / scale;
          return (
            <rect
              key={`${layer}.${head}`}
              x={2 + head * cell}
              y={2 + layer * cell}
              width={cell - 2}
              height={cell - 2}
              rx="3"
              class={(value ?? 0) >= 0 ? 'up' : 'down'}
              fill-opacity={value === null ? 0 : 0.08 + 0.92 * strength}
            >
              <title>{`layer ${layer}, head ${head}: ${signed(value)}`}</title>
            </rect>
          );
        })}
        <line
          class="window"
          x1="0"
          x2={lift.heads * cell + 4}
          y1={lift.windowLayers * cell + 1}
          y2={lift.windowLayers * cell + 1}
        />
      </svg>
      <figcaption>
        {lift.feature}: {signed(lift.window.mean)} in the window above the line (95 % from{' '}
        {signed(lift.window.low)} to {signed(lift.window.high)})
      </figcaption>
    </figure>
  );
}
