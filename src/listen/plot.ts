// Plots of shares with intervals as SVG text, in the colours of the page; it knows no test.

export interface PlotPoint {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

export interface PlotSeries {
  readonly name: string;
  /** One for each label of the x axis; null: nothing there. */
  readonly points: readonly (PlotPoint | null)[];
}

export interface PlotOptions {
  readonly title: string;
  readonly xLabels: readonly string[];
  readonly xTitle: string;
  readonly yTitle: string;
  /** Points of a series are joined. */
  readonly isLine: boolean;
  /** A dashed line, such as what a coin gets. */
  readonly reference?: { readonly value: number; readonly text: string };
}

const WIDTH = 640;
const HEIGHT = 300;
const AREA = { left: 52, right: 628, top: 30, bottom: 236 };
const TICKS = [0, 0.25, 0.5, 0.75, 1];
/** Series beside each other, so that their intervals stay apart. */
const SPREAD = 0.6;

export const escaped = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');

const round = (value: number): string => value.toFixed(1);

const label = (x: number, y: number, text: string, rest = ''): string =>
  `<text x="${round(x)}" y="${round(y)}" ${rest}>${escaped(text)}</text>`;

const line = (
  from: readonly [number, number],
  to: readonly [number, number],
  rest: string,
): string =>
  `<line x1="${round(from[0])}" y1="${round(from[1])}" x2="${round(to[0])}" y2="${round(to[1])}" ${rest}/>`;

const yOf = (share: number): number =>
  AREA.bottom - Math.max(0, Math.min(1, share)) * (AREA.bottom - AREA.top);

/** The y axis is a share from 0 to 1; series `i` takes the colour `--series-i`. */
export function sharePlot(series: readonly PlotSeries[], options: PlotOptions): string {
  const { title, xLabels, xTitle, yTitle, reference } = options;
  const step = (AREA.right - AREA.left) / Math.max(1, xLabels.length);
  const center = (at: number): number => AREA.left + (at + 0.5) * step;
  const axes = [
    ...TICKS.flatMap((tick) => [
      line([AREA.left, yOf(tick)], [AREA.right, yOf(tick)], 'class="grid"'),
      label(AREA.left - 6, yOf(tick) + 4, tick.toFixed(2), 'text-anchor="end"'),
    ]),
    ...xLabels.map((text, at) => label(center(at), AREA.bottom + 16, text, 'text-anchor="middle"')),
    label((AREA.left + AREA.right) / 2, AREA.bottom + 34, xTitle, 'text-anchor="middle"'),
    label(
      0,
      0,
      yTitle,
      `text-anchor="middle" transform="translate(12 ${(AREA.top + AREA.bottom) / 2}) rotate(-90)"`,
    ),
    ...(reference === undefined
      ? []
      : [
          line(
            [AREA.left, yOf(reference.value)],
            [AREA.right, yOf(reference.value)],
            'class="reference"',
          ),
          label(
            AREA.right,
            yOf(reference.value) - 3,
            reference.text,
            'text-anchor="end" class="small"',
          ),
        ]),
  ];
  const shift = (i: number): number =>
    series.length < 2 ? 0 : (i / (series.length - 1) - 0.5) * SPREAD * step;
  const marks = series.flatMap((one, i) =>
    seriesMarks(one, {
      colour: `var(--series-${i})`,
      xOf: (at) => center(at) + shift(i),
      isLine: options.isLine,
    }),
  );
  const legend = series.map(({ name }, i) => {
    const x = AREA.left + (i * (AREA.right - AREA.left)) / series.length;
    return (
      `<circle cx="${round(x + 4)}" cy="${HEIGHT - 10}" r="4" fill="var(--series-${i})"/>` +
      label(x + 12, HEIGHT - 6, name)
    );
  });
  return (
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">` +
    `${label(AREA.left, 18, title, 'class="title"')}${[...axes, ...marks, ...legend].join('')}</svg>`
  );
}

interface MarkOptions {
  readonly colour: string;
  readonly xOf: (at: number) => number;
  readonly isLine: boolean;
}

function seriesMarks({ name, points }: PlotSeries, { colour, xOf, isLine }: MarkOptions): string[] {
  const there = points.flatMap((point, at) => (point === null ? [] : [{ ...point, x: xOf(at) }]));
  const path = there.map(({ x, mean }) => `${round(x)},${round(yOf(mean))}`).join(' ');
  const joined =
    isLine && there.length > 1
      ? [`<polyline points="${path}" fill="none" stroke="${colour}" stroke-opacity="0.5"/>`]
      : [];
  return [
    ...joined,
    ...there.map(
      ({ x, mean, low, high }) =>
        `<g stroke="${colour}" fill="${colour}"><title>${escaped(name)}: ${mean.toFixed(2)} ` +
        `[${low.toFixed(2)}, ${high.toFixed(2)}]</title>` +
        line([x, yOf(low)], [x, yOf(high)], 'stroke-width="1.5"') +
        `<circle cx="${round(x)}" cy="${round(yOf(mean))}" r="4"/></g>`,
    ),
  ];
}
