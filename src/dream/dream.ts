// A night's dreaming: which seeds, which scenes, how many; every loop in here is capped.
import type { Clock } from '../base/clock.ts';
import { AttuneError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import type { Config } from '../config/schema.ts';
import type { Engine } from '../engine/engine.ts';
import { extractItems } from '../memory/extract.ts';
import { gistText, valuesOf } from '../memory/gist.ts';
import type { Remembered } from '../memory/memory.ts';
import type { Prompt, PromptFolder } from '../prompt/prompt.ts';
import { KINDS, type Kind } from '../scenario/kind.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Angle, Draft, FlaggedSeed } from './draft.ts';
import { replayFlag } from './replay-flag.ts';
import { SceneFailed } from './stage.ts';
import { dreamStructured, type MemorySeed, seedOfGist, suits } from './structured.ts';
import { dreamWhole } from './whole.ts';
import { readWorld, type World } from './world.ts';
import { createWriter, DreamsEnded, type Writer } from './writer.ts';

export interface DreamOptions {
  readonly engine: Engine;
  readonly tokenizer: Tokenizer;
  readonly prompts: PromptFolder;
  readonly settings: Config['dream'];
  /** Held-back flags may be among them; they are left out here. */
  readonly flagged: readonly FlaggedSeed[];
  /** Drawn for this night, e.g. by `memory.draw`. */
  readonly gists: readonly Remembered[];
  readonly budget: {
    readonly dreamsMax: number;
    readonly tokensMax: number;
    readonly minutesMax: number;
  };
  readonly clock: Clock;
  readonly random: Random;
  readonly signal?: AbortSignal;
  /** Awaited before each piece that the model writes, so that a chat can go first. */
  readonly turn?: () => Promise<void>;
  readonly onProgress?: (written: number, planned: number) => void;
}

export interface Dreamt {
  readonly drafts: readonly Draft[];
  /** Dreams that could not be written, by reason. */
  readonly failed: readonly { readonly id: string; readonly kind: Kind; readonly reason: string }[];
  /** Tokens that were generated. */
  readonly tokens: number;
  readonly stop: 'done' | DreamsEnded['why'];
}

/** Turns back at which a direction is placed: attention must last. */
const DISTANCES = [0, 0, 1, 1, 4, 8];
const REPLAY_DISTANCES = [1, 4, 8];
/** A model of this size writes whole scenes. */
const WHOLE_PARAMETERS_MIN = 1_000_000_000;
const SCENE_TOKENS_MAX = 600;
/** Kinds of undirected dreams; listen and push-back come in pairs anyway. */
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

/** One dream to be written. */
type Plan =
  | {
      readonly way: 'replay';
      readonly id: string;
      readonly kind: Kind;
      readonly angle: Angle;
      readonly flag: FlaggedSeed;
    }
  | {
      readonly way: 'structured';
      readonly id: string;
      readonly kind: Kind;
      readonly angle: Angle;
      readonly seed: MemorySeed;
      readonly prompt: Prompt;
    }
  | {
      readonly way: 'whole';
      readonly id: string;
      readonly kind: Kind;
      readonly angle: Angle;
      readonly seed: MemorySeed;
      readonly memory: string;
    };

function seedOfFlag(flag: FlaggedSeed): MemorySeed {
  const said = flag.context.messages.filter(({ role }) => role === 'user').map((m) => m.content);
  const directions = flag.context.spans
    .filter(({ feature }) => feature === 'direction')
    .map((s) => flag.context.messages[s.message]?.content.slice(s.start, s.end) ?? '');
  const feelings = said
    .flatMap((text) => extractItems({ id: '', role: 'user', text }))
    .filter(({ kind }) => kind === 'feeling')
    .map(({ text }) => text);
  return {
    origin: 'flag',
    id: flag.flagId,
    cluster: flag.context.source.cluster,
    values: valuesOf([...directions, ...said]),
    feelings,
    hasDirection: true,
    hasRefusal: directions.some((text) => /^(?:no|not|nope|don't)\b/i.test(text)),
  };
}

function memoryOfFlag(flag: FlaggedSeed): string {
  const directions = flag.context.spans.filter(({ feature }) => feature === 'direction');
  const asked = directions.map((span) => {
    const content = flag.context.messages[span.message]?.content ?? '';
    return `They asked: “${content.slice(span.start, span.end)}”`;
  });
  const missed =
    flag.rejected === undefined ? [] : [`The companion said instead: “${flag.rejected}”`];
  return [...asked, ...missed].join('\n');
}

/** All that the night would dream, in an order in which stopping anywhere leaves a fair mixture. */
export function planDreams(
  options: Pick<DreamOptions, 'settings' | 'flagged' | 'gists' | 'budget' | 'random' | 'prompts'>,
  isWhole: boolean,
): Plan[] {
  const { settings, gists, budget, prompts } = options;
  const random = options.random.split('plan');
  const world = readWorld(prompts);
  const scenes = prompts.names
    .filter((name) => name.startsWith('dream/structured/'))
    .map((name) => prompts.get(name));
  const flags = options.flagged.filter((flag) => !flag.isHeldBack && flag.kind === 'missed');
  const share = flags.length === 0 ? 0 : gists.length === 0 ? 1 : settings.directedShare;
  const directedMax = Math.min(
    flags.length * settings.anglesPerFlag,
    Math.round(budget.dreamsMax * share),
  );
  const undirectedMax = gists.length === 0 ? 0 : budget.dreamsMax - directedMax;

  const angle = (): Angle => ({
    domain: random.pick(world.domains).task,
    distance: random.pick(DISTANCES),
    tone: random.uniform() < 0.25 ? 'casual' : 'plain',
  });
  const sceneFor = (seed: MemorySeed, kind: Kind): Prompt | undefined => {
    const fitting = scenes.filter((one) => one.frontMatter.kind === kind && suits(one, seed));
    return fitting.length === 0 ? undefined : random.pick(fitting);
  };
  const unfold = (seed: MemorySeed, kind: Kind, memory: string, id: string): Plan[] => {
    if (isWhole) return [{ way: 'whole', id, kind, angle: angle(), seed, memory }];
    const prompt = sceneFor(seed, kind);
    return prompt === undefined
      ? []
      : [{ way: 'structured', id, kind, angle: angle(), seed, prompt }];
  };

  const directed = Array.from({ length: directedMax }, (_, index): Plan[] => {
    const flag = flags[index % flags.length] as FlaggedSeed;
    const turn = Math.floor(index / flags.length);
    const id = `dream-f-${flag.flagId}-${turn}`;
    // In turns: the moment's own words in another place, a scene like it, its pair.
    if (turn % 3 === 0) {
      // Without a distance it is the moment itself, which trains anyway if its reply is known.
      const isItself = flag.chosen === undefined && turn === 0;
      const distance = isItself ? 0 : random.pick(REPLAY_DISTANCES);
      return [
        { way: 'replay', id, kind: flag.context.kind, angle: { ...angle(), distance }, flag },
      ];
    }
    return unfold(
      seedOfFlag(flag),
      turn % 3 === 1 ? 'listen' : 'push-back',
      memoryOfFlag(flag),
      id,
    );
  }).flat();
  const weights = KINDS.map((kind) => KIND_WEIGHTS[kind]);
  const undirected = Array.from({ length: undirectedMax }, (_, index): Plan[] => {
    const { gist } = gists[index % gists.length] as Remembered;
    const seed = seedOfGist(gist);
    const kind =
      seed.feelings.length > 0 && random.uniform() < 0.5
        ? 'undercurrent'
        : (KINDS[random.weightedIndex(weights)] ?? 'listen');
    return unfold(seed, kind, gistText(gist), `dream-m-${gist.id}-${index}`);
  }).flat();
  return random.shuffle([...directed, ...undirected]).slice(0, budget.dreamsMax);
}

interface Room {
  readonly options: DreamOptions;
  readonly writer: Writer;
  readonly world: World;
}

async function write(plan: Plan, { options, writer, world }: Room): Promise<Draft[]> {
  const { settings, prompts } = options;
  const shared = {
    writer,
    random: options.random.split(plan.id),
    angle: plan.angle,
    id: plan.id,
    prompts,
    retries: settings.retriesPerDream,
    tokensMax: settings.chosenTokensMax,
  };
  if (plan.way === 'structured')
    return dreamStructured(plan.prompt, plan.seed, { ...shared, world });
  if (plan.way === 'whole') {
    const { origin, id, cluster } = plan.seed;
    const seed = { origin, id, cluster };
    const sceneTokensMax = Math.min(SCENE_TOKENS_MAX, settings.contextTokensMax);
    return [await dreamWhole(plan.kind, { ...shared, seed, memory: plan.memory, sceneTokensMax })];
  }
  const guide = prompts.get(`dream/guidance/${plan.kind}`);
  const candidate = { ...shared, guidance: guide.fill({}) };
  const prompt = { name: guide.name, hash: guide.hash };
  return [await replayFlag(plan.flag, { ...shared, spare: world.exchanges, candidate, prompt })];
}

/** A scene that the model or the window could not carry is counted, everything else goes up. */
function reasonOf(error: unknown): string {
  if (error instanceof SceneFailed) return error.message;
  const code = error instanceof AttuneError ? error.code : undefined;
  if (code === 'window-overflow') return 'it grew too long';
  if (code === 'span-unaligned' || code === 'template-failed')
    return 'its turns do not fit the chat format';
  throw error;
}

/**
 * Writes dreams until the plan is done or a budget is used up. The same seeds, weights and random
 * stream give the same dreams.
 * @throws AttuneError engine-failed and the like; what was written by then is lost with it
 */
export async function dream(options: DreamOptions): Promise<Dreamt> {
  const { settings, engine, budget } = options;
  const { parameters } = await engine.describe();
  const isWhole =
    settings.strength === 'whole' ||
    (settings.strength === 'auto' && parameters >= WHOLE_PARAMETERS_MIN);
  const plans = planDreams(options, isWhole);
  const writer = createWriter({
    engine,
    tokenizer: options.tokenizer,
    clock: options.clock,
    budget,
    temperature: settings.temperature,
    topP: settings.topP,
    contextTokensMax: settings.contextTokensMax,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.turn === undefined ? {} : { turn: options.turn }),
  });
  const room: Room = { options, writer, world: readWorld(options.prompts) };
  const drafts: Draft[] = [];
  const failed: { id: string; kind: Kind; reason: string }[] = [];
  let stop: Dreamt['stop'] = 'done';

  async function one(plan: Plan): Promise<void> {
    try {
      drafts.push(...(await write(plan, room)));
    } catch (error) {
      if (error instanceof DreamsEnded) stop = error.why;
      else failed.push({ id: plan.id, kind: plan.kind, reason: reasonOf(error) });
    }
  }

  for (let at = 0; at < plans.length && stop === 'done'; at += settings.batchSize) {
    await Promise.all(plans.slice(at, at + settings.batchSize).map(one));
    options.onProgress?.(Math.min(at + settings.batchSize, plans.length), plans.length);
  }
  // Those of a batch end in any order; their place is that of the plan.
  const order = new Map(plans.map(({ id }, index) => [id, index]));
  drafts.sort((a, b) => placeOf(order, a.id) - placeOf(order, b.id));
  return { drafts, failed, tokens: writer.tokens, stop };
}

function placeOf(order: ReadonlyMap<string, number>, id: string): number {
  const own = order.get(id);
  return own ?? (order.get(id.replace(/-twin$/, '')) ?? 0) + 0.5;
}
