// Keys of earlier versions and what became of them, so that a file of before is still read.
import type { Written } from './key.ts';

export interface GoneKey {
  /** What there is instead, as the end of a sentence. */
  readonly instead: string;
  /** The same choice under keys of today, in the same section. */
  readonly becomes?: (value: unknown) => Readonly<Record<string, unknown>>;
  /** Only this value is gone, and only from files, where it was the shipped one. */
  readonly only?: unknown;
}

type Gone = Readonly<Record<string, GoneKey>>;

const gone = (instead: string, ...keys: readonly string[]): Gone =>
  Object.fromEntries(keys.map((key) => [key, { instead }]));

/** Values that were shipped once, and that nobody chose. */
const shipped = (instead: string, values: Readonly<Record<string, unknown>>): Gone =>
  Object.fromEntries(Object.entries(values).map(([key, only]) => [key, { only, instead }]));

const renamed = (key: string, to: string): Gone => {
  const instead = `it is named ${key.slice(0, key.lastIndexOf('.'))}.${to}`;
  return { [key]: { instead, becomes: (value) => ({ [to]: value }) } };
};

const preference = [
  ...['preference', 'preferenceBeta', 'chosenWeight', 'preferenceWeight', 'preferenceMargin'],
  ...['guardWeight', 'retentionWeight', 'weightDecay', 'projectionSteps', 'gradientNormMax'],
  ...['contextRefreshKlMax', 'contextRefreshSteps', 'evaluationSteps', 'patience', 'tokensMax'],
  'replayTokens',
].map((name) => `train.${name}`);

export const GONE_KEYS: Gone = {
  'train.executor': {
    instead: 'use train.device, which also knows graphics cards',
    becomes: (value) => {
      const device = value === 'onnx' ? 'cpu' : value;
      return device === 'auto' ? {} : { device };
    },
  },
  ...gone('the told model teaches now, not preferences', ...preference),
  ...gone('every layer and head learns', 'train.layers', 'train.heads'),
  ...gone('the rate is found from train.klPerStep', 'train.learningRate'),
  ...gone('see night.stepsMax', 'train.stepsMax'),
  ...gone('see night.minutesMax', 'train.minutesMax'),
  ...shipped('nights learn in fewer steps now', {
    ...{ 'train.epochsMax': 8, 'train.contextTokensMax': 1_024 },
    ...{ 'train.replyTokensMax': 128, 'night.stepsMax': 260 },
  }),
  ...shipped('fewer, so that a night takes minutes', {
    ...{ 'night.dreamsMax': 320, 'dream.rehearsalTalks': 240 },
  }),
  ...renamed('train.replaysPerStep', 'holdsPerStep'),
  'dream.anglesPerFlag': {
    instead: 'use dream.dreamsPerFlag, which counts what is held as well',
    becomes: (value) => (typeof value === 'number' ? { dreamsPerFlag: 2 * value } : {}),
  },
  ...gone('a line is tried four times', 'dream.retriesPerDream'),
  ...gone('models of all sizes write in one way', 'dream.strength'),
  ...gone('it is 0.95', 'dream.topP'),
  ...gone('see train.contextTokensMax', 'dream.contextTokensMax'),
  ...gone('see train.replyTokensMax', 'dream.chosenTokensMax'),
  ...gone(
    'what is learnt from depends on its teacher, not on a margin',
    ...['dream.marginMin', 'dream.marginMax'],
  ),
  ...gone(
    'it had no effect; the sink is the first four positions and the control tokens',
    'measure.sinkTokens',
  ),
  ...gone(
    'it had no effect; attention is read in the first two thirds of the layers',
    'measure.windowShare',
  ),
  'measure.deafArms': {
    instead: 'use measure.hasPlacebo (0 is false, any other number true)',
    becomes: (value) => (typeof value === 'number' ? { hasPlacebo: value > 0 } : {}),
  },
  ...shipped('fewer turns tell as much', { 'measure.everydayTurns': 160 }),
  ...shipped('the bound is closer now', { 'gate.perplexityRatioParentMax': 1.02 }),
  ...gone('see measure.pairs and measure.heldReplies', 'measure.scenariosPerKind'),
  ...gone('every kind is held; see measure.heldReplies', 'measure.scenariosPerUngatedKind'),
  ...gone('see measure.heldReplies', 'measure.repliesPerKind'),
  ...gone('the gate asks for more pairs with both sides right', 'gate.marginGainMin'),
  ...renamed('gate.marginPMax', 'pMax'),
  ...gone('see gate.worseMax and gate.heldKlMax', 'gate.guardLowerBoundMin'),
  ...gone('a night of few flags offers itself for a trial', 'gate.sourcesMin'),
  ...gone('at most one swap in twenty may be false in the long run', 'gate.falseSwapRate'),
  ...renamed('gate.deafPMax', 'placeboPMax'),
  ...renamed('server.limits.openTalksMax', 'openConversationsMax'),
  ...gone(
    'it had no effect; the agreement of the checks is published, not configured',
    'gate.agreementMin',
  ),
};

/**
 * What was written, under today's keys. What stands under an earlier one comes first, so that a key
 * of today wins.
 * @param warnings gets one sentence for each key of an earlier version
 */
export function today(
  written: readonly Written[],
  warnings: string[],
  { isFile = false } = {},
): Written[] {
  const earlier: Written[] = [];
  const others = written.filter(({ path, value, source }) => {
    const key = path.join('.');
    const found = Object.hasOwn(GONE_KEYS, key) ? GONE_KEYS[key] : undefined;
    if (found === undefined) return true;
    const { only, instead, becomes } = found;
    if (only !== undefined && (only !== value || !isFile)) return true;
    for (const [name, its] of Object.entries(becomes?.(value) ?? {})) {
      earlier.push({ path: [...path.slice(0, -1), name], value: its, source });
    }
    const as = only === undefined ? key : `${key}: ${only}`;
    warnings.push(`${as} (from ${source}) is gone: ${instead}.`);
    return false;
  });
  return [...earlier, ...others];
}
