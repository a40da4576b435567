// The sweep of the training experiment: short runs on a split of train, of which one is chosen.
import { setTimeout as wait } from 'node:timers/promises';
import { writeJsonAtomic } from '../../src/base/atomic-file.ts';
import type { Retention } from '../../src/measure/retention.ts';
import { type Estimate, estimate } from '../../src/measure/statistics.ts';
import { bothRight } from '../../src/reading/margin.ts';
import type { Kind } from '../../src/scenario/kind.ts';
import type { Scenario } from '../../src/scenario/scenario.ts';
import type { Cell } from './cells.ts';
import type { Reading } from './laboratory.ts';
import { type Choice, DEFAULT_CHOICE } from './settings.ts';
import { attempt, firstMargins, isLate, type StageContext, told } from './stages.ts';
import type { WorkFolder } from './work-folder.ts';

export interface Tried {
  readonly choice: Choice;
  readonly movedShare: number;
  readonly bothRight: { readonly share: number };
  readonly margin: number;
  /** Change of the margin of guard scenes against the first weights. */
  readonly pushBack: Estimate;
  readonly invite: Estimate;
  readonly retention: Retention;
}

/**
 * What a choice must keep, on the selection split. The gate bounds the upper end of the perplexity
 * ratio by 1.02 and the lower ends of push-back and invite by −0.02, so means need some room.
 */
const BOUNDS = { perplexityRatioMax: 1.01, guardChangeMin: -0.01 };

const GRID = { rates: [0.03, 0.1, 0.3], retentions: [2, 8], betas: [0.1] };

function grid(): Choice[] {
  return GRID.rates.flatMap((learningRate) =>
    GRID.retentions.flatMap((retentionWeight) =>
      GRID.betas.map((preferenceBeta) => ({ learningRate, retentionWeight, preferenceBeta })),
    ),
  );
}

/** What is tried once the grid is done: rates beside the best one's, and another β. */
function around({ learningRate: rate, retentionWeight, preferenceBeta: beta }: Choice): Choice[] {
  const near = (learningRate: number, preferenceBeta: number): Choice => ({
    learningRate: Number(learningRate.toPrecision(2)),
    retentionWeight,
    preferenceBeta: Number(preferenceBeta.toPrecision(2)),
  });
  return [
    near(rate * 0.55, beta),
    near(rate * 1.8, beta),
    near(rate, beta * 4),
    near(rate, beta / 4),
  ];
}

const nameOf = ({ learningRate, retentionWeight, preferenceBeta }: Choice): string =>
  `rate-${learningRate}-kl-${retentionWeight}-beta-${preferenceBeta}`;

/** The grid, then what is around its best point; ends early when it is late. */
export async function sweep(context: StageContext): Promise<void> {
  await tryAll(context, grid());
  const first = new Set(grid().map(nameOf));
  const tried = await context.work.readAll<Tried>('sweep');
  const ofGrid = tried.filter(({ choice }) => first.has(nameOf(choice)));
  if (ofGrid.length > 0) await tryAll(context, around(best(ofGrid).choice));
}

/** Takes what is left of `choices` and waits until others have done theirs. */
async function tryAll(context: StageContext, choices: readonly Choice[]): Promise<void> {
  const { work } = context;
  for (;;) {
    for (const choice of choices) {
      if (isLate(context)) return;
      await tryOne(context, choice);
    }
    const done = [...(await work.done('sweep')), ...(await work.failures('sweep'))];
    if (choices.every((choice) => done.includes(nameOf(choice)))) return;
    await wait(1000);
  }
}

async function tryOne(context: StageContext, choice: Choice): Promise<void> {
  const { laboratory, work, size, say } = context;
  const name = nameOf(choice);
  const found = await attempt(context, { kind: 'sweep', name }, async () => {
    const first = await firstMargins(work);
    const cell: Cell = { name, group: 'sweep', arm: 'real', dose: size.sweepDose, seed: 0 };
    const drawn = laboratory.draw(cell.dose, cell.seed, first);
    const trained = await laboratory.train(cell, drawn, choice);
    const reading = await laboratory.readSelection(trained.weights);
    const summary = summaryOf(reading, laboratory.data.selection, first);
    return { choice, ...told(trained), ...summary };
  });
  if (found === undefined) return;
  const { bothRight: won, pushBack, invite, retention, movedShare, seconds } = found;
  say(
    `${name}: moved ${(100 * movedShare).toFixed(1)} %, both right ${won.share.toFixed(3)}, ` +
      `push-back ${pushBack.mean.toFixed(3)}, invite ${invite.mean.toFixed(3)}, perplexity × ` +
      `${retention.perplexity.ratio.toFixed(3)}, ${seconds.toFixed(0)} s`,
  );
}

/** Pairs won and mean margin of crossed pairs but guards; changes of guards; retention. */
function summaryOf(
  { margins, retention }: Reading,
  selection: readonly Scenario[],
  first: Readonly<Record<string, number>>,
): Omit<Tried, 'choice' | 'movedShare'> {
  const marginOf = ({ id }: Scenario): number => margins[id] ?? Number.NaN;
  const listening = selection.filter(({ id }) => !id.startsWith('guard:'));
  const sides = listening.flatMap((s) =>
    s.pair === undefined ? [] : [{ pair: s.pair.id, side: s.pair.side, margin: marginOf(s) }],
  );
  const change = (kind: Kind): Estimate =>
    estimate(
      selection
        .filter((s) => s.kind === kind)
        .map((s) => ({
          value: marginOf(s) - (first[s.id] ?? Number.NaN),
          cluster: s.source.cluster,
        })),
    );
  return {
    bothRight: bothRight(sides),
    margin: sides.reduce((total, { margin }) => total + margin, 0) / sides.length,
    pushBack: change('push-back'),
    invite: change('invite'),
    retention: retention as Retention,
  };
}

/** How far beyond its bounds a point is, 1 = as far again as the bound is from no change. */
function excess({ retention, pushBack, invite }: Tried): number {
  const { perplexityRatioMax, guardChangeMin } = BOUNDS;
  return Math.max(
    0,
    (retention.perplexity.ratio - 1) / (perplexityRatioMax - 1) - 1,
    Math.min(pushBack.mean, invite.mean) / guardChangeMin - 1,
  );
}

export const keepsBounds = (tried: Tried): boolean => excess(tried) === 0;

/** Most pairs won within the bounds, then the higher margin; else what passes them least. */
function best(tried: readonly Tried[]): Tried {
  const ranked = [...tried].sort(
    (a, b) => excess(a) - excess(b) || b.bothRight.share - a.bothRight.share || b.margin - a.margin,
  );
  return ranked[0] as Tried;
}

/** The best of the sweep; without one the defaults of the configuration. Once chosen, it stays. */
export async function choose(work: WorkFolder): Promise<Choice> {
  const known = await work.read<Choice>('choice.json');
  if (known !== undefined) return known;
  const tried = await work.readAll<Tried>('sweep');
  const choice = tried.length === 0 ? DEFAULT_CHOICE : best(tried).choice;
  await writeJsonAtomic(work.at('choice.json'), choice);
  return choice;
}
