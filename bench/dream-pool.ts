// What the dream experiment draws on: real flags of the model's own live answers, and the dreams it
// writes from them and from other talks, admitted and refused.
import { join } from 'node:path';
import { systemClock } from '../src/base/clock.ts';
import { createRandom } from '../src/base/random.ts';
import { type Moment, readMoments } from '../src/cli/replay-moments.ts';
import { configSchema } from '../src/config/schema.ts';
import { admit, type Refusal, scenarioOfDraft, wordsOf } from '../src/dream/admit.ts';
import type { FlaggedSeed } from '../src/dream/draft.ts';
import { dream } from '../src/dream/dream.ts';
import { createCopyCheck } from '../src/dream/near-copy.ts';
import type { Engine } from '../src/engine/engine.ts';
import { createEngine } from '../src/engine/in-process-engine.ts';
import { compress } from '../src/memory/gist.ts';
import { readSuite } from '../src/night/suite.ts';
import { readPrompts } from '../src/prompt/prompt.ts';
import { createOnnxExecutor } from '../src/runtime/onnx.ts';
import { checkReply } from '../src/scenario/check.ts';
import { parseScenario, type Scenario } from '../src/scenario/scenario.ts';
import { loadTokenizer, type Tokenizer } from '../src/tokenizer/tokenizer.ts';

export interface Pool {
  /** Hash of the model that wrote it. */
  readonly base: string;
  readonly flags: readonly Scenario[];
  readonly admitted: readonly Dreamt[];
  readonly refused: readonly (Dreamt & { readonly reason: string })[];
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
}

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

export async function makePool(options: PoolOptions): Promise<Pool> {
  const { modelDir, cacheDir, shared } = options;
  const started = performance.now();
  const tokenizer = await loadTokenizer(modelDir);
  const executor = await createOnnxExecutor({ device: 'cpu', threads: options.threads });
  const engine = await createEngine({ modelDir, cacheDir, executor, batchMax: 16 });
  try {
    const moments = await readMoments(join(shared, 'directions', 'sgd-train.jsonl.gz'), {});
    const flags = await liveFlags(moments, { engine, tokenizer, count: options.flags });
    const flagged = performance.now();
    const budget = { dreamsMax: options.dreams, tokensMax: 1e7, minutesMax: 60 };
    const { drafts } = await dream({
      engine,
      tokenizer,
      prompts: await readPrompts('prompts'),
      settings: { ...settings.dream, directedShare: 0.5, anglesPerFlag: 1000 },
      flagged: flags.map(seedOf),
      gists: gistsOf(moments),
      budget,
      clock: systemClock,
      random: createRandom(SEED),
      onProgress: (done, total) => process.stderr.write(`${done}/${total}\n`),
    });
    const dreamt = performance.now();
    const tests = await readSuite('suites/companion');
    const isTestCopy = createCopyCheck(tests.map(wordsOf), settings.dream.nearCopyMax);
    const judged = await admit(drafts, {
      engine,
      tokenizer,
      settings: settings.dream,
      isTestCopy,
    });
    const seconds = {
      flags: (flagged - started) / 1000,
      dreams: (dreamt - flagged) / 1000,
      admission: (performance.now() - dreamt) / 1000,
    };
    return {
      base: (await engine.describe()).baseHash,
      flags,
      admitted: judged.dreams.map(({ scenario, draft }) => ({
        scenario,
        isDirected: draft.isDirected,
      })),
      refused: judged.refused.flatMap(withBothReplies),
      seconds,
    };
  } finally {
    await engine.close();
  }
}
