// The tables of the training experiment as Markdown lines.
import { acrossSeeds } from '../../src/measure/statistics.ts';
import { contrast, contrastText, liftGains, margins, meanValue } from './compare.ts';
import { type Results, type Run, rightPairs, runsOf, type Values } from './results.ts';
import { keepsBounds } from './sweep.ts';

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
const fixed = (digits: number) => (value: number) => value.toFixed(digits);

/** Mean and range over the seeds. */
function spread(numbers: readonly number[], write: (value: number) => string): string {
  const known = numbers.filter((value) => Number.isFinite(value));
  if (known.length === 0) return '–';
  const [low, high] = [Math.min(...known), Math.max(...known)];
  return `${write(average(known))}${known.length > 1 ? ` (${write(low)} to ${write(high)})` : ''}`;
}

const row = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;
const head = (names: readonly string[]): string[] => [
  row(names),
  `|${'---|'.repeat(names.length)}`,
];

export function sweepTable({ tried }: Results): string[] {
  if (tried.length === 0) return [];
  const names =
    'rate,KL weight,β,moved,both right,margin,push-back,invite,perplexity ×,within bounds'.split(
      ',',
    );
  const lines = tried.map((one) => {
    const { choice, movedShare, bothRight, margin, pushBack, invite, retention } = one;
    return row([
      choice.learningRate,
      choice.retentionWeight,
      choice.preferenceBeta,
      percent(movedShare),
      bothRight.share.toFixed(3),
      margin.toFixed(3),
      pushBack.mean.toFixed(3),
      invite.mean.toFixed(3),
      retention.perplexity.ratio.toFixed(3),
      keepsBounds(one) ? 'yes' : 'no',
    ]);
  });
  return [...head(names), ...lines, ''];
}

/** A line a cell: means over its seeds, with the range. */
export function cellTable({ runs }: Results): string[] {
  const names = ['cell', 'seeds', 'moved', ...Object.keys(SETS), 'kept cache', 'perplexity ×'];
  if (runs.length === 0) return [];
  const cells = [...new Set(runs.map(({ cell }) => `${cell.group} ${cell.dose}`))];
  const lines = cells.map((name) => {
    const [group = '', dose = ''] = name.split(' ');
    const own = runsOf(runs, group, Number(dose));
    const right = (part: string): string =>
      spread(
        own.map((run) => meanValue(rightPairs(run, part))),
        percent,
      );
    const kept = own.flatMap((r) => (r.kept ? [meanValue(rightPairs(r, 'crossed:', r.kept))] : []));
    const lift = (feature: 'direction' | 'ownIdea'): string =>
      spread(
        own.map((run) => meanValue(liftGains(run, feature))),
        fixed(2),
      );
    const ratios = own.map((run) => run.retention?.perplexity.ratio ?? Number.NaN);
    const moved = own.map((run) => run.movedShare ?? Number.NaN);
    return row([
      name,
      own.length,
      spread(moved, percent),
      ...Object.values(SETS).map(right),
      spread(kept, percent),
      spread(ratios, fixed(3)),
      lift('direction'),
      lift('ownIdea'),
    ]);
  });
  return [...head([...names, 'lift on directions', 'on own ideas']), ...lines, ''];
}

const COMPARED: readonly [name: string, values: (run: Run) => Values][] = [
  ['both right, dev', (run) => rightPairs(run, 'crossed:')],
  ['both right, suite listen', (run) => rightPairs(run, 'companion:listen-')],
  ['margin, dev', (run) => margins(run, 'crossed:')],
  ['lift on directions', (run) => liftGains(run, 'direction')],
  ['lift on own ideas', (run) => liftGains(run, 'ownIdea')],
];

/** Real minus everything else, by unit and by seed; p is one-sided for "above zero". */
export function contrastTable({ runs, dose }: Results): string[] {
  const real = runsOf(runs, 'real', dose);
  const base = runsOf(runs, 'base');
  const line = (what: string, other: string, from: readonly Run[], values: (r: Run) => Values) => {
    const found = contrast(real, from, values);
    return found === undefined ? [] : [row([what, other, contrastText(found)])];
  };
  const lines = COMPARED.flatMap(([what, values]) => [
    ...line(what, 'base', base, values),
    ...['deaf', 'sham', 'surface', 'adamw', 'qkvo'].flatMap((other) =>
      line(what, other, runsOf(runs, other, dose), values),
    ),
  ]);
  const kinds = ['push-back', 'invite', 'undercurrent', 'ordinary'].flatMap((kind) => {
    const ofKind = (run: Run): Values => margins(run, `companion:${kind}`);
    const deaf = runsOf(runs, 'deaf', dose);
    return [
      ...line(`margin, ${kind}`, 'base', base, ofKind),
      ...line(`margin, ${kind}`, 'deaf', deaf, ofKind),
    ];
  });
  if (lines.length === 0) return [];
  const names = ['what', 'real −', 'by pair or example (one-sided p: above zero)', 'by seed'];
  return [...head(names), ...lines, ...kinds, ''];
}

/** Real − deaf under each remedy; not pre-registered. */
export function remedyTable({ runs, dose }: Results): string[] {
  const remedies = [
    ...new Set(runs.flatMap(({ cell }) => (cell.remedy === undefined ? [] : [cell.remedy]))),
  ];
  if (remedies.length === 0) return [];
  const lines = remedies.flatMap((remedy) => {
    const real = runsOf(runs, `real~${remedy}`, dose);
    const deaf = runsOf(runs, `deaf~${remedy}`, dose);
    return COMPARED.map(([what, values]) =>
      row([remedy, what, contrastText(contrast(real, deaf, values))]),
    );
  });
  return [...head(['remedy', 'real − deaf in', 'by pair or example', 'by seed']), ...lines, ''];
}

export function flatnessTable({ runs, dose }: Results): string[] {
  const names = [
    'cell',
    '‖ΔW‖ (as trained)',
    'loss',
    '‖g‖',
    'average direction',
    'SAM gap',
    'uᵀHu',
  ];
  const lines = runs.flatMap(({ cell, norm = 0, trainedNorm = 0, flatness }) => {
    if (flatness === undefined) return [];
    const { loss, gradientNorm, radii, alongMove } = flatness;
    const each = (pick: (r: (typeof radii)[number]) => number): string =>
      radii.map((r) => `${pick(r).toExponential(1)} at ${100 * r.radius} %`).join(', ');
    return [
      row([
        cell.name,
        `${norm.toFixed(2)} (${trainedNorm.toFixed(2)})`,
        loss.toFixed(4),
        gradientNorm.toFixed(3),
        each((r) => r.averageDirection),
        each((r) => r.samGap),
        alongMove.toExponential(1),
      ]),
    ];
  });
  if (lines.length === 0) return [];
  return [...head(names), ...lines, '', ...flatnessRatio(runs, dose)];
}

/** Geometric mean over seeds of how much the loss rises in random directions. */
function flatnessRatio(runs: readonly Run[], dose: number): string[] {
  const logs = runsOf(runs, 'real', dose).flatMap((real) => {
    const other = runsOf(runs, 'adamw', dose).find(({ cell }) => cell.seed === real.cell.seed);
    const [ours, theirs] = [real.flatness?.radii.at(-1), other?.flatness?.radii.at(-1)];
    const ratio = (ours?.averageDirection ?? 0) / (theirs?.averageDirection ?? 0);
    return ratio > 0 && Number.isFinite(ratio) ? [Math.log(ratio)] : [];
  });
  if (logs.length < 2) return [];
  const { mean, low, high } = acrossSeeds(logs);
  const text = (value: number): string => Math.exp(value).toPrecision(2);
  return [
    `Average direction, APOLLO ÷ AdamW: ${text(mean)} [${text(low)}, ${text(high)}] over ` +
      `${logs.length} seeds.`,
    '',
  ];
}

export function gateTable({ gates }: Results): string[] {
  return Object.entries(gates).flatMap(([night, { passes, reasons, movedShare }]) => [
    `Night "${night}" (moved ${percent(movedShare)}): ${passes ? 'passes' : 'refused'}.`,
    ...reasons.map(
      (reason) => `- ${reason.passes ? 'holds' : '**fails**'}: ${reason.rule}: ${reason.text}`,
    ),
    '',
  ]);
}

export function replyTable({ replies }: Results): string[] {
  const entries = Object.entries(replies);
  if (entries.length === 0) return [];
  const names = ['weights', 'dev replies nearer to the right candidate', 'both of a pair'];
  const kinds = ['listen', 'push-back', 'invite'] as const;
  return [
    ...head([...names, ...kinds.map((kind) => `${kind}: pass`)]),
    ...entries.map(([name, { nearer, bothNearer, passes }]) =>
      row([
        name,
        percent(nearer),
        percent(bothNearer),
        ...kinds.map((kind) => spread([passes[kind] ?? Number.NaN], percent)),
      ]),
    ),
    '',
  ];
}
