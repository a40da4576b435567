// A night's dreaming: which seeds, which scenes, how many; every loop in here is capped.

/*
 * The words of this folder:
 *
 * seed       what a dream starts from: a flagged moment, or the gist of a conversation (`memory`)
 * plan       one dream to be written: its kind, its seed and its angle
 * angle      the new context that the seed is put into: domain, distance and tone
 * distance   exchanges about other things (distractors) between the direction and the reply
 * scene      a prompt of `prompts/dream/structured`: turns with named slots
 * slot       a gap `[[name]]` in a scene that the model fills with a few words
 * side       a crossed scene has two, in which the same two replies are right and wrong the other
 *            way round; the second one is `twin` in prompts and ids
 * draft      what was written, before `admit` says whether it may train
 * whole      a scene that a large model writes in one piece
 * longing    the kind in which something is missing and should be asked for (`absence`)
 */
import type { Clock } from '../base/clock.ts';
import { AttuneError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import type { Config } from '../config/schema.ts';
import type { Engine } from '../engine/engine.ts';
import type { Remembered } from '../memory/memory.ts';
import type { PromptFolder } from '../prompt/prompt.ts';
import type { Kind } from '../scenario/kind.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Draft, FlaggedSeed } from './draft.ts';
import { type Plan, planDreams } from './plan.ts';
import { replayFlag } from './replay-flag.ts';
import { dreamStructured } from './structured.ts';
import { dreamWhole } from './whole.ts';
import { readWorld, type World } from './world.ts';
import { createWriter, type TurnWriter, type WritingEnd } from './writer.ts';

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
  readonly stop: 'done' | WritingEnd;
}

/** A model of this size writes whole scenes. */
const WHOLE_PARAMETERS_MIN = 1_000_000_000;
const SCENE_TOKENS_MAX = 600;

interface Setting {
  readonly options: DreamOptions;
  readonly world: World;
}

/** @returns the drafts of one plan, or why there are none */
async function write(
  plan: Plan,
  writer: TurnWriter,
  { options, world }: Setting,
): Promise<Draft[] | string> {
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
    const { memory, pair } = plan;
    const scene = { ...shared, seed, memory, sceneTokensMax };
    const one = await dreamWhole(plan.kind, { ...scene, ...(pair === undefined ? {} : { pair }) });
    return typeof one === 'string' ? one : [one];
  }
  const guide = prompts.get(`dream/guidance/${plan.kind}`);
  const candidate = { ...shared, guidance: guide.fill({}) };
  const prompt = { name: guide.name, hash: guide.hash };
  return replayFlag(plan.flag, { ...shared, spare: world.exchanges, candidate, prompt });
}

/** A scene that does not fit window or template is counted, everything else goes up. */
function reasonOf(error: unknown): string {
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
  const { flagged, gists, prompts, random } = options;
  const plans = planDreams({
    settings,
    prompts,
    flagged,
    gists,
    dreamsMax: budget.dreamsMax,
    random,
    isWhole,
  });
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
  const setting: Setting = { options, world: readWorld(options.prompts) };
  const drafts: Draft[] = [];
  const failed: { id: string; kind: Kind; reason: string }[] = [];
  let stop: Dreamt['stop'] = 'done';

  async function one(plan: Plan): Promise<void> {
    const own = writer.forDream(plan.id);
    const result = await write(plan, own, setting)
      .catch(reasonOf)
      .finally(() => own.close());
    if (own.end !== undefined) stop = own.end;
    else if (typeof result !== 'string') drafts.push(...result);
    else failed.push({ id: plan.id, kind: plan.kind, reason: result });
  }

  // As many at once as configured: where one ends, the next begins.
  const waiting = plans.values();
  let written = 0;
  async function work(): Promise<void> {
    for (const plan of waiting) {
      if (stop !== 'done') return;
      await one(plan);
      written += 1;
      options.onProgress?.(written, plans.length);
    }
  }
  await Promise.all(Array.from({ length: settings.batchSize }, work));
  // Those of a batch end in any order; their place is that of the plan.
  const order = new Map(plans.map(({ id }, index) => [id, index]));
  drafts.sort((a, b) => placeOf(order, a.id) - placeOf(order, b.id));
  return { drafts, failed, tokens: writer.tokens, stop };
}

function placeOf(order: ReadonlyMap<string, number>, id: string): number {
  const own = order.get(id);
  return own ?? (order.get(id.replace(/-twin$/, '')) ?? 0) + 0.5;
}
