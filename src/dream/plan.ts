// What a night would dream: which seeds from which angles, in an order that may stop anywhere.
import type { Random } from '../base/random.ts';
import type { Config } from '../config/schema.ts';
import { extractItems } from '../memory/extract.ts';
import { gistText, valuesOf } from '../memory/gist.ts';
import type { Remembered } from '../memory/memory.ts';
import type { Prompt, PromptFolder } from '../prompt/prompt.ts';
import { KINDS, type Kind } from '../scenario/kind.ts';
import type { Angle, FlaggedSeed } from './draft.ts';
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
/** Kinds of undirected dreams; of a push-back the other side is a listen. */
const KIND_WEIGHTS: Readonly<Record<Kind, number>> = {
  listen: 3,
  'push-back': 2,
  invite: 1,
  undercurrent: 1,
  compressed: 1,
  longing: 1,
  hostile: 0.5,
  ordinary: 1,
};

function directionsOf({ context }: FlaggedSeed): string[] {
  return context.spans
    .filter(({ feature }) => feature === 'direction')
    .map((span) => context.messages[span.message]?.content.slice(span.start, span.end) ?? '');
}

function seedOfFlag(flag: FlaggedSeed): MemorySeed {
  const said = flag.context.messages.filter(({ role }) => role === 'user').map((m) => m.content);
  const directions = directionsOf(flag);
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
  const asked = directionsOf(flag).map((words) => `They asked: “${words}”`);
  const missed =
    flag.rejected === undefined ? [] : [`The companion said instead: “${flag.rejected}”`];
  return [...asked, ...missed].join('\n');
}

/** x, drawn afresh for each dream. */
function createAngles(random: Random, prompts: PromptFolder): () => Angle {
  const tasks = readWorld(prompts).domains.map(({ task }) => task);
  return () => ({
    domain: random.pick(tasks),
    distance: random.pick(DISTANCES),
    tone: random.uniform() < CASUAL_SHARE ? 'casual' : 'plain',
  });
}

interface Unfolding {
  readonly id: string;
  readonly kind: Kind;
  readonly seed: MemorySeed;
  readonly memory: string;
}

type Unfold = (unfolding: Unfolding) => Plan[];

function createUnfold({ prompts, isWhole, random }: PlanOptions, angle: () => Angle): Unfold {
  const scenes = prompts.names
    .filter((name) => name.startsWith('dream/structured/'))
    .map((name) => prompts.get(name));
  return ({ id, kind, seed, memory }) => {
    if (isWhole) return [{ way: 'whole', id, kind, angle: angle(), seed, memory }];
    const fitting = scenes.filter((one) => one.frontMatter.kind === kind && suits(one, seed));
    if (fitting.length === 0) return [];
    return [{ way: 'structured', id, kind, angle: angle(), seed, prompt: random.pick(fitting) }];
  };
}

/** From one flag in turns: its own words in another place, a scene like it, and a pair. */
function directedPlan(
  flag: FlaggedSeed,
  turn: number,
  { random, angle, unfold }: { random: Random; angle: () => Angle; unfold: Unfold },
): Plan[] {
  const id = `dream-f-${flag.flagId}-${turn}`;
  if (turn % 3 !== 0) {
    const kind = turn % 3 === 1 ? 'listen' : 'push-back';
    return unfold({ id, kind, seed: seedOfFlag(flag), memory: memoryOfFlag(flag) });
  }
  // Without a distance it is the moment itself, which trains anyway if its reply is known.
  const isItself = flag.chosen === undefined && turn === 0;
  const distance = isItself ? 0 : random.pick(REPLAY_DISTANCES);
  return [{ way: 'replay', id, kind: flag.context.kind, angle: { ...angle(), distance }, flag }];
}

/** All that the night would dream, at most `dreamsMax`. */
export function planDreams(all: PlanOptions): Plan[] {
  const options = { ...all, random: all.random.split('plan') };
  const { settings, gists, dreamsMax, random } = options;
  const angle = createAngles(random, options.prompts);
  const unfold = createUnfold(options, angle);
  const flags = options.flagged.filter((flag) => !flag.isHeldBack && flag.kind === 'missed');
  const share = flags.length === 0 ? 0 : gists.length === 0 ? 1 : settings.directedShare;
  const directedMax = Math.min(
    flags.length * settings.anglesPerFlag,
    Math.round(dreamsMax * share),
  );
  const undirectedMax = gists.length === 0 ? 0 : dreamsMax - directedMax;

  const directed = Array.from({ length: directedMax }, (_, index): Plan[] => {
    const flag = flags[index % flags.length] as FlaggedSeed;
    return directedPlan(flag, Math.floor(index / flags.length), { random, angle, unfold });
  });
  const weights = KINDS.map((kind) => KIND_WEIGHTS[kind]);
  const undirected = Array.from({ length: undirectedMax }, (_, index): Plan[] => {
    const { gist } = gists[index % gists.length] as Remembered;
    const seed = seedOfGist(gist);
    const isFelt = seed.feelings.length > 0 && random.uniform() < 0.5;
    const kind = isFelt ? 'undercurrent' : (KINDS[random.weightedIndex(weights)] ?? 'listen');
    return unfold({ id: `dream-m-${gist.id}-${index}`, kind, seed, memory: gistText(gist) });
  });
  return random.shuffle([...directed, ...undirected].flat()).slice(0, dreamsMax);
}
