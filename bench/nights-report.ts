// The trend of nights as an SVG and a Markdown table, from the lines of nights.ts.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { linePlotSvg } from '../src/measure/map-svg.ts';
import type { Estimate } from '../src/measure/statistics.ts';
import {
  CROSSED,
  KINDS_OF_PAIRS,
  type Look,
  marginGain,
  rightGain,
  rightPairs,
  rightShare,
  share,
} from './held-out.ts';

export interface NightRecord {
  /** 0 is the base model. */
  readonly night: number;
  readonly nightId: string;
  readonly base?: string;
  readonly options?: Readonly<Record<string, unknown>>;
  readonly lived?: { readonly answered: number; readonly flagged: number } | null;
  readonly verdict?: string;
  readonly isInForce?: boolean;
  readonly reasons?: readonly string[];
  readonly measures?: readonly object[];
  readonly retention?: readonly { readonly against: string; readonly ratio: number }[];
  readonly movedShare?: number;
  readonly steps?: number;
  readonly examples?: number;
  readonly dreams?: readonly object[];
  /** Held-out talk under the night's own weights, and under those in force after it. */
  readonly candidate: Look;
  readonly inForce: Look;
  /** Of the base's line only. */
  readonly clusters: Readonly<Record<string, string>>;
  readonly seconds?: Readonly<Record<string, number>>;
  readonly phases?: readonly { readonly phase: string; readonly ms: number }[];
}

const percent = (part: number): string => `${(100 * part).toFixed(0)} %`;
const interval = ({ mean, low, high, p }: Estimate): string =>
  `${mean.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}] p ${p.toPrecision(2)}`;

function tableOf(records: readonly NightRecord[]): string[] {
  const [base] = records;
  if (base === undefined) return [];
  const { clusters } = base;
  const lines = [
    '| night | flags of answers | verdict | moved | both right (candidate) | ' +
      `${KINDS_OF_PAIRS.join(' | ')} | both right (in force) | margin, candidate − base | ` +
      'perplexity × | suite listen | suite push-back |',
    `|---|---|---|---|---|${'---|'.repeat(KINDS_OF_PAIRS.length)}---|---|---|---|---|`,
  ];
  for (const record of records) {
    const { candidate, inForce, lived } = record;
    const of = (part: string): string => percent(rightShare(candidate, part));
    const gain = marginGain(base.candidate, candidate, { part: CROSSED, clusters });
    lines.push(
      `| ${record.night === 0 ? 'base' : record.night} | ` +
        `${lived ? `${lived.flagged} of ${lived.answered}` : '–'} | ${record.verdict ?? '–'} | ` +
        `${((record.movedShare ?? 0) * 100).toFixed(1)} % | ${of(CROSSED)} | ` +
        `${KINDS_OF_PAIRS.map((kind) => of(`${CROSSED}${kind}`)).join(' | ')} | ` +
        `${percent(rightShare(inForce, CROSSED))} | ` +
        `${record.night === 0 ? '0' : interval(gain)} | ` +
        `${candidate.perplexity.ratio.toFixed(3)} (≤ ${candidate.perplexity.high.toFixed(3)}) | ` +
        `${of('suite:companion:listen')} | ${of('suite:companion:push-back')} |`,
    );
  }
  return lines;
}

type Pick = (record: NightRecord) => Look;
const LINES: readonly (readonly [name: string, pick: Pick])[] = [
  ['in force', (record) => record.inForce],
  ['candidate', (record) => record.candidate],
];

function rightPlot(records: readonly NightRecord[]): string {
  const line = (pick: Pick) =>
    records.map((record) => {
      const pairs = rightPairs(pick(record), CROSSED);
      const y = share(pairs);
      // The standard error of a share: what lies within it is no change.
      return { x: record.night, y, error: Math.sqrt((y * (1 - y)) / Math.max(1, pairs.size)) };
    });
  return linePlotSvg(
    'Held-out crossed pairs, both sides right, by night',
    LINES.map(([name, pick]) => ({ name, points: line(pick) })),
    { yLabel: 'share, ± one standard error' },
  );
}

function marginPlot(records: readonly NightRecord[], base: NightRecord): string {
  const { clusters } = base;
  const line = (pick: Pick) =>
    records.map((record) => {
      if (record.night === 0) return { x: 0, y: 0, error: 0 };
      const gain = marginGain(base.inForce, pick(record), { part: CROSSED, clusters });
      return { x: record.night, y: gain.mean, error: (gain.high - gain.low) / 2 };
    });
  return linePlotSvg(
    'Margin on held-out crossed pairs, against the base, by night',
    LINES.map(([name, pick]) => ({ name, points: line(pick) })),
    { yLabel: 'nats a token, ± half a 95 % interval' },
  );
}

/** Writes `trend.svg`, `margin.svg` and `table.md`. */
export async function writeReport(records: readonly NightRecord[], folder: string): Promise<void> {
  const sorted = [...records].sort((a, b) => a.night - b.night);
  const [base] = sorted;
  const last = sorted.at(-1);
  if (base === undefined || last === undefined) return;
  const context = { part: CROSSED, clusters: base.clusters };
  const pairs = rightPairs(base.candidate, CROSSED).size;
  const wanted = Number(base.options?.nights ?? last.night);
  const lines = [
    ...tableOf(sorted),
    '',
    `${pairs} crossed pairs of sgd-dev. After night ${last.night}, both right in force − base: ` +
      `${interval(rightGain(base.inForce, last.inForce, context))}; ` +
      `last candidate − base: ${interval(rightGain(base.candidate, last.candidate, context))}.`,
    ...(last.night < wanted ? ['', `Nights ${last.night + 1} to ${wanted} were not run.`] : []),
    '',
    'p is one-sided: how likely such a mean is when there is no rise; near 1 it fell.',
    '',
    ...sorted.flatMap(({ night, reasons = [] }) =>
      reasons.length === 0 ? [] : [`- night ${night} refused: ${reasons.join('; ')}`],
    ),
    '',
  ];
  await writeFile(join(folder, 'table.md'), lines.join('\n'));
  await writeFile(join(folder, 'trend.svg'), rightPlot(sorted));
  await writeFile(join(folder, 'margin.svg'), marginPlot(sorted, base));
}
