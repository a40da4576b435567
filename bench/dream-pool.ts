// What the dream experiment draws on: real flags of the model's own live answers, and the dreams it
// writes from them and from other talks, admitted and refused.
import { join } from 'node:path';
import { z } from 'zod';
import { readJsonBounded, writeJsonAtomic } from '../src/base/atomic-file.ts';
import { systemClock } from '../src/base/clock.ts';
import { createRandom } from '../src/base/random.ts';
import { type Moment, readMoments } from '../src/cli/talk/replay-moments.ts';
import { configSchema } from '../src/config/schema.ts';
import { admit, type Refusal, scenarioOfDraft, wordsOf } from '../src/dream/admit.ts';
import { type Draft, draftSchema, type FlaggedSeed } from '../src/dream/draft.ts';
import { dream } from '../src/dream/dream.ts';
import { createCopyCheck } from '../src/dream/near-copy.ts';
import type { Engine } from '../src/engine/engine.ts';
import { createEngine } from '../src/engine/in-process-engine.ts';
import { compress } from '../src/memory/gist.ts';
import { readPrompts } from '../src/prompt/prompt.ts';
import { createOnnxExecutor } from '../src/runtime/onnx.ts';
import { checkReply } from '../src/scenario/check.ts';
import { parseScenario, type Scenario } from '../src/scenario/scenario.ts';
import { loadTokenizer, type Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { readSuite } from '../src/work/suite.ts';
import { estimated } from './deadline.ts';

export interface Pool {
  /** Hash of the model that wrote it. */
  readonly base: string;
  readonly flags: readonly Scenario[];
  readonly admitted: readonly Dreamt[];
  readonly refused: readonly (Dreamt & { readonly reason: string })[];
  /** Drafts that were written, and those of them that were refused, by reason. */
  readonly drafts: number;
  readonly reasons: Readonly<Record<string, number>>;
  readonly seconds: Readonly<Record<string, number>>;
}

export interface Dreamt {
  readonly scenario: Scenario;
  readonly isDirected: boolean;
}

export interface PoolOptions {
  readonly modelDir: string;
  readonly cacheDir: string;
  readonly shared: string;
  readonly flags: number;
  readonly dreams: number;
  readonly threads: number;
  /** Where what is done lies, so that a killed run goes on: flags, and drafts by the chunk. */
  readonly work: string;
  /** No chunk is begun, and none is gone on with, when this has passed. */
  readonly dreamMs: number;
  readonly say: (line: string) => void;
}

/** Dreams that are planned, written and kept together. */
const CHUNK = 52;
/** A window's worth of drafts in one file. */
const DRAFTS_BYTES_MAX = 2 ** 26;

const SEED = 'dream pool';
const settings = configSchema.parse({});

/** Moments that the model ignores when it answers live, with what it really said. */
async function liveFlags(
  moments: readonly Moment[],
  { engine, tokenizer, count }: { engine: Engine; tokenizer: Tokenizer; count: number },
): Promise<Scenario[]> {
  const flags: Scenario[] = [];
  const asked = createRandom(SEED).shuffle([...moments]);
  for (let at = 0; flags.length < count && at < asked.length; at += 16) {
    const answers = asked.slice(at, at + 16).map(async ({ scenario }) => {
      const { ids } = tokenizer.renderChat(scenario.messages, { addGenerationPrompt: true });
      const request = {
        ids,
        replyTokensMax: 64,
        sampling: { ...settings.chat.sampling, seed: at },
        stopIds: tokenizer.stopIds,
      };
      const reply = await engine.generate(request, () => undefined);
      return { scenario, text: tokenizer.decode(reply.ids).trim() };
    });
    for (const { scenario, text } of await Promise.all(answers)) {
      const isIgnored = text !== '' && text !== scenario.chosen;
      if (!isIgnored || checkReply(scenario, text).passes || flags.length === count) continue;
      const { facts: _facts, ...rest } = scenario;
      const source = { ...scenario.source, origin: 'flag' as const };
      flags.push(parseScenario({ ...rest, id: `flag-${flags.length}`, rejected: text, source }));
    }
  }
  return flags;
}

const seedOf = (flag: Scenario): FlaggedSeed => ({
  flagId: flag.id,
  strength: 2,
  isHeldBack: false,
  kind: 'missed',
  context: { ...flag, spans: flag.spans },
  chosen: flag.chosen,
  rejected: flag.rejected,
});

/** Other talks, compressed: nothing of them was flagged. */
function gistsOf(moments: readonly Moment[]) {
  const others = createRandom(`${SEED}:gists`)
    .shuffle([...moments])
    .slice(0, 60);
  return others.map(({ scenario }) => {
    const turns = scenario.messages.map(({ role, content }, i) => ({
      id: String(i),
      role: role === 'assistant' ? ('assistant' as const) : ('user' as const),
      text: content,
    }));
    const { cluster } = scenario.source;
    const talk = { conversationId: cluster, restedAt: 0, turns, flags: [] };
    return { gist: compress(talk, settings.memory), salience: 0.5 };
  });
}

/** Without both replies there is nothing that a refused dream could have taught. */
function withBothReplies({ draft, reason }: Refusal): Pool['refused'] {
  try {
    const scenario = scenarioOfDraft(draft);
    const isLacking = scenario.rejected === undefined && scenario.kind !== 'ordinary';
    return isLacking ? [] : [{ scenario, isDirected: draft.isDirected, reason }];
  } catch {
    return [];
  }
}

const seconds = (since: number): number => (performance.now() - since) / 1000;

/** What lies in the file, or what `make` gives, kept there. */
async function once<T>(path: string, schema: z.ZodType<T>, make: () => Promise<T>): Promise<T> {
  const known = await readJsonBounded(path, schema, { bytesMax: DRAFTS_BYTES_MAX });
  if (known !== undefined) return known;
  const made = await make();
  await writeJsonAtomic(path, made);
  return made;
}

const flagsSchema = z.array(z.unknown().transform((one) => parseScenario(one)));

/** Ids are told apart by their chunk, and so are pairs. */
const named = (chunk: number, draft: Draft): Draft => ({
  ...draft,
  id: `${chunk}-${draft.id}`,
  ...(draft.pair === undefined ? {} : { pair: { ...draft.pair, id: `${chunk}-${draft.pair.id}` } }),
});

interface Dreaming {
  readonly engine: Engine;
  readonly tokenizer: Tokenizer;
  readonly flags: readonly Scenario[];
  readonly moments: readonly Moment[];
}

/** Chunk by chunk, each kept when it is whole; fewer than asked for when the time is over. */
async function dreamAll(
  { dreams, work, dreamMs, say }: PoolOptions,
  { engine, tokenizer, flags, moments }: Dreaming,
): Promise<Draft[]> {
  const begun = performance.now();
  const prompts = await readPrompts('prompts');
  const gists = gistsOf(moments);
  const all: Draft[] = [];
  const chunks = Math.ceil(dreams / CHUNK);
  for (let chunk = 0; chunk < chunks; chunk += 1) {
    const leftMs = dreamMs - (performance.now() - begun);
    const path = join(work, `drafts-${chunk}.json`);
    const drafts = await once(path, z.array(draftSchema), async () => {
      if (leftMs <= 0) return [];
      const { drafts: written } = await dream({
        engine,
        tokenizer,
        prompts,
        settings: { ...settings.dream, directedShare: 0.5, anglesPerFlag: 1000 },
        flagged: flags.map(seedOf),
        gists,
        budget: {
          dreamsMax: Math.min(CHUNK, dreams - chunk * CHUNK),
          tokensMax: 1e7,
          minutesMax: leftMs / 60_000,
        },
        clock: systemClock,
        random: createRandom(`${SEED}:${chunk}`),
      });
      return written.map((draft) => named(chunk, draft));
    });
    all.push(...drafts);
    const done = (chunk + 1) / chunks;
    const rest = ((performance.now() - begun) / done) * (1 - done);
    say(`dreams: ${all.length} drafts; the rest of them: ${estimated(rest)}`);
  }
  return all;
}

function counted(reasons: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const reason of reasons) counts[reason] = (counts[reason] ?? 0) + 1;
  return counts;
}

export async function makePool(options: PoolOptions): Promise<Pool> {
  const { modelDir, cacheDir, shared, work, say } = options;
  const started = performance.now();
  const tokenizer = await loadTokenizer(modelDir);
  const executor = await createOnnxExecutor({ device: 'cpu', threads: options.threads });
  const engine = await createEngine({ modelDir, cacheDir, executor, batchMax: 16 });
  try {
    const moments = await readMoments(join(shared, 'directions', 'sgd-train.jsonl.gz'), {});
    const flags = await once(join(work, 'flags.json'), flagsSchema, () =>
      liveFlags(moments, { engine, tokenizer, count: options.flags }),
    );
    const flagsSeconds = seconds(started);
    say(`${flags.length} flags of live answers in ${flagsSeconds.toFixed(0)} s`);
    const dreaming = performance.now();
    const drafts = await dreamAll(options, { engine, tokenizer, flags, moments });
    const dreamsSeconds = seconds(dreaming);
    const judging = performance.now();
    const tests = await readSuite('suites/companion');
    const isTestCopy = createCopyCheck(tests.map(wordsOf), settings.dream.nearCopyMax);
    const judged = await admit(drafts, {
      engine,
      tokenizer,
      settings: settings.dream,
      isTestCopy,
    });
    return {
      base: (await engine.describe()).baseHash,
      flags,
      admitted: judged.dreams.map(({ scenario, draft }) => ({
        scenario,
        isDirected: draft.isDirected,
      })),
      refused: judged.refused.flatMap(withBothReplies),
      drafts: drafts.length,
      reasons: counted(judged.refused.map(({ reason }) => reason)),
      seconds: { flags: flagsSeconds, dreams: dreamsSeconds, admission: seconds(judging) },
    };
  } finally {
    await engine.close();
  }
}
