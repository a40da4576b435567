// Dreams in structured scenes: a memory in a new context, slot by slot, both sides together.
import type { Random } from '../base/random.ts';
import type { Gist } from '../memory/gist.ts';
import type { Prompt, PromptFolder } from '../prompt/prompt.ts';
import { KIND } from '../scenario/kind.ts';
import {
  type CandidateOptions,
  type Found,
  findChosen,
  findRejected,
  passes,
} from './candidate.ts';
import type { Angle, Draft } from './draft.ts';
import { asValue, factsOf, readScene, type Scene, type Side, slotsOf } from './scene.ts';
import { type Played, playCandidate, playScene, type StageOptions, shareOf } from './stage.ts';
import type { World } from './world.ts';
import type { TurnWriter } from './writer.ts';

/** What a dream starts from: a gist, or the words of a flag. */
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
  readonly writer: TurnWriter;
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

/** A side as it was played. What its slots hold may still grow. */
interface PlayedSide {
  readonly side: Side;
  readonly played: Played;
  listens(reply: string): boolean;
  facts(): ReturnType<typeof factsOf>;
}

/** @returns the side, or why it could not be played */
async function playSide(
  side: Side,
  stage: StageOptions,
  source: Source,
): Promise<PlayedSide | string> {
  const slots = slotsOf(side, stage.slots);
  const played = await playScene(side, { ...stage, slots: slots as Map<string, string> });
  if (typeof played === 'string') return played;
  const facts = (): ReturnType<typeof factsOf> => factsOf(side, stage.slots);
  const listens = (reply: string): boolean => {
    const { messages, spans } = played;
    const known = facts();
    const scenario = { id: 'dream', kind: side.kind, messages, spans, source };
    return passes({ ...scenario, ...(known === undefined ? {} : { facts: known }) }, reply);
  };
  return { side, played, listens, facts };
}

type Chosen = Found<'guided' | 'template'>;
type Rejected = Found<'unguided' | 'template'>;

interface Source {
  readonly origin: 'dream';
  readonly cluster: string;
  readonly domain: string;
}

/**
 * Both candidates: of a pair such that each listens on its own side and on the other does not.
 * @returns those that were found, or why the scene's own words could not be played
 */
async function candidates(
  first: PlayedSide,
  other: PlayedSide | undefined,
  { stage, options }: { stage: StageOptions; options: StructuredOptions },
): Promise<{ chosen?: Chosen; rejected?: Rejected } | string> {
  const { side, played } = first;
  const listens = (text: string): boolean => first.listens(text) && other?.listens(text) !== true;
  const drifts = (text: string): boolean => !first.listens(text) && other?.listens(text) !== false;
  const asking: CandidateOptions = {
    writer: options.writer,
    random: options.random,
    guidance: options.prompts.get(`dream/guidance/${side.kind}`).fill({}),
    retries: options.retries,
    tokensMax: options.tokensMax,
  };
  const own = async (wordings: Side['chosen'], isRight: (text: string) => boolean) => {
    if (wordings.length === 0) return undefined;
    const candidate = await playCandidate(played, wordings, stage);
    if (typeof candidate === 'string') return candidate;
    const { text, sampled } = candidate;
    played.sampled.push(...sampled);
    return isRight(text) ? { text, from: 'template' as const } : undefined;
  };
  const chosen =
    (await findChosen(played.messages, asking, listens)) ?? (await own(side.chosen, listens));
  if (typeof chosen === 'string') return chosen;
  if (chosen === undefined) return {};
  if (other === undefined && !KIND[side.kind].hasRejected) return { chosen };
  const rejected =
    (await findRejected(played.messages, asking, drifts)) ?? (await own(side.rejected, drifts));
  if (typeof rejected === 'string') return rejected;
  return rejected === undefined ? { chosen } : { chosen, rejected };
}

/**
 * Plays one scene; of a crossed scene both sides, with the same slots, distractors and candidates.
 * It counts as one dream: hardly anything of the other side is dreamt.
 * @returns a draft for each side, or why there is none
 */
export async function dreamStructured(
  prompt: Prompt,
  seed: MemorySeed,
  options: StructuredOptions,
): Promise<Draft[] | string> {
  const { id, angle } = options;
  const values = valuesOf(seed, options);
  const needed = Object.fromEntries(
    Object.entries(values).filter(([name]) => prompt.slots.includes(name)),
  );
  const scene = readScene(prompt, needed);
  const stage: StageOptions = {
    writer: options.writer,
    random: options.random,
    angle,
    slots: remembered(scene, seed, options.random),
    distractors: [],
    about: [values.topic],
    spare: options.world.exchanges,
    retries: options.retries,
  };
  const source: Source = { origin: 'dream', cluster: seed.cluster, domain: angle.domain };
  const first = await playSide(scene.sides[0], stage, source);
  if (typeof first === 'string') return first;
  const other = scene.sides[1] && (await playSide(scene.sides[1], stage, source));
  if (typeof other === 'string') return other;
  const found = await candidates(first, other, { stage, options });
  if (typeof found === 'string') return found;
  const { chosen, rejected } = found;
  const draft = (one: PlayedSide): Draft => {
    const { played } = one;
    const facts = one.facts();
    return {
      id,
      kind: one.side.kind,
      messages: played.messages,
      spans: played.spans,
      seed: { origin: seed.origin, id: seed.id, cluster: seed.cluster },
      isDirected: seed.origin === 'flag',
      angle,
      prompt: { name: scene.name, hash: scene.hash },
      ...(facts === undefined ? {} : { facts }),
      chosenFrom: chosen?.from ?? 'nobody',
      rejectedFrom: rejected?.from ?? 'nobody',
      sampledShare: shareOf(first.played, chosen, rejected),
    };
  };
  if (chosen === undefined) return [{ ...draft(first), problem: 'no listening reply was found' }];
  const words = { chosen: chosen.text, ...(rejected && { rejected: rejected.text }) };
  if (other === undefined || rejected === undefined) return [{ ...draft(first), ...words }];
  const exchanged = { chosen: rejected.text, rejected: chosen.text };
  const from = { chosenFrom: 'crossed', rejectedFrom: 'crossed' } as const;
  return [
    { ...draft(first), ...words, pair: { id, side: 'a' } },
    { ...draft(other), ...exchanged, ...from, id: `${id}-twin`, pair: { id, side: 'b' } },
  ];
}
