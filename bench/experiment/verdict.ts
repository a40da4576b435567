// What the experiment says, in sentences: the registered headline, the seed's prediction, the cost.
import { type Contrast, contrast, intervalText, liftGains, margins, pText } from './compare.ts';
import { type Results, type Run, rightPairs, runsOf, type Values } from './results.ts';

const LEVEL = 0.05;

/** Shown = p < 0.05 by unit and by seed; one seed shows nothing. */
const isShown = (found: Contrast): boolean =>
  found.byUnit.p < LEVEL && found.seeds > 1 && found.bySeed.p < LEVEL;

const negated = (values: (run: Run) => Values) => (run: Run) =>
  new Map([...values(run)].map(([id, { value, cluster }]) => [id, { value: -value, cluster }]));

/** Below zero in both, by their intervals. */
const isReversed = ({ byUnit, bySeed, seeds }: Contrast): boolean =>
  byUnit.high < 0 && seeds > 1 && bySeed.high < 0;

function numbersText({ byUnit, bySeed, seeds }: Contrast, unit: string): string {
  const over =
    seeds > 1
      ? `over ${seeds} seeds ${intervalText(bySeed)}`
      : 'one seed, which says nothing about training noise';
  return `${intervalText(byUnit)} in ${byUnit.clusters} sources, ${unit}; ${over}`;
}

const signed = (value: number): string => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(3)}`;

export function verdictLines(results: Results): string[] {
  const { runs, dose } = results;
  const [real, deaf, base] = [
    runsOf(runs, 'real', dose),
    runsOf(runs, 'deaf', dose),
    runsOf(runs, 'base'),
  ];
  const right = (run: Run): Values => rightPairs(run, 'crossed:');
  const headline = contrast(real, deaf, right);
  if (headline === undefined) {
    return ['**Headline: cannot be told**, real and deaf have no seed in common.', ''];
  }
  return [
    `**Headline, both right on dev pairs, real − deaf: ${isShown(headline) ? 'shown' : 'not shown'}** ` +
      `(${numbersText(headline, 'share of pairs')}).`,
    '',
    ...prediction({ real, deaf, base }, headline),
    ...cost(real),
  ];
}

interface Arms {
  readonly real: readonly Run[];
  readonly deaf: readonly Run[];
  readonly base: readonly Run[];
}

/** Did directions gain and own ideas lose attention, beyond the deaf arm, and did behaviour follow? */
function prediction({ real, deaf, base }: Arms, headline: Contrast): string[] {
  const ofDirections = (run: Run): Values => liftGains(run, 'direction');
  const ofIdeas = (run: Run): Values => liftGains(run, 'ownIdea');
  const gained = contrast(real, deaf, ofDirections);
  // Turned round, so that p tells of a loss.
  const lost = contrast(real, deaf, negated(ofIdeas));
  const margin = contrast(real, deaf, (run) => margins(run, 'crossed:'));
  if (gained === undefined || lost === undefined || margin === undefined) {
    return [
      "**The seed's prediction cannot be answered**: no attention was read in both arms.",
      '',
    ];
  }
  const [direction, ideas] = [isShown(gained), isShown(lost)];
  const follows = isShown(headline);
  const [up, down] = ['gained', 'lost'];
  const neither = 'neither demonstrably gained nor lost';
  const ofDirection = direction ? up : isReversed(gained) ? down : neither;
  const ofIdea = ideas ? down : isReversed(lost) ? up : neither;
  const ofPairs = follows ? 'followed' : isReversed(headline) ? 'got worse' : 'did not follow';
  const outcome =
    direction && ideas && follows
      ? 'borne out'
      : direction || ideas || follows
        ? 'borne out in part only'
        : 'not borne out';
  const alone = (values: (run: Run) => Values): string => {
    const found = contrast(real, base, values);
    return found === undefined ? 'not known' : signed(found.byUnit.mean);
  };
  return [
    `**The seed's prediction is ${outcome}.** In the first two thirds of the layers direction spans ` +
      `${ofDirection} attention beyond the deaf arm ` +
      `(real − deaf ${numbersText(gained, 'log units')}; against the untrained weights ` +
      `${alone(ofDirections)}), own-idea spans ${ofIdea} it ` +
      `(loss ${numbersText(lost, 'log units')}; change against the untrained weights ` +
      `${alone(ofIdeas)}), and behaviour ${ofPairs}: ` +
      `both right ${signed(headline.byUnit.mean)} (p ${pText(headline.byUnit.p)}), margin ` +
      `${numbersText(margin, 'nats a token')}.`,
    '',
  ];
}

function cost(real: readonly Run[]): string[] {
  const ratios = real.flatMap((run) => run.retention?.perplexity ?? []);
  if (ratios.length === 0) return [];
  const mean = ratios.reduce((total, { ratio }) => total + ratio, 0) / ratios.length;
  const high = Math.max(...ratios.map((one) => one.high));
  return [
    `**Cost**: everyday perplexity × ${mean.toFixed(3)} (mean of ${ratios.length} seeds; highest ` +
      `upper bound ${high > 1e3 ? 'unknown' : high.toFixed(3)}).`,
    '',
  ];
}
