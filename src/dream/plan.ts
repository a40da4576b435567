// What a night would dream: which seeds from which angles, in an order that may stop anywhere.
import { at } from '../base/at.ts';
import type { Random } from '../base/random.ts';
import type { Config } from '../config/schema.ts';
import { extractItems } from '../memory/extract.ts';
import { gistText, valuesOf } from '../memory/gist.ts';
import type { Remembered } from '../memory/memory.ts';
import type { Prompt, PromptFolder } from '../prompt/prompt.ts';
import { KIND, type Kind } from '../scenario/kind.ts';
import { featureText } from '../scenario/span.ts';
import type { Angle, Draft, FlaggedSeed } from './draft.ts';
import { spreadUnits, type Unit } from './quota.ts';
import { type MemorySeed, seedOfGist, suits } from './structured.ts';
import { readWorld } from './world.ts';

export interface PlanOptions {
  readonly settings: Config['dream'];
  readonly prompts: PromptFolder;
  /** Held-back flags and good moments may be among them; they are left out. */
  readonly flagged: readonly FlaggedSeed[];
  readonly gists: readonly Remembered[];
  readonly dreamsMax: number;
  readonly random: Random;
  /** The model writes whole scenes. */
  readonly isWhole: boolean;
}

interface Planned {
  readonly id: string;
  readonly kind: Kind;
  readonly angle: Angle;
  /** Of a pair that is written side by side. */
  readonly pair?: NonNullable<Draft['pair']>;
}

/** One dream to be written. */
export type Plan =
  | (Planned & { readonly way: 'replay'; readonly flag: FlaggedSeed })
  | (Planned & { readonly way: 'structured'; readonly seed: MemorySeed; readonly prompt: Prompt })
  | (Planned & { readonly way: 'whole'; readonly seed: MemorySeed; readonly memory: string });

/** Turns back at which a direction is placed: attention must last. */
const DISTANCES = [0, 0, 1, 1, 4, 8];
const REPLAY_DISTANCES = [1, 4, 8];
const CASUAL_SHARE = 0.25;
/** A flag that is dreamt of is seen from several angles; when there are too many, some are drawn. */
const ANGLES_MIN = 3;
/** Of the listening dreams of flags, one in this many keeps its own words and moves them away. */
const REPLAY_ONE_IN = 2;

function seedOfFlag(flag: FlaggedSeed): MemorySeed {
  const said = flag.context.messages.filter(({ role }) => role === 'user').map((m) => m.content);
  const directions = featureText(flag.context, 'direction');
  const feelings = said
    .flatMap((text) => extractItems({ id: '', role: 'user', text }))
    .filter(({ kind }) => kind === 'feeling');
  return {
    origin: 'flag',
    id: flag.flagId,
    cluster: flag.context.source.cluster,
    values: valuesOf([...directions, ...said]),
    feelings: feelings.map(({ text }) => text),
    hasDirection: true,
    hasRefusal: directions.some((text) => /^(?:no|not|nope|don't)\b/i.test(text)),
  };
}

function memoryOfFlag(flag: FlaggedSeed): string {
  const asked = featureText(flag.context, 'direction').map((words) => `They asked: “${words}”`);
  const missed =
    flag.rejected === undefined ? [] : [`The companion said instead: “${flag.rejected}”`];
  return [...asked, ...missed].join('\n');
}

/** Draws an angle for each dream. */
function createAngles(random: Random, prompts: PromptFolder): () => Angle {
  const tasks = readWorld(prompts).domains.map(({ task }) => task);
  return () => ({
    domain: random.pick(tasks),
    distance: random.pick(DISTANCES),
    tone: random.uniform() < CASUAL_SHARE ? 'casual' : 'plain',
  });
}

interface Start {
  readonly id: string;
  readonly kind: Kind;
  readonly seed: MemorySeed;
  /** The seed in words, for a model that writes whole scenes. */
  readonly memory: string;
}

type PlanFrom = (start: Start) => Plan[];

/** Plans dreams in new scenes; none where no scene fits the seed. */
function scenePlanner({ prompts, isWhole, random }: PlanOptions, angle: () => Angle): PlanFrom {
  const scenes = prompts.names
    .filter((name) => name.startsWith('dream/structured/'))
    .map((name) => prompts.get(name));
  return ({ id, kind, seed, memory }) => {
    if (isWhole) return wholePlans({ id, kind, seed, memory }, angle());
    const fitting = scenes.filter((one) => one.frontMatter.kind === kind && suits(one, seed));
    if (fitting.length === 0) return [];
    return [{ way: 'structured', id, kind, angle: angle(), seed, prompt: random.pick(fitting) }];
  };
}

/** A large model writes the two sides of a pair as two scenes, in one place, from one memory. */
function wholePlans({ id, kind, seed, memory }: Start, angle: Angle): Plan[] {
  const one = { way: 'whole' as const, seed, memory, angle };
  if (!KIND[kind].isPaired) return [{ ...one, id, kind }];
  return [
    { ...one, id, kind, pair: { id, side: 'a' } },
    { ...one, id: `${id}-twin`, kind: 'listen', pair: { id, side: 'b' } },
  ];
}

interface Counted<T> {
  readonly seed: T;
  dreams: number;
  /** A flag without better words has been answered with guidance. */
  isAnswered: boolean;
}

const counted = <T>(seeds: readonly T[]): Counted<T>[] =>
  seeds.map((seed) => ({ seed, dreams: 0, isAnswered: false }));

/** Who has the fewest dreams so far, among those that are preferred if there are any. */
function takeNext<T>(
  all: readonly Counted<T>[],
  { size }: Unit,
  isPreferred: (one: Counted<T>) => boolean,
): Counted<T> {
  const preferred = all.filter(isPreferred);
  const among = preferred.length > 0 ? preferred : all;
  const next = among.reduce((least, one) => (one.dreams < least.dreams ? one : least));
  next.dreams += size;
  return next;
}

interface Dealing {
  /** Listening dreams that were dealt to flags. */
  listens: number;
  readonly random: Random;
  readonly angle: () => Angle;
  readonly planFrom: PlanFrom;
}

/** Own words in another place, a scene like it, or another kind out of the same words. */
function directedPlan(one: Counted<FlaggedSeed>, unit: Unit, id: string, dealing: Dealing): Plan[] {
  const { random, angle, planFrom } = dealing;
  const { seed: flag } = one;
  const isListen = unit.kind === 'listen';
  // Without a distance it is the moment itself, which trains anyway if its reply is known.
  const isItself = isListen && flag.chosen === undefined && !one.isAnswered;
  const isReplay = isItself || (isListen && dealing.listens % REPLAY_ONE_IN === 0);
  if (isListen) dealing.listens += 1;
  if (!isReplay) {
    return planFrom({ id, kind: unit.kind, seed: seedOfFlag(flag), memory: memoryOfFlag(flag) });
  }
  one.isAnswered = true;
  const distance = isItself ? 0 : random.pick(REPLAY_DISTANCES);
  return [{ way: 'replay', id, kind: flag.context.kind, angle: { ...angle(), distance }, flag }];
}

/** Flags to dream of: all, or as many as get several angles each, the strong ones more often. */
function drawFlags(flags: readonly FlaggedSeed[], dreams: number, random: Random): FlaggedSeed[] {
  const count = Math.min(flags.length, Math.max(1, Math.floor(dreams / ANGLES_MIN)));
  const left = [...flags];
  return Array.from({ length: count }, () => {
    const drawn = random.weightedIndex(left.map(({ strength }) => strength));
    return at(left.splice(drawn, 1), 0);
  });
}

/** How many dreams start from flags, how many from memories. */
function shareOut({ settings, gists, dreamsMax }: PlanOptions, flags: number) {
  const share = flags === 0 ? 0 : gists.length === 0 ? 1 : settings.directedShare;
  const directed = Math.min(flags * settings.anglesPerFlag, Math.round(dreamsMax * share));
  return { directed, undirected: gists.length === 0 ? 0 : dreamsMax - directed };
}

/**
 * All that the night would dream, at most `dreamsMax` (the two sides of a pair are two): directed
 * and undirected dreams of every kind, in an order that may stop anywhere.
 */
export function planDreams(all: PlanOptions): Plan[] {
  const options = { ...all, random: all.random.split('plan') };
  const { random } = options;
  const angle = createAngles(random, options.prompts);
  const dealing = { listens: 0, random, angle, planFrom: scenePlanner(options, angle) };
  const missed = options.flagged.filter((flag) => !flag.isHeldBack && flag.kind === 'missed');
  const { directed, undirected } = shareOut(options, missed.length);
  const flags = counted(directed === 0 ? [] : drawFlags(missed, directed, random));
  const gists = counted(options.gists.map(({ gist }) => ({ gist, seed: seedOfGist(gist) })));
  let fromFlags = 0;
  let done = 0;
  return spreadUnits(directed + undirected, random).flatMap((unit, index) => {
    done += unit.size;
    // Dealt out so that the share of directed dreams holds at every point of the order.
    const isDirected = fromFlags < (directed / (directed + undirected)) * done;
    if (isDirected && flags.length > 0) {
      fromFlags += unit.size;
      const isOpen = ({ seed, isAnswered }: Counted<FlaggedSeed>): boolean =>
        unit.kind === 'listen' && seed.chosen === undefined && !isAnswered;
      const flag = takeNext(flags, unit, isOpen);
      return directedPlan(flag, unit, `dream-f-${flag.seed.flagId}-${index}`, dealing);
    }
    const isFelt = unit.kind === 'undercurrent';
    const { seed: memory } = takeNext(gists, unit, (one) =>
      isFelt ? one.seed.seed.feelings.length > 0 : false,
    );
    return dealing.planFrom({
      id: `dream-m-${memory.gist.id}-${index}`,
      kind: unit.kind,
      seed: memory.seed,
      memory: gistText(memory.gist),
    });
  });
}
