// Reads the lines of training-experiment and writes the tables and plots of EXPERIMENTS.md.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { AttentionChange } from '../src/measure/attention-change.ts';
import { changeMapSvg, linePlotSvg } from '../src/measure/map-svg.ts';
import { acrossSeeds, type Estimate, estimate } from '../src/measure/statistics.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: 'runs.jsonl' },
    plots: { type: 'string', default: '' },
  },
});

interface Run {
  readonly options: { cell: string; seed: string; dose: string };
  readonly margins: Readonly<Record<string, number>>;
  readonly clusters: Readonly<Record<string, string>>;
  readonly movedShare?: number;
  readonly steps?: number;
  readonly kept?: { share: number };
  readonly retention: { perplexity: { ratio: number; high: number }; kl: number };
  readonly attention: { direction?: AttentionChange; 'own-idea'?: AttentionChange };
}

const runs: Run[] = (await readFile(values.runs, 'utf8'))
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
const base = runs.find(({ options }) => options.cell === 'base');

/** Pair → both sides right, of the pairs whose id has `part`. */
function bothRight(run: Run, part: string): Map<string, { right: boolean; cluster: string }> {
  const pairs = new Map<string, { right: boolean; cluster: string }>();
  for (const [id, margin] of Object.entries(run.margins)) {
    const isSide = id.endsWith(':a') || id.endsWith(':b');
    if (!isSide || !id.includes(part)) continue;
    const pair = id.slice(0, -2);
    const other = run.margins[`${pair}${id.endsWith(':a') ? ':b' : ':a'}`];
    if (other === undefined) continue;
    const cluster = run.clusters[id] ?? pair;
    pairs.set(pair, { right: margin > 0 && other > 0, cluster });
  }
  return pairs;
}

const share = (pairs: ReturnType<typeof bothRight>): number =>
  [...pairs.values()].filter(({ right }) => right).length / Math.max(1, pairs.size);

const text = ({ mean, low, high, p }: Estimate): string =>
  `${mean.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}] p ${p.toPrecision(2)}`;

const SETS = {
  dev: 'crossed:',
  decline: 'crossed:decline',
  reject: 'crossed:reject_offer_alts',
  'change mind': 'crossed:change_mind',
  correct: 'crossed:correct_confirm',
  'suite listen': 'companion:listen-',
};

const windowOf = (change: AttentionChange | undefined): string =>
  change === undefined ? '–' : change.window.mean.toFixed(3);

console.log(
  `| cell | seed | dose | moved | ${Object.keys(SETS).join(' | ')} | kept (dev) | perplexity × | lift direction | lift own idea |`,
);
console.log(`|---|---|---|---|${'---|'.repeat(Object.keys(SETS).length)}---|---|---|---|`);
for (const run of runs) {
  const { cell, seed, dose } = run.options;
  const cells = Object.values(SETS).map((part) => share(bothRight(run, part)).toFixed(2));
  const { ratio, high } = run.retention.perplexity;
  console.log(
    `| ${cell} | ${seed} | ${cell === 'base' ? 0 : dose} | ${((run.movedShare ?? 0) * 100).toFixed(0)} % | ` +
      `${cells.join(' | ')} | ${run.kept?.share?.toFixed(2) ?? '–'} | ` +
      `${ratio.toFixed(3)} (≤ ${high.toFixed(3)}) | ${windowOf(run.attention.direction)} | ` +
      `${windowOf(run.attention['own-idea'])} |`,
  );
}

/** Real − another cell at equal seed and dose: by pair over all seeds, and by seed. */
function contrast(cell: string, dose: string, part: string): void {
  const bySeed: number[] = [];
  const observations: { value: number; cluster: string }[] = [];
  for (const real of runs.filter(({ options: o }) => o.cell === 'real' && o.dose === dose)) {
    const other = runs.find(
      ({ options: o }) => o.cell === cell && o.dose === dose && o.seed === real.options.seed,
    );
    if (other === undefined) continue;
    const [a, b] = [bothRight(real, part), bothRight(other, part)];
    for (const [pair, { right, cluster }] of a) {
      const was = b.get(pair);
      if (was !== undefined)
        observations.push({ value: Number(right) - Number(was.right), cluster });
    }
    bySeed.push(share(a) - share(b));
  }
  if (bySeed.length === 0) return;
  console.log(
    `real − ${cell}, dose ${dose}, ${part}: by pair ${text(estimate(observations))}; ` +
      `by seed (${bySeed.length}) ${text(acrossSeeds(bySeed))}`,
  );
}

/** Real − deaf of the mean margin, nats a token. */
function marginContrast(dose: string, part: string): void {
  const observations: { value: number; cluster: string }[] = [];
  const gains: { value: number; cluster: string }[] = [];
  for (const real of runs.filter(({ options: o }) => o.cell === 'real' && o.dose === dose)) {
    const deaf = runs.find(
      ({ options: o }) => o.cell === 'deaf' && o.dose === dose && o.seed === real.options.seed,
    );
    for (const [id, margin] of Object.entries(real.margins)) {
      if (!id.includes(part)) continue;
      const cluster = real.clusters[id] ?? id;
      const [was, first] = [deaf?.margins[id], base?.margins[id]];
      if (was !== undefined) observations.push({ value: margin - was, cluster });
      if (first !== undefined) gains.push({ value: margin - first, cluster });
    }
  }
  if (observations.length === 0) return;
  console.log(
    `margin, dose ${dose}, ${part}: real − base ${text(estimate(gains))}; ` +
      `real − deaf ${text(estimate(observations))}`,
  );
}

const doses = [...new Set(runs.map(({ options }) => options.dose))];
for (const dose of doses) {
  for (const part of ['crossed:', 'companion:listen-']) {
    for (const cell of ['deaf', 'sham', 'adamw', 'qkvo', 'surface']) contrast(cell, dose, part);
    marginContrast(dose, part);
  }
  marginContrast(dose, 'companion:push-back-');
  marginContrast(dose, 'companion:invite-');
  marginContrast(dose, 'companion:ordinary');
}

if (values.plots !== '') {
  await mkdir(values.plots, { recursive: true });
  const cells = [...new Set(runs.map(({ options }) => options.cell))].filter((c) => c !== 'base');
  const series = cells.map((cell) => ({
    name: cell,
    points: doses.flatMap((dose) => {
      const own = runs.filter(({ options: o }) => o.cell === cell && o.dose === dose);
      const shares = own.map((run) => share(bothRight(run, 'crossed:')));
      if (shares.length === 0) return [];
      const mean = shares.reduce((a, b) => a + b, 0) / shares.length;
      return [{ x: Number(dose), y: mean }];
    }),
  }));
  const plot = linePlotSvg('Crossed pairs of sgd-dev, both right, by dose', series, {
    isLog: true,
  });
  await writeFile(join(values.plots, 'both-right.svg'), plot);
  for (const run of runs.filter(({ options }) => ['real', 'deaf'].includes(options.cell))) {
    for (const [feature, change] of Object.entries(run.attention)) {
      if (change === undefined) continue;
      const { cell, seed, dose } = run.options;
      const title = `Lift on ${feature}, ${cell} ${dose}, seed ${seed}, after − before`;
      const name = `${cell}-${dose}-${seed}-${feature}.svg`;
      await writeFile(join(values.plots, name), changeMapSvg(title, change.before, change.after));
    }
  }
}
