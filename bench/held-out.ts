// What nights and dreams are judged by: crossed pairs and everyday talk of dialogues nobody learnt.
import { join } from 'node:path';
import { type Retention, retention } from '../src/measure/retention.ts';
import { type Estimate, estimate } from '../src/measure/statistics.ts';
import type { Model } from '../src/model/model.ts';
import { loadVersion } from '../src/model/versions.ts';
import { bothRightByPair } from '../src/reading/margin.ts';
import { Reader, type TrainableWeights } from '../src/reading/reader.ts';
import { render } from '../src/reading/render.ts';
import { scoreExamples } from '../src/reading/scenario-margin.ts';
import type { Executor } from '../src/runtime/executor.ts';
import { readScenarios } from '../src/scenario/file.ts';
import type { Scenario } from '../src/scenario/scenario.ts';
import { crossedPairs } from '../src/scenario/sgd.ts';
import { readSgdDialogues, readSgdMoments } from '../src/scenario/sgd-file.ts';
import type { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { stratified } from '../src/work/suite.ts';
import { everydayOf, pickPairs } from './experiment/data.ts';

export interface HeldOutOptions {
  readonly model: Model;
  readonly executor: Executor;
  readonly tokenizer: Tokenizer;
  /** The folder of the real conversations. */
  readonly shared: string;
  /** Crossed pairs of each kind of sgd-dev. */
  readonly pairs: number;
  /** Scenarios of each of the suites listen and push-back. */
  readonly suites: number;
  /** Everyday turns that measure forgetting. */
  readonly everyday: number;
}

/** Plain numbers, as they lie in the results. */
export interface Look {
  /** Scenario id → margin, nats a token. */
  readonly margins: Readonly<Record<string, number>>;
  readonly perplexity: { readonly ratio: number; readonly high: number };
}

export interface HeldOut {
  /** Weights with these deltas, against the base. */
  look(weights: TrainableWeights): Promise<Look>;
  readonly base: TrainableWeights;
  readonly clusters: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/** Of a pair's prompts and replies; pairs with a longer one are left out whole. */
const PROMPT_TOKENS_MAX = 256;
const REPLY_TOKENS_MAX = 48;

/** Whether both candidates and what stands before them are short enough to look at. */
function isShort(scenario: Scenario, tokenizer: Tokenizer): boolean {
  const { messages, chosen, rejected = chosen } = scenario;
  return [chosen, rejected].every((text) => {
    const { prompt, replyIds } = tokenizer.renderReply(messages, text);
    return prompt.ids.length <= PROMPT_TOKENS_MAX && replyIds.length <= REPLY_TOKENS_MAX;
  });
}

export async function openHeldOut(options: HeldOutOptions): Promise<HeldOut> {
  const { model, executor, shared } = options;
  const dialogues = await readSgdDialogues(join(shared, 'pretrain/sgd/dev.jsonl.gz'));
  const moments = await readSgdMoments(join(shared, 'directions/sgd-dev.jsonl.gz'));
  const suites = await Promise.all(
    ['listen', 'push-back'].map((kind) =>
      readScenarios(join('suites', 'companion', `${kind}.jsonl`)),
    ),
  );
  const pairs = pickPairs(crossedPairs(moments, dialogues), options.pairs, (scenario) =>
    isShort(scenario, options.tokenizer),
  );
  const limits = { windowTokens: model.windowTokens, replyTokensMax: 96 };
  const rendered = (list: readonly Scenario[]) =>
    render(list, { renderer: options.tokenizer, limits }, []);
  const examples = rendered([...pairs, ...stratified(suites.flat(), options.suites)]);
  const turns = everydayOf(dialogues.slice(0, 4 * options.everyday), 'everyday');
  const short = turns.filter((turn) => isShort(turn, options.tokenizer));
  const everyday = rendered(short.slice(0, options.everyday));
  const base = (await loadVersion(model, [])).weights;
  const reader = new Reader({ model, executor });
  return {
    base,
    clusters: Object.fromEntries(
      examples.map(({ scenario }) => [scenario.id, scenario.source.cluster]),
    ),
    async look(weights) {
      const scored = await scoreExamples(reader, examples, weights);
      const held: Retention = await retention(reader, everyday, { before: base, after: weights });
      return {
        margins: Object.fromEntries(
          scored.map(({ example, margin }) => [example.scenario.id, margin.perToken]),
        ),
        perplexity: held.perplexity,
      };
    },
    close: () => reader.close(),
  };
}

/** Ids of crossed pairs begin with it. */
export const CROSSED = 'crossed:';

/** Pair → both sides right. `part` is the beginning of the ids that count. */
export function rightPairs(look: Look, part: string): Map<string, boolean> {
  const sides = Object.entries(look.margins).flatMap(([id, margin]) => {
    const side = id.slice(-1);
    if (!id.startsWith(part) || (side !== 'a' && side !== 'b') || id.at(-2) !== ':') return [];
    return [{ pair: id.slice(0, -2), side: side as 'a' | 'b', margin }];
  });
  return bothRightByPair(sides);
}

/**
 * Of the crossed pairs the share with both sides right. Scenarios of the suites are drawn kind by
 * kind, so that the other side of many is not there: of them the share that is right.
 */
export function rightShare(look: Look, part: string): number {
  if (part.startsWith(CROSSED)) return share(rightPairs(look, part));
  const own = Object.entries(look.margins).filter(([id]) => id.startsWith(part));
  return own.filter(([, margin]) => margin > 0).length / Math.max(1, own.length);
}

export function share(pairs: ReadonlyMap<string, boolean>): number {
  return [...pairs.values()].filter(Boolean).length / Math.max(1, pairs.size);
}

/** Both right, later − earlier, by pair, clustered by dialogue. */
export function rightGain(
  earlier: Look,
  later: Look,
  { part, clusters }: { part: string; clusters: Readonly<Record<string, string>> },
): Estimate {
  const before = rightPairs(earlier, part);
  const after = rightPairs(later, part);
  return estimate(
    [...after].map(([pair, isRight]) => ({
      value: Number(isRight) - Number(before.get(pair) ?? false),
      cluster: clusters[`${pair}:a`] ?? pair,
    })),
  );
}

/** Margin, later − earlier, of the scenarios whose id begins with `part`. */
export function marginGain(
  earlier: Look,
  later: Look,
  { part, clusters }: { part: string; clusters: Readonly<Record<string, string>> },
): Estimate {
  return estimate(
    Object.entries(later.margins)
      .filter(([id]) => id.startsWith(part))
      .map(([id, margin]) => ({
        value: margin - (earlier.margins[id] ?? Number.NaN),
        cluster: clusters[id] ?? id,
      })),
  );
}

export const KINDS_OF_PAIRS = ['decline', 'reject_offer_alts', 'change_mind', 'correct_confirm'];
