// Data of the training experiment: crossed pairs of SGD, reflex scenes, suites, everyday talk.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createRandom } from '../../src/base/random.ts';
import { printScenarios, readScenarios } from '../../src/scenario/file.ts';
import type { Kind } from '../../src/scenario/kind.ts';
import { parseScenario, type Scenario } from '../../src/scenario/scenario.ts';
import { crossedPairs, isHeldBack, type SgdDialogue, sgdKind } from '../../src/scenario/sgd.ts';
import { readSgdDialogues, readSgdMoments } from '../../src/scenario/sgd-file.ts';
import type { DataSize } from './size.ts';

export const SETS = [
  /** Crossed pairs of held-back train dialogues and generated scenes, for training. */
  'pool',
  /** Such pairs of other dialogues and scenes: they choose the settings. */
  'selection',
  /** Crossed pairs of sgd-dev: the headline. */
  'dev',
  /** Generated suites: crossed listen pairs, push-back, invite, undercurrent, ordinary. */
  'suites',
  /** Test conversations of the kinds that may not get worse, as many as judging a night needs. */
  'guards',
  /** Everyday talk of held-back train dialogues: replayed, and for choosing the settings. */
  'replays',
  'selectionEveryday',
  /** Everyday talk of dev dialogues, for retention. */
  'everyday',
] as const;

export type ExperimentData = Readonly<Record<(typeof SETS)[number], readonly Scenario[]>>;

/** Tokens of a scenario's prompt, and of the longer of its replies. */
export type TokenCount = (scenario: Scenario) => { prompt: number; reply: number };

/**
 * Reads, cuts down and writes the sets to `folder`, one JSONL each.
 * @param shared the data folder; @param scenes JSONL of scenes.py
 */
export async function prepareData(
  paths: { shared: string; scenes: string; folder: string },
  count: TokenCount,
  size: DataSize,
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
    return prompt <= tokensMax && reply <= size.replyTokensMax;
  };
  const [short, medium] = [within(size.trainTokensMax), within(size.readTokensMax)];
  const { replays, selectionEveryday } = size;
  const everyday = firstFitting(
    everydayOf(held.slice(0, 2000), 'replay'),
    selectionEveryday + replays,
    short,
  );
  const isGuard = (s: Scenario): boolean => pairKind(s) === 'guard';
  const chosen = pairs.filter(isSelection);
  const data: ExperimentData = {
    pool: pickPairs(
      pairs.filter((s) => !isSelection(s)),
      size.poolPairs,
      short,
    ),
    selection: [
      ...pickPairs(
        chosen.filter((s) => !isGuard(s)),
        size.selectionPairs,
        short,
      ),
      ...pickPairs(chosen.filter(isGuard), size.selectionGuardPairs, short),
    ],
    dev: pickPairs(crossedPairs(dev.moments, dev.dialogues), size.devPairs, medium),
    suites: await readSuites(SUITE_KINDS, size.suitesPerKind),
    guards: await readSuites(GUARD_KINDS, size.guardsPerKind),
    replays: everyday.slice(selectionEveryday),
    selectionEveryday: everyday.slice(0, selectionEveryday),
    everyday: firstFitting(everydayOf(dev.dialogues, 'everyday'), size.everyday, short),
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

const SUITE_KINDS: readonly Kind[] = ['listen', 'push-back', 'invite', 'undercurrent', 'ordinary'];
const GUARD_KINDS: readonly Kind[] = ['push-back', 'invite', 'ordinary'];

async function readSuites(kinds: readonly Kind[], perKind: number): Promise<Scenario[]> {
  const suites = await Promise.all(
    kinds.map((kind) => readScenarios(join('suites', 'companion', `${kind}.jsonl`))),
  );
  return suites.flatMap((list) => spread(list.filter(isWhole(list)), perKind));
}

/** Of listening scenarios, those of which both sides are there; the others' stand in other files. */
function isWhole(list: readonly Scenario[]): (scenario: Scenario) => boolean {
  const sides = list.map(({ pair }) => `${pair?.id}:${pair?.side}`);
  const known = new Set(sides);
  return ({ kind, pair }) =>
    kind !== 'listen' || (known.has(`${pair?.id}:a`) && known.has(`${pair?.id}:b`));
}

/** SGD's kinds, and `reflex` and `guard` of generated scenes. */
export const pairKind = (s: Scenario): string =>
  s.source.origin === 'sgd' ? sgdKind(s) : (s.id.split(':', 1)[0] as string);

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
