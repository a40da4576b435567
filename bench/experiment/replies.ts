// What trained weights say by themselves: greedy replies to suites and reflex scenes, checked.
import { createEngine } from '../../src/engine/in-process-engine.ts';
import { type FreeReply, freeReplies, passShares } from '../../src/measure/free-replies.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import type { Scenario } from '../../src/scenario/scenario.ts';
import { wordsOf } from '../../src/scenario/words.ts';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';

export interface SpokenReplies {
  /** Share of replies to the suites that pass the check of their kind. */
  readonly passes: ReturnType<typeof passShares>;
  /** Crossed pairs of dev: share of replies nearer to the right candidate than to the wrong one. */
  readonly nearer: number;
  /** Pairs of which both replies are nearer to their own candidate. */
  readonly bothNearer: number;
  readonly replies: readonly FreeReply[];
}

export async function spokenReplies(
  places: { modelDir: string; cacheDir: string },
  deltas: readonly string[],
  { suites, pairs }: { suites: readonly Scenario[]; pairs: readonly Scenario[] },
): Promise<SpokenReplies> {
  const executor = await createOnnxExecutor({ device: 'cpu', threads: 1 });
  const version = { id: 'measured', deltas };
  const engine = await createEngine({ ...places, executor, version });
  try {
    const tokenizer = await loadTokenizer(places.modelDir);
    const options = { engine, tokenizer, replyTokensMax: 40 };
    const checked = await freeReplies(suites, options);
    const said = await freeReplies(pairs, options);
    const isNearer = said.map(({ reply }, i) => nearer(reply, pairs[i] as Scenario));
    const byPair = new Map<string, boolean>();
    for (const [i, { pair, id }] of pairs.entries()) {
      const key = pair?.id ?? id;
      byPair.set(key, (byPair.get(key) ?? true) && (isNearer[i] as boolean));
    }
    const share = (list: readonly boolean[]): number =>
      list.filter(Boolean).length / Math.max(1, list.length);
    return {
      passes: passShares(checked),
      nearer: share(isNearer),
      bothNearer: share([...byPair.values()]),
      replies: [...checked, ...said],
    };
  } finally {
    await engine.close();
  }
}

/** Whether a reply shares more of the words that only `chosen` has than of those only `rejected`. */
function nearer(reply: string, { chosen, rejected = '' }: Scenario): boolean {
  const words = (text: string): Set<string> => new Set(wordsOf(text).map((word) => word.text));
  const [said, right, wrong] = [words(reply), words(chosen), words(rejected)];
  const shared = (own: Set<string>, other: Set<string>): number => {
    const only = [...own].filter((word) => !other.has(word));
    return only.filter((word) => said.has(word)).length / Math.max(1, only.length);
  };
  return shared(right, wrong) > shared(wrong, right);
}
