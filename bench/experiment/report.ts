// The report of the training experiment: tables in Markdown, plots in SVG.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HeadMap } from '../../src/measure/attention-change.ts';
import { checkBaseline } from '../../src/measure/baseline-check.ts';
import { changeMapSvg, linePlotSvg, type PlotSeries } from '../../src/measure/map-svg.ts';
import { meanValue } from './compare.ts';
import { readData } from './data.ts';
import { type Results, type Run, readResults, rightPairs, runsOf } from './results.ts';
import type { ExperimentSize } from './size.ts';
import * as tables from './tables.ts';
import { verdictLines } from './verdict.ts';
import type { WorkFolder } from './work-folder.ts';

/** Writes `report.md` and the plots beside it into `<work>/report`; gives the text. */
export async function writeReport(work: WorkFolder, size: ExperimentSize): Promise<string> {
  const results = await readResults(work, size);
  const blind = checkBaseline((await readData(work.at('data'))).dev);
  const [first] = results.runs;
  const text = [
    first === undefined
      ? 'No cell was run.'
      : `Base ${first.baseHash.slice(0, 12)}, settings ${JSON.stringify(first.choice)}.`,
    `A bag of words that sees no context has both right in ${(100 * blind.bothRight).toFixed(0)} % ` +
      `of ${blind.crossedPairs} dev pairs.`,
    '',
    ...verdictLines(results),
    ...results.missing.map((what) => `Not run: ${what}.`),
    '',
    ...tables.sweepTable(results),
    ...tables.cellTable(results),
    ...tables.contrastTable(results),
    ...tables.remedyTable(results),
    ...tables.flatnessTable(results),
    ...tables.gateTable(results),
    ...tables.replyTable(results),
  ].join('\n');
  const folder = work.at('report');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'report.md'), text);
  if (results.runs.length > 0) await writeFile(join(folder, 'both-right.svg'), dosePlot(results));
  for (const [name, svg] of [...headMaps(results), ...beyondDeafMaps(results)])
    await writeFile(join(folder, `${name}.svg`), svg);
  return text;
}

/** Share of dev pairs with both sides right over the dose; bars are standard errors over seeds. */
function dosePlot({ runs }: Results): string {
  const point = (x: number, own: readonly Run[]) => {
    const shares = own.map((run) => meanValue(rightPairs(run, 'crossed:')));
    const y = shares.reduce((total, share) => total + share, 0) / shares.length;
    if (shares.length < 2) return { x, y };
    const squares = shares.reduce((total, share) => total + (share - y) ** 2, 0);
    return { x, y, error: Math.sqrt(squares / (shares.length - 1) / shares.length) };
  };
  const groups = [...new Set(runs.map(({ cell }) => cell.group))].filter(
    (group) => group !== 'base' && !group.includes('~'),
  );
  const base = runsOf(runs, 'base');
  const before = base.length === 0 ? [] : [point(1, base)];
  const series: PlotSeries[] = groups.map((group) => {
    const own = runsOf(runs, group);
    const doses = [...new Set(own.map(({ cell }) => cell.dose))].sort((a, b) => a - b);
    const points = doses.map((dose) => point(dose, runsOf(runs, group, dose)));
    return { name: group, points: doses.length > 1 ? [...before, ...points] : points };
  });
  const title = 'Crossed pairs of sgd-dev, both right, by dose (1 = before)';
  return linePlotSvg(title, series, { isLog: true, yLabel: 'bars: ± standard error over seeds' });
}

function headMaps({ runs, dose }: Results): [name: string, svg: string][] {
  const first = runs.filter(({ cell }) => cell.seed === 1 && cell.dose === dose);
  return first.flatMap(({ cell, attention }) =>
    FEATURES.flatMap(([feature, what]): [string, string][] => {
      const change = attention?.[feature];
      if (change === undefined) return [];
      const svg = changeMapSvg(`Lift on ${what}, ${cell.name}`, change.before, change.after);
      return [[`${cell.name}-${feature}`, svg]];
    }),
  );
}

const FEATURES = [
  ['direction', 'directions'],
  ['ownIdea', 'own ideas'],
] as const;

/** Real − deaf of the headline, each the mean over its seeds. */
function beyondDeafMaps({ runs, dose }: Results): [name: string, svg: string][] {
  return FEATURES.flatMap(([feature, what]): [string, string][] => {
    const mapOf = (group: string): HeadMap | undefined =>
      meanMap(runsOf(runs, group, dose).flatMap((run) => run.attention?.[feature]?.after ?? []));
    const [real, deaf] = [mapOf('real'), mapOf('deaf')];
    if (real === undefined || deaf === undefined) return [];
    const title = `Lift on ${what}, real − deaf, mean over seeds`;
    return [[`real-minus-deaf-${feature}`, changeMapSvg(title, deaf, real)]];
  });
}

function meanMap(maps: readonly HeadMap[]): HeadMap | undefined {
  const [first] = maps;
  if (first === undefined) return undefined;
  const values = first.values.map(
    (_, i) => maps.reduce((total, map) => total + (map.values[i] as number), 0) / maps.length,
  );
  return { ...first, values };
}
