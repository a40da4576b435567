// Whether a server speaks with the weights that our engine has: the log-probabilities of both over
// a few short replies, and how an adapter changes them there and here.
import { z } from 'zod';
import type { Engine, VersionSource } from '../engine/engine.ts';
import { GREEDY } from '../protocol/sampling.ts';
import type { ChatTokenizer } from '../tokenizer/chat-tokenizer.ts';
import type { ServedModel } from './adapter-host.ts';

/** What a server is compared with: the file that trains. */
export interface Reference {
  readonly engine: Pick<Engine, 'generate' | 'loadVersion'>;
  readonly tokenizer: Pick<
    ChatTokenizer,
    'renderChat' | 'tokenText' | 'tokenBytes' | 'stopIds' | 'controlIds'
  >;
}

/** A greedy reply: its tokens, and at each place log p of the likeliest ones. */
interface Line {
  readonly tokens: readonly string[];
  /** Empty where the server tells none. */
  readonly at: readonly ReadonlyMap<string, number>[];
}
export type Probed = readonly Line[];

const SYSTEM = { role: 'system', content: 'You are a helpful assistant.' };
const user = (content: string) => ({ role: 'user', content });
const PROBES = [
  [SYSTEM, user('Write one sentence about rivers.')],
  [SYSTEM, user('Name three colours, separated by commas.')],
  [
    SYSTEM,
    user('From now on, please answer in lower case.'),
    { role: 'assistant', content: 'i will.' },
    user('What is the capital of France?'),
  ],
  [SYSTEM, user('I want the tower for the place of the picnic. What do you think?')],
  [SYSTEM, user('Write it on one line, please: a list of three fruits.')],
  [
    SYSTEM,
    user('Let us plan the week. Monday stays free.'),
    { role: 'assistant', content: 'Good. How about a walk on Monday?' },
    user('What is on Monday?'),
  ],
];
const TOKENS = 12;
const TOP = 5;
/** Less likely tokens say more of rounding than of weights. */
const LOGPROB_MIN = -6;

const entry = z.object({ token: z.string(), logprob: z.number() });
const answerSchema = z.object({
  choices: z
    .array(
      z.object({
        message: z.object({ content: z.string().nullish() }),
        logprobs: z
          .object({
            content: z.array(entry.extend({ top_logprobs: z.array(entry).default([]) })).nullish(),
          })
          .nullish(),
      }),
    )
    .min(1),
});

/** @throws upstream-failed; what the server answers is not checked */
export async function probeServer(served: ServedModel, signal?: AbortSignal): Promise<Probed> {
  const lines: Line[] = [];
  for (const messages of PROBES) {
    const greedy = { max_tokens: TOKENS, temperature: 0, seed: 0 };
    // Nobody said it: an Attune there keeps nothing of it.
    const body = { model: served.name, messages, ...greedy, store: false };
    const ask = (more: object) =>
      served.http.json({ path: '/v1/chat/completions', body: { ...body, ...more }, signal });
    // Some refuse what they do not tell.
    const said = await ask({ logprobs: true, top_logprobs: TOP }).catch(() => ask({}));
    const [choice] = answerSchema.parse(said).choices;
    const told = choice?.logprobs?.content ?? [];
    lines.push({
      tokens: told.length > 0 ? told.map(({ token }) => token) : [choice?.message.content ?? ''],
      at: told.map((one) => mapOf([one, ...one.top_logprobs])),
    });
  }
  return lines;
}

/** The same of our engine under a version, which it loads. @throws engine-failed */
export async function probeEngine(
  { engine, tokenizer }: Reference,
  source: VersionSource,
): Promise<Probed> {
  await engine.loadVersion(source);
  const textOf = (id: number): string => {
    const bytes = tokenizer.tokenBytes(id);
    return bytes.length > 0 ? new TextDecoder().decode(bytes) : tokenizer.tokenText(id);
  };
  const lines: Line[] = [];
  for (const messages of PROBES) {
    const { ids } = await tokenizer.renderChat(messages, { addGenerationPrompt: true });
    const tokens: string[] = [];
    const at: ReadonlyMap<string, number>[] = [];
    const asked = { ids, replyTokensMax: TOKENS, stopIds: tokenizer.stopIds, topLogprobs: 2 * TOP };
    const greedy = { sampling: { ...GREEDY, seed: 0 }, version: source.id };
    await engine.generate({ ...asked, ...greedy }, (token) => {
      tokens.push(textOf(token.id));
      const all = [token, ...(token.top ?? [])];
      at.push(mapOf(all.map(({ id, logprob }) => ({ token: textOf(id), logprob }))));
    });
    lines.push({ tokens, at });
  }
  return lines;
}

const mapOf = (all: readonly { token: string; logprob: number }[]): ReadonlyMap<string, number> =>
  new Map(all.filter(({ logprob }) => logprob > LOGPROB_MIN).map((o) => [o.token, o.logprob]));

/** Each list of log-probabilities that all of them tell of one token after the same words. */
function shared(all: readonly Probed[]): number[][] {
  return PROBES.flatMap((_, probe) => {
    const lines = all.map((one) => one[probe] as Line);
    const found: number[][] = [];
    for (let place = 0; lines.every(({ at }) => at[place] !== undefined); place++) {
      const [first, ...others] = lines.map(({ at }) => at[place] as ReadonlyMap<string, number>);
      for (const [token, logprob] of first ?? []) {
        const rest = others.map((map) => map.get(token));
        if (rest.every((one) => one !== undefined)) found.push([logprob, ...rest]);
      }
      if (new Set(lines.map(({ tokens }) => tokens[place])).size > 1) break;
    }
    return found;
  });
}

export type Sameness = 'same' | 'different' | 'unknown';

export interface Comparison {
  readonly sameness: Sameness;
  readonly text: string;
}

/** Other quantisations of one model stay below it, other models are far above. */
const MEAN_NATS_MAX = 0.5;
const PAIRS_MIN = 6;

const wordsOf = (probed: Probed): string[] => probed.map(({ tokens }) => tokens.join('').trim());

/** Whether the model that speaks is the file that trains. */
export function compare(own: Probed, theirs: Probed): Comparison {
  if (theirs.every(({ at }) => at.length === 0)) {
    const [ours, said] = [wordsOf(own), wordsOf(theirs)];
    const equal = said.filter((text, i) => text !== '' && text.startsWith(ours[i] ?? text)).length;
    const text =
      'it tells no log-probabilities, so whether it is the file that trains cannot be checked; of ' +
      `${said.length} short replies ${equal} began alike`;
    return { sameness: 'unknown', text };
  }
  const pairs = shared([own, theirs]);
  const mean = meanOf(pairs.map(([a = 0, b = 0]) => Math.abs(a - b)));
  const isSame = pairs.length >= PAIRS_MIN && mean <= MEAN_NATS_MAX;
  const told = `${pairs.length} log-probabilities differ by ${mean.toFixed(3)} nats on average`;
  return isSame
    ? { sameness: 'same', text: `it is the file that trains: ${told}` }
    : {
        sameness: 'different',
        text: `it is not the file that trains, or has another chat template: ${told}`,
      };
}

interface Change {
  readonly before: Probed;
  readonly after: Probed;
}

/** Less is no change: a server says the same twice within this. */
const QUIET_NATS = 0.02;
/** How many standard errors a correlation has to be away from none. */
const CLEAR = 3;
/** Log-probabilities of one place are not independent. */
const PER_PLACE = 2;

/**
 * Whether what came over with an adapter there is what came with the version here. A server without
 * it says what it said before; one with another one is further from our engine than before. What is
 * left is rounding, which moves each log-probability by more than a small night does: the changes
 * are only correlated.
 */
export function compareChange(own: Change, theirs: Change): Comparison {
  const all = shared([own.before, own.after, theirs.before, theirs.after]);
  const here = all.map(([before = 0, after = 0]) => after - before);
  const there = all.map(([, , before = 0, after = 0]) => after - before);
  const apart = (mine: Probed, its: Probed): number =>
    meanOf(shared([mine, its]).map(([a = 0, b = 0]) => Math.abs(a - b)));
  const [before, after] = [apart(own.before, theirs.before), apart(own.after, theirs.after)];
  const r = product(here, there) / Math.sqrt(product(here, here) * product(there, there));
  const z = r * Math.sqrt(all.length / PER_PLACE);
  const told =
    `with it ${all.length} log-probabilities are ${after.toFixed(3)} nats from those of our engine ` +
    `(with what spoke before ${before.toFixed(3)})`;
  const isMoved = rms(here) > 2 * QUIET_NATS;
  const isStill = isMoved && rms(there) < QUIET_NATS;
  if (all.length >= PAIRS_MIN && (isStill || after > 2 * before + QUIET_NATS)) {
    const why = isStill ? 'it says what it said without it' : told;
    return { sameness: 'different', text: why };
  }
  if (all.length >= PAIRS_MIN && isMoved && z >= CLEAR) {
    const text = `${told}, and change as they do there (r ${r.toFixed(2)}, z ${z.toFixed(1)})`;
    return { sameness: 'same', text };
  }
  return { sameness: 'unknown', text: `${told}: too small a change to tell from rounding` };
}

const product = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, one, i) => sum + one * (b[i] ?? 0), 0);
const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
const rms = (values: readonly number[]): number =>
  Math.sqrt(product(values, values) / Math.max(1, values.length));
