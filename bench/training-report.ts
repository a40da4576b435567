// Reads the records of the training experiment and writes its tables (Markdown) and plots (SVG).
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkBaseline } from '../src/measure/baseline-check.ts';
import { changeMapSvg, linePlotSvg, type PlotSeries } from '../src/measure/map-svg.ts';
import type { Retention } from '../src/measure/retention.ts';
import { acrossSeeds } from '../src/measure/statistics.ts';
import { readData } from './training-data.ts';
import {
  contrast,
  contrastText,
  liftGains,
  margins,
  meanValue,
  type Run,
  readRecords,
  rightPairs,
  type Values,
} from './training-runs.ts';
import type { Choice } from './training-settings.ts';

const { values: options } = parseArgs({
  options: {
    work: { type: 'string', default: 'experiment' },
    plots: { type: 'string', default: '' },
  },
});

const say = (line = ''): void => console.log(line);
const runs = await readRecords<Run>(join(options.work, 'runs'));
const of = (group: string, dose?: number): Run[] =>
  runs
    .filter(({ cell }) => cell.group === group && (dose === undefined || cell.dose === dose))
    .sort((a, b) => a.cell.seed - b.cell.seed);
const [base] = of('base');
const DOSE = Math.max(...runs.map(({ cell }) => cell.dose));

const SETS = {
  dev: 'crossed:',
  decline: 'crossed:decline',
  reject: 'crossed:reject_offer_alts',
  'change mind': 'crossed:change_mind',
  correct: 'crossed:correct_confirm',
  'suite listen': 'companion:listen-',
};

const average = (numbers: readonly number[]): number =>
  numbers.reduce((total, value) => total + value, 0) / numbers.length;
const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
const told = (numbers: readonly number[], write: (value: number) => string): string => {
  const known = numbers.filter((value) => Number.isFinite(value));
  if (known.length === 0) return '–';
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const spread = known.length > 1 ? ` (${write(low)} to ${write(high)})` : '';
  return `${write(average(known))}${spread}`;
};

async function sweepTable(): Promise<void> {
  interface Tried {
    readonly choice: Choice;
    readonly movedShare: number;
    readonly bothRight: { share: number };
    readonly margin: number;
    readonly retention: Retention;
    readonly scenarios: number;
  }
  const tried = await readRecords<Tried>(join(options.work, 'sweep')).catch(() => []);
  if (tried.length === 0) return;
  say('| optimizer | rate | KL weight | β | epochs | moved | both right | margin | perplexity × |');
  say('|---|---|---|---|---|---|---|---|---|');
  for (const { choice: c, movedShare, bothRight, margin, retention } of tried) {
    say(
      `| ${c.optimizer} | ${c.learningRate} | ${c.retentionWeight} | ${c.preferenceBeta} | ` +
        `${c.epochs} | ${percent(movedShare)} | ${bothRight.share.toFixed(3)} | ` +
        `${margin.toFixed(3)} | ${retention.perplexity.ratio.toFixed(3)} |`,
    );
  }
  say();
}

function mainTable(): void {
  const sets = Object.keys(SETS).join(' | ');
  say(`| cell | seeds | moved | ${sets} | kept cache | perplexity × | direction | own idea |`);
  say(`|---|---|---|${'---|'.repeat(Object.keys(SETS).length)}---|---|---|---|`);
  const names = [...new Set(runs.map(({ cell }) => `${cell.group} ${cell.dose}`))];
  for (const name of names) {
    const [group = '', dose = ''] = name.split(' ');
    const own = of(group, Number(dose));
    const cells = Object.values(SETS).map((part) =>
      told(
        own.map((run) => meanValue(rightPairs(run, part))),
        percent,
      ),
    );
    const kept = own.flatMap((r) => (r.kept ? [meanValue(rightPairs(r, 'crossed:', r.kept))] : []));
    const lift = (feature: 'direction' | 'ownIdea') =>
      told(
        own.map((run) => meanValue(liftGains(run, feature))),
        (v) => v.toFixed(2),
      );
    say(
      `| ${name} | ${own.length} | ` +
        `${told(
          own.map((run) => run.movedShare ?? Number.NaN),
          percent,
        )} | ${cells.join(' | ')} | ${told(kept, percent)} | ` +
        `${told(
          own.map((run) => run.retention?.perplexity.ratio ?? Number.NaN),
          (v) => v.toFixed(3),
        )} | ${lift('direction')} | ${lift('ownIdea')} |`,
    );
  }
  say();
}

const COMPARED: readonly [name: string, values: (run: Run) => Values][] = [
  ['both right, dev', (run) => rightPairs(run, 'crossed:')],
  ['both right, suite listen', (run) => rightPairs(run, 'companion:listen-')],
  ['margin, dev', (run) => margins(run, 'crossed:')],
  ['lift on directions', (run) => liftGains(run, 'direction')],
  ['lift on own ideas', (run) => liftGains(run, 'ownIdea')],
];

function contrasts(): void {
  say('| what | real − | by pair, scenario or example | by seed |');
  say('|---|---|---|---|');
  const row = (what: string, other: string, from: readonly Run[], values: (r: Run) => Values) => {
    const found = contrast(of('real', DOSE), from, values);
    if (found !== undefined) say(`| ${what} | ${other} | ${contrastText(found)} |`);
  };
  for (const [what, values] of COMPARED) {
    if (base !== undefined) row(what, 'base', [base], values);
    for (const other of ['deaf', 'sham', 'surface', 'adamw', 'qkvo']) {
      row(what, other, of(other, DOSE), values);
    }
  }
  for (const kind of ['push-back', 'invite', 'undercurrent', 'ordinary']) {
    if (base !== undefined) row(`margin, ${kind}`, 'base', [base], (r) => margins(r, `:${kind}`));
  }
  say();
}

function flatnessTable(): void {
  const known = runs.filter((run) => run.flatness !== undefined);
  if (known.length === 0) return;
  say('| cell | ‖ΔW‖ (as trained) | loss | ‖g‖ | average direction | SAM gap | uᵀHu |');
  say('|---|---|---|---|---|---|---|');
  for (const { cell, norm = 0, trainedNorm = 0, flatness } of known) {
    if (flatness === undefined) continue;
    const { loss, gradientNorm, radii, alongMove } = flatness;
    const each = (pick: (r: (typeof radii)[number]) => number): string =>
      radii.map((r) => `${pick(r).toExponential(1)} at ${percent(r.radius)}`).join(', ');
    say(
      `| ${cell.name} | ${norm.toFixed(2)} (${trainedNorm.toFixed(2)}) | ${loss.toFixed(4)} | ` +
        `${gradientNorm.toFixed(3)} | ${each((r) => r.averageDirection)} | ` +
        `${each((r) => r.samGap)} | ${alongMove.toExponential(1)} |`,
    );
  }
  const pairs = of('real', DOSE).flatMap((real) => {
    const other = of('adamw', DOSE).find(({ cell }) => cell.seed === real.cell.seed);
    const [a, b] = [real.flatness?.radii.at(-1), other?.flatness?.radii.at(-1)];
    return a === undefined || b === undefined
      ? []
      : [Math.log(Math.max(1e-9, a.averageDirection) / Math.max(1e-9, b.averageDirection))];
  });
  if (pairs.length > 0) {
    const { mean, low, high } = acrossSeeds(pairs);
    const ratio = (v: number): string => (Math.abs(v) > 20 ? '–' : Math.exp(v).toFixed(2));
    say(`\nAverage direction, APOLLO ÷ AdamW: ${ratio(mean)} [${ratio(low)}, ${ratio(high)}].`);
  }
  say();
}

async function plots(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const point = (x: number, own: readonly Run[]) => {
    const shares = own.map((run) => meanValue(rightPairs(run, 'crossed:')));
    const { mean, low } = acrossSeeds(shares);
    const error = shares.length < 2 ? {} : { error: mean - low };
    return { x, y: average(shares), ...error };
  };
  const groups = [...new Set(runs.map(({ cell }) => cell.group))].filter((g) => g !== 'base');
  const first = base === undefined ? [] : [point(1, [base])];
  const series: PlotSeries[] = groups.map((group) => {
    const doses = [...new Set(of(group).map(({ cell }) => cell.dose))].sort((a, b) => a - b);
    const points = doses.map((dose) => point(dose, of(group, dose)));
    return { name: group, points: doses.length > 1 ? [...first, ...points] : points };
  });
  const title = 'Crossed pairs of sgd-dev, both right, by dose (1 = before)';
  await writeFile(join(folder, 'both-right.svg'), linePlotSvg(title, series, { isLog: true }));
  for (const run of runs.filter(({ cell }) => cell.seed === 1 && cell.dose === DOSE)) {
    for (const feature of ['direction', 'ownIdea'] as const) {
      const change = run.attention?.[feature];
      if (change === undefined) continue;
      const map = changeMapSvg(
        `Lift on ${feature === 'direction' ? 'directions' : 'own ideas'}, ${run.cell.name}`,
        change.before,
        change.after,
      );
      await writeFile(join(folder, `${run.cell.name}-${feature}.svg`), map);
    }
  }
}

const blind = checkBaseline((await readData(join(options.work, 'data'))).dev);
say(`Base ${runs[0]?.baseHash.slice(0, 12)}, settings ${JSON.stringify(runs[0]?.choice)}.`);
say(
  `A bag of words that sees no context: ${percent(blind.bothRight)} both right on ` +
    `${blind.crossedPairs} dev pairs.\n`,
);
await sweepTable();
mainTable();
contrasts();
flatnessTable();
if (options.plots !== '') await plots(options.plots);
