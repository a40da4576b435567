// Dreams in structured scenes: a memory unfolded in a fresh context, slot by slot, pairs together.
import type { Random } from '../base/random.ts';
import type { Gist } from '../memory/gist.ts';
import type { Prompt, PromptFolder } from '../prompt/prompt.ts';
import { type CandidateOptions, findChosen, findRejected, passes } from './candidate.ts';
import { crossedPair } from './crossed.ts';
import type { Angle, Draft } from './draft.ts';
import { shareOf } from './replay-flag.ts';
import { asValue, factsOf, readScene, type Scene, type Side } from './scene.ts';
import {
  type Exchange,
  type Played,
  playCandidate,
  playScene,
  type StageOptions,
} from './stage.ts';
import type { World } from './world.ts';
import type { Writer } from './writer.ts';

/** What a dream unfolds: a gist, or the words of a flag. */
export interface MemorySeed {
  readonly origin: 'flag' | 'memory';
  readonly id: string;
  readonly cluster: string;
  readonly values: readonly string[];
  readonly feelings: readonly string[];
  readonly hasDirection: boolean;
  readonly hasRefusal: boolean;
}

export interface StructuredOptions {
  readonly writer: Writer;
  readonly random: Random;
  readonly angle: Angle;
  readonly id: string;
  readonly world: World;
  readonly prompts: PromptFolder;
  readonly retries: number;
  readonly tokensMax: number;
}

/** From this chance on, a slot that may be remembered takes a value of the memory. */
const REMEMBERED = 0.3;
const VALUE_WORDS_MAX = 4;

export function seedOfGist(gist: Gist): MemorySeed {
  const directions = gist.items.filter(({ kind }) => kind === 'direction');
  return {
    origin: 'memory',
    id: gist.id,
    cluster: gist.conversationId,
    values: gist.values,
    feelings: gist.items.filter(({ kind }) => kind === 'feeling').map(({ text }) => text),
    hasDirection: directions.length > 0,
    hasRefusal: directions.some(({ text }) => /^(?:no|not|nope|don't)\b/i.test(text)),
  };
}

/** Whether a scene can be played from this memory. */
export function suits(prompt: Prompt, seed: MemorySeed): boolean {
  const from = prompt.frontMatter.from ?? 'anything';
  if (from === 'direction') return seed.hasDirection;
  if (from === 'decline') return seed.hasRefusal;
  return true;
}

function valuesOf(seed: MemorySeed, { world, random, angle }: StructuredOptions) {
  const domain =
    world.domains.find(({ task }) => task === angle.domain) ?? random.pick(world.domains);
  const [topic = 'it', other = 'the rest'] = random.shuffle(domain.topics);
  // What was felt in the talk is kept; without it the world lends a feeling.
  const felt =
    seed.feelings.length > 0 ? random.pick(seed.feelings) : random.pick(world.feelings).said;
  return { task: domain.task, topic, other, felt: asValue(felt) };
}

function remembered(scene: Scene, seed: MemorySeed, random: Random): Map<string, string> {
  const slots = new Map<string, string>();
  const values = random
    .shuffle(seed.values.map(asValue))
    .filter((value) => value.length > 1 && value.split(' ').length <= VALUE_WORDS_MAX);
  for (const name of scene.front.remember) {
    const value = values.pop();
    if (value !== undefined && random.uniform() < REMEMBERED) slots.set(name, value);
  }
  return slots;
}

/** One side of a scene with both candidates. @throws SceneFailed, DreamsEnded */
async function draftSide(
  side: Side,
  scene: Scene,
  seed: MemorySeed,
  { stage, options, at }: { stage: StageOptions; options: StructuredOptions; at: number },
): Promise<Draft> {
  const played = await playScene(side, stage);
  const isPair = scene.sides.length > 1;
  const base = {
    id: at === 0 ? options.id : `${options.id}-twin`,
    kind: side.kind,
    messages: played.messages,
    spans: played.spans,
    seed: { origin: seed.origin, id: seed.id, cluster: seed.cluster },
    isDirected: seed.origin === 'flag',
    angle: options.angle,
    prompt: { name: scene.name, hash: scene.hash },
    ...(isPair
      ? { pair: { id: options.id, side: at === 0 ? ('a' as const) : ('b' as const) } }
      : {}),
  };
  const found = await candidates(side, played, base, { stage, options });
  const { chosen, rejected, facts } = found;
  return {
    ...base,
    ...(facts === undefined ? {} : { facts }),
    ...(chosen === undefined
      ? { problem: 'no listening reply was found' }
      : { chosen: chosen.text }),
    ...(rejected === undefined ? {} : { rejected: rejected.text }),
    chosenFrom: chosen?.from ?? 'nobody',
    rejectedFrom: rejected?.from ?? 'nobody',
    sampledShare: shareOf(played, chosen, rejected),
  };
}

async function candidates(
  side: Side,
  played: Played,
  base: { id: string; kind: Side['kind']; seed: { cluster: string }; angle: Angle },
  { stage, options }: { stage: StageOptions; options: StructuredOptions },
) {
  const facts = factsOf(side, stage.slots);
  const scenario = {
    id: base.id,
    kind: base.kind,
    messages: played.messages,
    spans: played.spans,
    source: { origin: 'dream' as const, cluster: base.seed.cluster, domain: base.angle.domain },
    ...(facts === undefined ? {} : { facts }),
  };
  const asking: CandidateOptions = {
    writer: options.writer,
    random: options.random,
    guidance: options.prompts.get(`dream/guidance/${side.kind}`).fill({}),
    retries: options.retries,
    tokensMax: options.tokensMax,
  };
  const own = async (wordings: Side['chosen'], isListening: boolean) => {
    if (wordings.length === 0) return undefined;
    const { text, sampled } = await playCandidate(played, wordings, stage);
    played.sampled.push(...sampled);
    return passes(scenario, text) === isListening ? { text, from: 'template' as const } : undefined;
  };
  const chosen = (await findChosen(scenario, asking)) ?? (await own(side.chosen, true));
  if (chosen === undefined || side.kind === 'ordinary')
    return { chosen, rejected: undefined, facts };
  const betrayed = side.betrays.flatMap((name) => stage.slots.get(name)?.toLowerCase() ?? []);
  const isDrift = (text: string): boolean =>
    betrayed.length === 0 || betrayed.some((value) => text.toLowerCase().includes(value));
  const rejected =
    (await findRejected(scenario, chosen.text, asking, isDrift)) ??
    (await own(side.rejected, false));
  return { chosen, rejected, facts };
}

/**
 * Plays one scene; of a pair both sides, with the same slots and distractors. A crossed scene gives
 * two drafts as well; it counts as one dream, since nothing of its other side is dreamt.
 * @throws SceneFailed, DreamsEnded
 */
export async function dreamStructured(
  prompt: Prompt,
  seed: MemorySeed,
  options: StructuredOptions,
): Promise<Draft[]> {
  const values = valuesOf(seed, options);
  const needed = Object.fromEntries(
    Object.entries(values).filter(([name]) => prompt.slots.includes(name)),
  );
  const scene = readScene(prompt, needed);
  const distractors: Exchange[] = [];
  const stage: StageOptions = {
    writer: options.writer,
    random: options.random,
    angle: options.angle,
    slots: remembered(scene, seed, options.random),
    distractors,
    about: [values.topic],
    spare: options.world.exchanges,
    retries: options.retries,
  };
  const drafts: Draft[] = [];
  for (const [at, side] of scene.sides.entries()) {
    drafts.push(await draftSide(side, scene, seed, { stage, options, at }));
  }
  const [only, twin] = drafts;
  return only === undefined || twin !== undefined ? drafts : crossedPair(only, scene, stage);
}
