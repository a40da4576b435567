// Layer by head maps as SVG text; it draws numbers and knows none.
import { fixed } from '../protocol/number-text.ts';
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
      `${fixed(value)}</title></rect>`
    );
  });
  const labels = Array.from({ length: layers }, (_, layer) =>
    text(MARGIN.left - 6, MARGIN.top + layer * CELL + 15, `${layer}`, 'end'),
  );
  const foot = `heads → · layers ↓ · ±${fixed(reach, 2)} log units`;
  return svg(Math.max(width, 260), height, [
    text(8, 18, title),
    ...labels,
    ...cells,
    text(8, height - 8, foot),
  ]);
}
