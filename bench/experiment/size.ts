// How large the training experiment is: as registered, or tiny, to see that every stage runs.

/** Pairs, scenarios and turns that are kept, and how long they may be. */
export interface DataSize {
  /** Generated pairs of reflex scenes, and of guard scenes. */
  readonly reflexPairs: number;
  readonly guardPairs: number;
  /** Pairs of each kind in the pool, the selection split and the dev set. */
  readonly poolPairs: number;
  readonly selectionPairs: number;
  readonly selectionGuardPairs: number;
  readonly devPairs: number;
  readonly suitesPerKind: number;
  /** The same of the kinds that may not get worse; nights are judged on them. */
  readonly guardsPerKind: number;
  readonly replays: number;
  readonly selectionEveryday: number;
  readonly everyday: number;
  /** Prompt tokens of a training example; longer pairs are left out whole. */
  readonly trainTokensMax: number;
  /** The same of pairs that measure. */
  readonly readTokensMax: number;
  readonly replyTokensMax: number;
}

export interface ExperimentSize {
  readonly data: DataSize;
  /** Scenarios of a run: the smallest first, the last is the headline's. */
  readonly doses: readonly [number, number, number, number];
  readonly sweepDose: number;
  readonly nightDose: number;
  /** Training seeds of the headline. */
  readonly seeds: number;
  /** Everyday turns that a cell reads; nights read all. */
  readonly everydayRead: number;
  /** Dev pairs of each kind and suite scenes whose attention is read. */
  readonly attentionPairs: number;
  readonly attentionSuites: number;
  readonly flatness: { readonly examples: number; readonly directions: number };
  readonly repliesPerKind: number;
}

const LENGTHS = { trainTokensMax: 192, readTokensMax: 256, replyTokensMax: 48 };

export const REGISTERED: ExperimentSize = {
  data: {
    ...LENGTHS,
    reflexPairs: 400,
    guardPairs: 640,
    poolPairs: 160,
    selectionPairs: 20,
    selectionGuardPairs: 60,
    devPairs: 40,
    suitesPerKind: 40,
    guardsPerKind: 120,
    replays: 400,
    selectionEveryday: 40,
    everyday: 120,
  },
  doses: [5, 20, 100, 500],
  sweepDose: 300,
  nightDose: 200,
  seeds: 5,
  everydayRead: 40,
  attentionPairs: 6,
  attentionSuites: 16,
  flatness: { examples: 20, directions: 10 },
  repliesPerKind: 20,
};

/** Its numbers mean nothing. */
export const TINY: ExperimentSize = {
  data: {
    ...LENGTHS,
    reflexPairs: 40,
    guardPairs: 40,
    poolPairs: 5,
    selectionPairs: 1,
    selectionGuardPairs: 2,
    devPairs: 2,
    suitesPerKind: 2,
    guardsPerKind: 3,
    replays: 6,
    selectionEveryday: 2,
    everyday: 4,
  },
  doses: [2, 4, 8, 12],
  sweepDose: 8,
  nightDose: 8,
  seeds: 2,
  everydayRead: 2,
  attentionPairs: 1,
  attentionSuites: 2,
  flatness: { examples: 2, directions: 2 },
  repliesPerKind: 1,
};
