// Keys of earlier versions and what became of them, so that a file of before is still read.

export interface GoneKey {
  /** What there is instead, as the end of a sentence. */
  readonly instead: string;
  /** The same choice under keys of today, in the same section. */
  readonly becomes?: (value: unknown) => Readonly<Record<string, unknown>>;
  /** Only this value is gone, and only from files, where it was the shipped one. */
  readonly only?: unknown;
}

export const GONE_KEYS: Readonly<Record<string, GoneKey>> = {
  'train.executor': {
    only: 'auto',
    instead: 'onnx is used, as auto always was; write onnx or tensorflow',
  },
  ...Object.fromEntries(
    [
      ...['preference', 'preferenceBeta', 'chosenWeight', 'preferenceWeight', 'preferenceMargin'],
      ...['guardWeight', 'retentionWeight', 'weightDecay', 'projectionSteps', 'gradientNormMax'],
      ...['contextRefreshKlMax', 'contextRefreshSteps', 'evaluationSteps', 'patience', 'tokensMax'],
      'replayTokens',
    ].map((key) => [`train.${key}`, { instead: 'the told model teaches now, not preferences' }]),
  ),
  'train.learningRate': { instead: 'the rate is found from train.klPerStep' },
  'train.stepsMax': { instead: 'see night.stepsMax' },
  'train.minutesMax': { instead: 'see night.minutesMax' },
  ...Object.fromEntries(
    [
      ['train.epochsMax', 8],
      ['train.contextTokensMax', 1_024],
      ['train.replyTokensMax', 128],
      ['night.stepsMax', 260],
    ].map(([key, only]) => [key, { only, instead: 'nights learn in fewer steps now' }]),
  ),
  ...Object.fromEntries(
    [
      ['night.dreamsMax', 320],
      ['dream.rehearsalTalks', 240],
    ].map(([key, only]) => [key, { only, instead: 'fewer, so that a night takes minutes' }]),
  ),
  'train.replaysPerStep': {
    instead: 'it is named train.holdsPerStep',
    becomes: (value) => ({ holdsPerStep: value }),
  },
  'dream.anglesPerFlag': {
    instead: 'use dream.dreamsPerFlag, which counts what is held as well',
    becomes: (value) => (typeof value === 'number' ? { dreamsPerFlag: 2 * value } : {}),
  },
  'dream.retriesPerDream': { instead: 'a line is tried four times' },
  'dream.strength': { instead: 'models of all sizes write in one way' },
  'dream.topP': { instead: 'it is 0.95' },
  'dream.contextTokensMax': { instead: 'see train.contextTokensMax' },
  'dream.chosenTokensMax': { instead: 'see train.replyTokensMax' },
  'dream.marginMin': { instead: 'what is learnt from depends on its teacher, not on a margin' },
  'dream.marginMax': { instead: 'what is learnt from depends on its teacher, not on a margin' },
  'measure.sinkTokens': {
    instead: 'it had no effect; the sink is the first four positions and the control tokens',
  },
  'measure.windowShare': {
    instead: 'it had no effect; attention is read in the first two thirds of the layers',
  },
  'measure.deafArms': {
    instead: 'use measure.hasPlacebo (0 is false, any other number true)',
    becomes: (value) => (typeof value === 'number' ? { hasPlacebo: value > 0 } : {}),
  },
  'measure.everydayTurns': { only: 160, instead: 'fewer turns tell as much' },
  'gate.perplexityRatioParentMax': { only: 1.02, instead: 'the bound is closer now' },
  'measure.scenariosPerKind': { instead: 'see measure.pairs and measure.heldReplies' },
  'measure.scenariosPerUngatedKind': { instead: 'every kind is held; see measure.heldReplies' },
  'measure.repliesPerKind': { instead: 'see measure.heldReplies' },
  'gate.marginGainMin': { instead: 'the gate asks for more pairs with both sides right' },
  'gate.marginPMax': {
    instead: 'it is named gate.pMax',
    becomes: (value) => ({ pMax: value }),
  },
  'gate.guardLowerBoundMin': { instead: 'see gate.worseMax and gate.heldKlMax' },
  'gate.sourcesMin': { instead: 'a night of few flags offers itself for a trial' },
  'gate.falseSwapRate': { instead: 'at most one swap in twenty may be false in the long run' },
  'gate.deafPMax': {
    instead: 'it is named gate.placeboPMax',
    becomes: (value) => ({ placeboPMax: value }),
  },
  'server.limits.openTalksMax': {
    instead: 'it is named server.limits.openConversationsMax',
    becomes: (value) => ({ openConversationsMax: value }),
  },
  'gate.agreementMin': {
    instead: 'it had no effect; the agreement of the checks is published, not configured',
  },
};

/** "train.executor: auto (from FILE) is gone: …" */
function lineOf(key: string, source: string, { only, instead }: GoneKey): string {
  const written = only === undefined ? key : `${key}: ${only}`;
  return `${written} (from ${source}) is gone: ${instead}.`;
}

export interface Upgraded {
  /** Under today's keys of the section; may be empty. */
  readonly values: Readonly<Record<string, unknown>>;
  readonly warning: string;
}

/** What one written value is today, or undefined when its key is not gone. */
export function upgraded(key: string, value: unknown, source: string): Upgraded | undefined {
  const gone = Object.hasOwn(GONE_KEYS, key) ? GONE_KEYS[key] : undefined;
  if (gone === undefined || (gone.only !== undefined && gone.only !== value)) return undefined;
  return { values: gone.becomes?.(value) ?? {}, warning: lineOf(key, source, gone) };
}
