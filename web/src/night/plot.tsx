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

interface TableProps {
  readonly name: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** What a drawing shows, in numbers; folded. */
function Table({ name, head, rows }: TableProps): VNode {
  return (
    <details>
      <summary>
        As a table<span class="hidden">: {name}</span>
      </summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls, for the keyboard */}
      <section class="wide" tabIndex={0} aria-label={name}>
        <table class="numbers">
          <thead>
            <tr>
              {head.map((one) => (
                <th key={one} scope="col">
                  {one}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(([first, ...rest]) => (
              <tr key={first}>
                <th scope="row">{first}</th>
                {rest.map((value, i) => (
                  <td key={head[i + 1]}>{value}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </details>
  );
}

interface TrendProps {
  /** What is drawn, its unit, and what is wished of it. */
  readonly label: string;
  readonly wish: string;
  readonly nights: readonly { readonly name: string; readonly value: number | null }[];
}

/** A line over nights; gaps where a night has no number. */
export function Trend({ label, wish, nights }: TrendProps): VNode {
  const known = nights.flatMap(({ value }) => value ?? []);
  const top = Math.max(...known, 0.001);
  const bottom = Math.min(...known, 0);
  const x = (index: number): number => 40 + (index / Math.max(1, nights.length - 1)) * 190;
  const y = (value: number): number => 58 - ((value - bottom) / (top - bottom)) * 48;
  const points = nights.flatMap(({ value }, i) => (value === null ? [] : [[x(i), y(value)]]));
  return (
    <figure class="trend">
      <figcaption>
        <b>{label}</b> <small>{wish}</small>
      </figcaption>
      <svg
        viewBox="0 0 240 76"
        role="img"
        aria-label={`${label}: ${known.map((v) => fixed(v)).join(', ')}`}
      >
        <line class="zero" x1="40" x2="230" y1={y(0)} y2={y(0)} />
        <line class="zero" x1="40" x2="40" y1="8" y2="60" />
        <text x="36" y={y(top) + 3} class="end">
          {signed(top, 2)}
        </text>
        <text x="36" y={y(0) + 3} class="end">
          0
        </text>
        {bottom < 0 && (
          <text x="36" y={y(bottom) + 3} class="end">
            {signed(bottom, 2)}
          </text>
        )}
        <text x="40" y="73">
          {nights[0]?.name}
        </text>
        <text x="230" y="73" class="end">
          {nights.at(-1)?.name}
        </text>
        <polyline points={points.map((point) => point.join(',')).join(' ')} />
        {points.map(([cx, cy]) => (
          <circle key={cx} cx={cx} cy={cy} r="2.5" />
        ))}
      </svg>
      <Table
        name={label}
        head={['Night', label]}
        rows={nights.map(({ name, value }) => [name, fixed(value)])}
      />
    </figure>
  );
}

/** How far the replies are from those of the teacher, over the steps of one night. */
export function Losses({ losses }: { losses: readonly { step: number; loss: number }[] }): VNode {
  const top = Math.max(...losses.map((one) => one.loss), 0.001);
  const last = losses.at(-1)?.step ?? 1;
  const points = losses.map(
    ({ step, loss }) =>
      `${46 + (step / Math.max(1, last)) * 348},${80 - (Math.max(0, loss) / top) * 70}`,
  );
  return (
    <figure class="trend">
      <figcaption>
        <b>Distance to the teacher, step by step</b>{' '}
        <small>nats a token; 0: it predicts as the model does that was told</small>
      </figcaption>
      <svg class="losses" viewBox="0 0 400 100" role="img" aria-label={`Loss over ${last} steps`}>
        <line class="zero" x1="46" x2="394" y1="80" y2="80" />
        <line class="zero" x1="46" x2="46" y1="8" y2="80" />
        <text x="42" y="14" class="end">
          {fixed(top, 2)}
        </text>
        <text x="42" y="83" class="end">
          0
        </text>
        <text x="46" y="96">
          step 1
        </text>
        <text x="394" y="96" class="end">
          step {last}
        </text>
        <polyline points={points.join(' ')} />
      </svg>
      <Table
        name="Distance to the teacher"
        head={['Step', 'Nats a token']}
        rows={losses.map(({ step, loss }) => [String(step), fixed(loss)])}
      />
    </figure>
  );
}

const CELL = 18;

interface SquaresProps {
  readonly changes: readonly (number | null)[];
  readonly heads: number;
  readonly scale: number;
}

function Squares({ changes, heads, scale }: SquaresProps): VNode {
  return (
    <>
      {changes.map((value, i) => {
        const layer = Math.floor(i / heads);
        const head = i % heads;
        const strength = Math.abs(value ?? 0) / scale;
        return (
          <rect
            key={`${layer}.${head}`}
            x={2 + head * CELL}
            y={2 + layer * CELL}
            width={CELL - 2}
            height={CELL - 2}
            rx="3"
            class={(value ?? 0) >= 0 ? 'up' : 'down'}
            fill-opacity={value === null ? 0 : 0.08 + 0.92 * strength}
          >
            <title>{`layer ${layer}, head ${head}: ${signed(value)}`}</title>
          </rect>
        );
      })}
    </>
  );
}

/** Change of the lift, layer by head: up is warm, down is cool. */
export function HeadMap({ lift }: { lift: LiftView }): VNode {
  const changes = lift.after.map((after, i) => {
    const before = lift.before[i] ?? null;
    return after === null || before === null ? null : after - before;
  });
  const scale = Math.max(...changes.map((value) => Math.abs(value ?? 0)), 0.05);
  return (
    <figure class="heads">
      <svg
        viewBox={`-26 -16 ${lift.heads * CELL + 32} ${lift.layers * CELL + 20}`}
        width={1.3 * (lift.heads * CELL + 32)}
        role="img"
        aria-label={`Change of attention on ${lift.feature}, ${lift.layers} layers by ${lift.heads} heads`}
      >
        <text x="2" y="-5">
          heads 0 to {lift.heads - 1}
        </text>
        <text x="-4" y={CELL - 4} class="end">
          0
        </text>
        <text x="-4" y={lift.layers * CELL - 4} class="end">
          {lift.layers - 1}
        </text>
        <Squares changes={changes} heads={lift.heads} scale={scale} />
        <line
          class="window"
          x1="0"
          x2={lift.heads * CELL + 4}
          y1={lift.windowLayers * CELL + 1}
          y2={lift.windowLayers * CELL + 1}
        />
      </svg>
      <figcaption>
        <b>{FEATURE[lift.feature] ?? lift.feature}</b>: one square a head, one row a layer.{' '}
        <span class="key up">■</span> looks there more than before, <span class="key down">■</span>{' '}
        less; the strongest is {signed(scale, 2)}. In the layers above the dashed line:{' '}
        {signed(lift.window.mean)} (95 % from {signed(lift.window.low)} to{' '}
        {signed(lift.window.high)}).
      </figcaption>
      <Table
        name={`Change of attention on ${FEATURE[lift.feature] ?? lift.feature}`}
        head={['Layer', ...Array.from({ length: lift.heads }, (_, head) => `Head ${head}`)]}
        rows={Array.from({ length: lift.layers }, (_, layer) => [
          String(layer),
          ...changes
            .slice(layer * lift.heads, (layer + 1) * lift.heads)
            .map((value) => signed(value, 2)),
        ])}
      />
    </figure>
  );
}

const FEATURE: Readonly<Record<string, string>> = {
  direction: 'Your direction',
  'own-idea': "The model's own idea",
};
