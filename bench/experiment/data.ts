// Data of the training experiment: crossed pairs of SGD, reflex scenes, suites, everyday talk.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createRandom } from '../../src/base/random.ts';
import { printScenarios, readScenarios } from '../../src/scenario/file.ts';
import type { Kind } from '../../src/scenario/kind.ts';
import { parseScenario, type Scenario } from '../../src/scenario/scenario.ts';
import { crossedPairs, isHeldBack, type SgdDialogue, sgdKind } from '../../src/scenario/sgd.ts';
import { readSgdDialogues, readSgdMoments } from '../../src/scenario/sgd-file.ts';

export const SETS = [
  /** Crossed pairs of held-back train dialogues and reflex scenes, for training. */
  'pool',
  /** Such pairs of other dialogues and scenes: they choose the settings. */
  'selection',
  /** Crossed pairs of sgd-dev: the headline. */
  'dev',
  /** Generated suites: crossed listen pairs, push-back, invite, undercurrent, ordinary. */
  'suites',
  /** Everyday talk of held-back train dialogues: replayed, and for choosing the settings. */
  'replays',
  'selectionEveryday',
  /** Everyday talk of dev dialogues, for retention. */
  'everyday',
] as const;

export type ExperimentData = Readonly<Record<(typeof SETS)[number], readonly Scenario[]>>;

/** Pairs and scenarios of each kind that are kept, and how long a prompt may be. */
export interface DataLimits {
  readonly poolPairs: number;
  readonly devPairs: number;
  readonly suitesPerKind: number;
  readonly everyday: number;
  /** Prompt and reply tokens of a training example; longer pairs are left out whole. */
  readonly trainTokensMax: number;
  /** The same of pairs that measure. */
  readonly readTokensMax: number;
  readonly replyTokensMax: number;
}

export const DATA_LIMITS: DataLimits = {
  poolPairs: 160,
  devPairs: 40,
  suitesPerKind: 40,
  everyday: 40,
  trainTokensMax: 192,
  readTokensMax: 256,
  replyTokensMax: 48,
};

/** Tokens of a scenario's prompt, and of the longer of its replies. */
export type TokenCount = (scenario: Scenario) => { prompt: number; reply: number };

/**
 * Reads, cuts down and writes the sets to `folder`, one JSONL each.
 * @param shared the data folder; @param scenes JSONL of bench/peers/reflex_scenes.py
 */
export async function prepareData(
  paths: { shared: string; scenes: string; folder: string },
  count: TokenCount,
  limits: DataLimits = DATA_LIMITS,
): Promise<ExperimentData> {
  const read = async (split: 'train' | 'dev') => ({
    dialogues: await readSgdDialogues(join(paths.shared, `pretrain/sgd/${split}.jsonl.gz`)),
    moments: await readSgdMoments(join(paths.shared, `directions/sgd-${split}.jsonl.gz`)),
  });
  const [train, dev] = [await read('train'), await read('dev')];
  const held = train.dialogues.filter(({ id }) => isHeldBack(id));
  const pairs = [...crossedPairs(train.moments, held), ...(await readScenarios(paths.scenes))];
  const isSelection = (s: Scenario): boolean => createRandom(s.source.cluster).int(8) === 0;
  const within = (tokensMax: number) => (s: Scenario) => {
    const { prompt, reply } = count(s);
    return prompt <= tokensMax && reply <= limits.replyTokensMax;
  };
  const [short, medium] = [within(limits.trainTokensMax), within(limits.readTokensMax)];
  const everyday = firstFitting(everydayOf(held.slice(0, 2000), 'replay'), 440, short);
  const data: ExperimentData = {
    pool: pickPairs(
      pairs.filter((s) => !isSelection(s)),
      limits.poolPairs,
      short,
    ),
    selection: pickPairs(pairs.filter(isSelection), 20, short),
    dev: pickPairs(crossedPairs(dev.moments, dev.dialogues), limits.devPairs, medium),
    suites: await readSuites(limits.suitesPerKind),
    replays: everyday.slice(40),
    selectionEveryday: everyday.slice(0, 40),
    everyday: firstFitting(everydayOf(dev.dialogues, 'everyday'), limits.everyday, short),
  };
  await mkdir(paths.folder, { recursive: true });
  for (const name of SETS) {
    await writeFile(join(paths.folder, `${name}.jsonl`), printScenarios(data[name]));
  }
  return data;
}

export async function readData(folder: string): Promise<ExperimentData> {
  const sets = {} as Record<(typeof SETS)[number], Scenario[]>;
  for (const name of SETS) sets[name] = await readScenarios(join(folder, `${name}.jsonl`));
  return sets;
}

async function readSuites(perKind: number): Promise<Scenario[]> {
  const kinds: Kind[] = ['listen', 'push-back', 'invite', 'undercurrent', 'ordinary'];
  const suites = await Promise.all(
    kinds.map((kind) => readScenarios(join('suites', 'companion', `${kind}.jsonl`))),
  );
  return suites.flatMap((list) => spread(list, perKind));
}

export const pairKind = (s: Scenario): string =>
  s.source.origin === 'sgd' ? sgdKind(s) : 'reflex';

/** Pair ids by kind, in an order drawn by `seed`. */
export function shuffledPairs(
  scenarios: readonly Scenario[],
  seed: number | string,
): Map<string, string[]> {
  const byKind = new Map<string, Set<string>>();
  for (const s of scenarios) {
    const ids = byKind.get(pairKind(s)) ?? new Set();
    byKind.set(pairKind(s), ids.add(s.pair?.id ?? s.id));
  }
  return new Map(
    [...byKind].map(([kind, ids]) => [kind, createRandom(`pairs:${seed}`).shuffle([...ids])]),
  );
}

/** `count` whole pairs of each kind, of which both sides fit. */
export function pickPairs(
  scenarios: readonly Scenario[],
  count: number,
  fits: (scenario: Scenario) => boolean = () => true,
): Scenario[] {
  const byPair = new Map<string, Scenario[]>();
  for (const s of scenarios) {
    const id = s.pair?.id ?? s.id;
    byPair.set(id, [...(byPair.get(id) ?? []), s]);
  }
  const sidesOf = (id: string): Scenario[] => byPair.get(id) ?? [];
  const ids = [...shuffledPairs(scenarios, 'pick').values()].flatMap((all) =>
    firstFitting(all, count, (id) => sidesOf(id).every(fits)),
  );
  return ids.flatMap(sidesOf);
}

/** The first `count` that fit; nothing after them is looked at. */
function firstFitting<T>(all: readonly T[], count: number, fits: (one: T) => boolean): T[] {
  const found: T[] = [];
  for (const one of all) {
    if (found.length === count) break;
    if (fits(one)) found.push(one);
  }
  return found;
}

/** `count` scenarios, whole groups, spread over the file. */
function spread(list: readonly Scenario[], count: number): Scenario[] {
  const groups = [...new Set(list.map((s) => s.source.cluster))];
  const perGroup = list.length / groups.length;
  const step = Math.max(1, Math.floor(groups.length / Math.ceil(count / perGroup)));
  const chosen = new Set(groups.filter((_, i) => i % step === 0));
  return list.filter((s) => chosen.has(s.source.cluster)).slice(0, count);
}

/** One assistant turn in the middle of each dialogue, as ordinary talk. */
export function everydayOf(dialogues: readonly SgdDialogue[], name: string): Scenario[] {
  return dialogues.flatMap(({ id, turns }) => {
    const middle = Math.floor(turns.length / 2);
    const at = turns.findIndex((turn, i) => i >= middle && turn.role === 'assistant');
    if (at < 1) return [];
    return [
      parseScenario({
        id: `${name}:${id}`,
        kind: 'ordinary',
        messages: turns.slice(0, at).map(({ role, text }) => ({ role, content: text })),
        chosen: turns[at]?.text,
        source: { origin: 'sgd', cluster: id, domain: 'everyday' },
      }),
    ];
  });
}
