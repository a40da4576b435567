// Layer by head maps and small line plots as SVG text; it draws numbers and knows none.
import type { HeadMap } from './attention-change.ts';

const CELL = 22;
const MARGIN = { left: 46, top: 34, right: 12, bottom: 28 };
const INK = '#444';

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const text = (x: number, y: number, content: string, anchor = 'start'): string =>
  `<text x="${x}" y="${y}" font-size="11" fill="${INK}" text-anchor="${anchor}">` +
  `${escaped(content)}</text>`;

const svg = (width: number, height: number, body: readonly string[]): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" ` +
  `height="${height}" font-family="system-ui, sans-serif">\n${body.join('\n')}\n</svg>\n`;

/** Blue below zero, orange above, white at zero; `reach` is the value of full colour. */
function colourOf(value: number, reach: number): string {
  const share = Math.min(1, Math.abs(value) / (reach === 0 ? 1 : reach));
  const mix = (full: number): number => Math.round(255 + (full - 255) * share);
  return value < 0
    ? `rgb(${mix(38)},${mix(102)},${mix(190)})`
    : `rgb(${mix(214)},${mix(98)},${mix(24)})`;
}

/** after − before as a heat map: a row a layer (the first at the top), a column a head. */
export function changeMapSvg(title: string, before: HeadMap, after: HeadMap): string {
  const { layers, heads } = before;
  const values = after.values.map((value, i) => value - (before.values[i] as number));
  const reach = Math.max(...values.map(Math.abs));
  const width = MARGIN.left + heads * CELL + MARGIN.right;
  const height = MARGIN.top + layers * CELL + MARGIN.bottom;
  const cells = values.map((value, i) => {
    const [layer, head] = [Math.floor(i / heads), i % heads];
    const [x, y] = [MARGIN.left + head * CELL, MARGIN.top + layer * CELL];
    return (
      `<rect x="${x}" y="${y}" width="${CELL - 1}" height="${CELL - 1}" ` +
      `fill="${colourOf(value, reach)}"><title>layer ${layer} head ${head}: ` +
      `${value.toFixed(3)}</title></rect>`
    );
  });
  const labels = Array.from({ length: layers }, (_, layer) =>
    text(MARGIN.left - 6, MARGIN.top + layer * CELL + 15, `${layer}`, 'end'),
  );
  const foot = `heads → · layers ↓ · ±${reach.toFixed(2)} log units`;
  return svg(Math.max(width, 260), height, [
    text(8, 18, title),
    ...labels,
    ...cells,
    text(8, height - 8, foot),
  ]);
}

export interface PlotSeries {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number; readonly error?: number }[];
}

const COLOURS = ['#d66218', '#2666be', '#6a6a6a', '#3a8f4d', '#8d4fa8', '#a8842c'];
const PLOT = { width: 420, height: 240 };
/** Names of series in a row of the legend. */
const LEGEND = { perRow: 4, width: 90, height: 14 };

/** Lines with error bars; x on a log scale when `isLog`. */
export function linePlotSvg(
  title: string,
  series: readonly PlotSeries[],
  { isLog = false, yLabel = '' }: { isLog?: boolean; yLabel?: string } = {},
): string {
  const points = series.flatMap((s) => s.points);
  const xs = points.map(({ x }) => (isLog ? Math.log(Math.max(1, x)) : x));
  const lows = points.map(({ y, error = 0 }) => y - error);
  const highs = points.map(({ y, error = 0 }) => y + error);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [low, high] = [Math.min(0, ...lows), Math.max(0, ...highs)];
  const toX = (x: number): number => {
    const share = ((isLog ? Math.log(Math.max(1, x)) : x) - left) / (right - left || 1);
    return 56 + share * (PLOT.width - 76);
  };
  const toY = (y: number): number => 190 - ((y - low) / (high - low || 1)) * 150;
  const lines = series.flatMap(({ name, points: own }, i) => {
    const colour = COLOURS[i % COLOURS.length];
    const legendX = 60 + (i % LEGEND.perRow) * LEGEND.width;
    const legendY = 228 + Math.floor(i / LEGEND.perRow) * LEGEND.height;
    // Series stand a little beside each other, so that none hides another.
    const beside = (x: number): string => (toX(x) + 4 * (i - (series.length - 1) / 2)).toFixed(1);
    const path = own.map(({ x, y }) => `${beside(x)},${toY(y).toFixed(1)}`).join(' ');
    const bars = own.map(({ x, y, error = 0 }) => {
      const at = beside(x);
      const [from, to] = [toY(y - error).toFixed(1), toY(y + error).toFixed(1)];
      return `<line x1="${at}" x2="${at}" y1="${from}" y2="${to}" stroke="${colour}"/>`;
    });
    const dots = own.map(
      ({ x, y }) => `<circle cx="${beside(x)}" cy="${toY(y).toFixed(1)}" r="3" fill="${colour}"/>`,
    );
    return [
      `<polyline points="${path}" fill="none" stroke="${colour}"/>`,
      ...bars,
      ...dots,
      `<text x="${legendX}" y="${legendY}" font-size="11" fill="${colour}">${escaped(name)}</text>`,
    ];
  });
  const ticks = [...new Set(points.map(({ x }) => x))].map((x) =>
    text(toX(x), 206, `${x}`, 'middle'),
  );
  const zero = toY(0).toFixed(1);
  const rows = Math.max(1, Math.ceil(series.length / LEGEND.perRow));
  return svg(PLOT.width, PLOT.height + (rows - 1) * LEGEND.height, [
    text(8, 18, title),
    `<line x1="50" x2="${PLOT.width - 12}" y1="${zero}" y2="${zero}" stroke="#bbb"/>`,
    text(46, toY(high) + 4, high.toFixed(2), 'end'),
    text(46, toY(low) + 4, low.toFixed(2), 'end'),
    text(8, 32, yLabel),
    ...ticks,
    ...lines,
  ]);
}
