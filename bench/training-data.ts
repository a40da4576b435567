// Data of the training experiments: crossed pairs of SGD, reflex scenes, suites, everyday talk.
import { join } from 'node:path';
import { createRandom } from '../src/base/random.ts';
import { readScenarios } from '../src/scenario/file.ts';
import type { Kind } from '../src/scenario/kind.ts';
import { parseScenario, type Scenario } from '../src/scenario/scenario.ts';
import { crossedPairs, isHeldBack, type SgdDialogue, sgdKind } from '../src/scenario/sgd.ts';
import { readSgdDialogues, readSgdMoments } from '../src/scenario/sgd-file.ts';

export interface ExperimentData {
  /** Crossed pairs of held-back train dialogues and reflex scenes, for training. */
  readonly pool: readonly Scenario[];
  /** Pairs of train dialogues that choose the defaults; disjoint from the pool. */
  readonly selection: readonly Scenario[];
  /** Crossed pairs of sgd-dev, stratified by kind. */
  readonly dev: readonly Scenario[];
  /** Generated suites, stratified by kind. */
  readonly suites: readonly Scenario[];
  /** Everyday talk of held-back train dialogues, replayed. */
  readonly replays: readonly Scenario[];
  /** Everyday talk of dev dialogues, for retention. */
  readonly everyday: readonly Scenario[];
}

export interface ExperimentSizes {
  readonly devPairsPerKind: number;
  readonly suitesPerKind: number;
  readonly everyday: number;
}

/** @param shared the data folder; @param scenes JSONL of bench/peers/reflex_scenes.py */
export async function readExperimentData(
  shared: string,
  scenes: string,
  sizes: ExperimentSizes,
): Promise<ExperimentData> {
  const read = async (split: 'train' | 'dev') => ({
    dialogues: await readSgdDialogues(join(shared, `pretrain/sgd/${split}.jsonl.gz`)),
    moments: await readSgdMoments(join(shared, `directions/sgd-${split}.jsonl.gz`)),
  });
  const [train, dev] = [await read('train'), await read('dev')];
  const held = train.dialogues.filter(({ id }) => isHeldBack(id));
  const pairs = crossedPairs(train.moments, held);
  const isSelection = (s: Scenario): boolean => createRandom(s.source.cluster).int(8) === 0;
  const kinds: Kind[] = ['listen', 'push-back', 'invite', 'undercurrent', 'ordinary'];
  const suites = await Promise.all(
    kinds.map((kind) => readScenarios(join('suites', 'companion', `${kind}.jsonl`))),
  );
  return {
    pool: [...pairs.filter((s) => !isSelection(s)), ...(await readScenarios(scenes))],
    selection: pickPairs(pairs.filter(isSelection), 20),
    dev: pickPairs(crossedPairs(dev.moments, dev.dialogues), sizes.devPairsPerKind),
    suites: suites.flatMap((list) => spread(list, sizes.suitesPerKind)),
    replays: everydayOf(held.slice(0, 400), 'replay'),
    everyday: everydayOf(dev.dialogues.slice(0, sizes.everyday), 'everyday'),
  };
}

const pairKind = (s: Scenario): string => (s.source.origin === 'sgd' ? sgdKind(s) : 'reflex');

/** `count` whole pairs of each kind, by hash. */
export function pickPairs(scenarios: readonly Scenario[], count: number): Scenario[] {
  const byKind = new Map<string, Set<string>>();
  for (const s of scenarios) {
    const ids = byKind.get(pairKind(s)) ?? new Set();
    byKind.set(pairKind(s), ids.add(s.pair?.id ?? s.id));
  }
  const chosen = new Set(
    [...byKind.values()].flatMap((ids) =>
      createRandom('pairs')
        .shuffle([...ids])
        .slice(0, count),
    ),
  );
  return scenarios.filter((s) => chosen.has(s.pair?.id ?? s.id));
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
