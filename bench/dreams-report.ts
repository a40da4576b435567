// The cells of the dream experiment as Markdown: each on its own, and the contrasts between them.
import { acrossSeeds, type Estimate, estimate } from '../src/measure/statistics.ts';
import type { Pool } from './dream-pool.ts';
import { CROSSED, KINDS_OF_PAIRS, type Look, rightShare } from './held-out.ts';

export interface CellRecord {
  readonly cell: string;
  /** 0 is the base model. */
  readonly seed: number;
  readonly base?: string;
  readonly options?: object;
  readonly clusters?: Readonly<Record<string, string>>;
  readonly scenarios?: number;
  readonly kinds?: Readonly<Record<string, number>>;
  readonly steps?: number;
  readonly tokens?: number;
  readonly movedShare?: number;
  readonly look: Look;
  readonly seconds?: number;
}

const percent = (part: number): string => `${(100 * part).toFixed(0)} %`;
const text = ({ mean, low, high, p }: Estimate): string =>
  `${mean.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}] p ${p.toPrecision(2)}`;

function poolLine({ flags, admitted, refused, drafts, reasons, seconds }: Pool): string {
  const by = Object.entries(reasons).map(([reason, count]) => `${reason} ${count}`);
  const took = Object.entries(seconds).map(([of, s]) => `${of} ${s.toFixed(0)} s`);
  return (
    `${flags.length} flags, ${drafts} drafts, ${admitted.length} admitted, ${refused.length} ` +
    `refused with both replies (refused: ${by.join(', ') || 'none'}); ${took.join(', ')}.`
  );
}

/** Contrasts that were named before the run: the first is expected to be above the second. */
const CONTRASTS = [
  ['flags + dreams', 'flags only'],
  ['flags + dreams', 'flags + paraphrases'],
  ['dreams only', 'flags only'],
  ['admitted 50', 'refused 50'],
  ['directed 50', 'undirected 50'],
  ['admitted 500', 'refused 500'],
  ['flags only', 'flags only, deaf'],
  ['flags + dreams', 'flags + dreams, deaf'],
  ['dreams only', 'dreams only, deaf'],
] as const;

/** @param missing cells that were not run; @param order names of cells, as they are told */
export function dreamsReport(
  records: readonly CellRecord[],
  { pool, missing, order }: { pool: Pool; missing: number; order: readonly string[] },
): string {
  const base = records.find(({ cell }) => cell === 'base');
  if (base === undefined) return `${poolLine(pool)}\n\nNo base was looked at.\n`;
  const clusters = base.clusters ?? {};
  const gainOf = (record: CellRecord, other: CellRecord, part: string) =>
    Object.entries(record.look.margins)
      .filter(([id]) => id.startsWith(part))
      .map(([id, margin]) => ({
        value: margin - (other.look.margins[id] ?? Number.NaN),
        cluster: clusters[id] ?? id,
      }));
  const lines = [
    poolLine(pool),
    ...(missing > 0 ? ['', `${missing} cells were not run.`] : []),
    '',
    'p is one-sided: how likely such a mean is when there is no rise; near 1 it fell.',
    '',
    '| cell | seed | scenarios | steps | tokens | moved | both right | ' +
      `${KINDS_OF_PAIRS.join(' | ')} | margin − base, crossed | suite listen | ` +
      'suite push-back | perplexity × |',
    `|---|---|---|---|---|---|---|${'---|'.repeat(KINDS_OF_PAIRS.length)}---|---|---|---|`,
  ];
  const sorted = [...records].sort(
    (a, b) => order.indexOf(a.cell) - order.indexOf(b.cell) || a.seed - b.seed,
  );
  for (const record of sorted) {
    const of = (part: string): string => percent(rightShare(record.look, part));
    const { ratio, high } = record.look.perplexity;
    const gain = estimate(gainOf(record, base, CROSSED));
    lines.push(
      `| ${record.cell} | ${record.seed || '–'} | ${record.scenarios ?? 0} | ${record.steps ?? 0} | ` +
        `${record.tokens ?? 0} | ${(100 * (record.movedShare ?? 0)).toFixed(1)} % | ${of(CROSSED)} | ` +
        `${KINDS_OF_PAIRS.map((kind) => of(`${CROSSED}${kind}`)).join(' | ')} | ` +
        `${record === base ? '0' : text(gain)} | ${of('suite:companion:listen')} | ` +
        `${of('suite:companion:push-back')} | ${ratio.toFixed(3)} (≤ ${high.toFixed(3)}) |`,
    );
  }
  lines.push('', '| contrast | measure | by scenario, over seeds | by seed |', '|---|---|---|---|');
  for (const [one, other] of CONTRASTS) {
    for (const part of [CROSSED, 'suite:companion:listen', 'suite:companion:push-back']) {
      lines.push(contrastLine(records, { one, other, part, gainOf }));
    }
  }
  return `${lines.filter((line) => line !== '-').join('\n')}\n`;
}

interface Contrast {
  readonly one: string;
  readonly other: string;
  readonly part: string;
  readonly gainOf: (
    record: CellRecord,
    other: CellRecord,
    part: string,
  ) => { value: number; cluster: string }[];
}

/** Margin and both-right, cell for cell at equal seeds. */
function contrastLine(
  records: readonly CellRecord[],
  { one, other, part, gainOf }: Contrast,
): string {
  const pairs = records
    .filter(({ cell }) => cell === one)
    .flatMap((record) => {
      const against = records.find(({ cell, seed }) => cell === other && seed === record.seed);
      return against === undefined ? [] : [{ record, against }];
    });
  if (pairs.length === 0) return `| ${one} − ${other} | ${part} | not run | |`;
  const margins = pairs.map(({ record, against }) => gainOf(record, against, part));
  const means = margins.map(
    (list) => list.reduce((sum, { value }) => sum + value, 0) / list.length,
  );
  const rights = pairs.map(
    ({ record, against }) => rightShare(record.look, part) - rightShare(against.look, part),
  );
  const seeds = (list: readonly number[]): string =>
    list.length < 2 ? `${list[0]?.toFixed(3)} (one seed)` : text(acrossSeeds(list));
  return (
    `| ${one} − ${other} | margin, ${part} | ${text(estimate(margins.flat()))} | ${seeds(means)} |\n` +
    `| | right, ${part} | ${rights.map((r) => r.toFixed(3)).join(', ')} | ${seeds(rights)} |`
  );
}
