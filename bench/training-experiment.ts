// One run of the training experiments: trains an arm, reads it on held-out talk, appends a line.
// Options: --model DIR --shared DIR --scenes FILE --out FILE --arm real --dose 200 --seed 1.
import { appendFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { createRandom } from '../src/base/random.ts';
import { trainSection } from '../src/config/section/learning.ts';
import { attentionChange } from '../src/measure/attention-change.ts';
import { bothRight } from '../src/measure/margin.ts';
import { Reader, type TrainableWeights } from '../src/measure/reader.ts';
import { retention } from '../src/measure/retention.ts';
import { type ScoredExample, scoreExamples, scoreOf } from '../src/measure/scenario-margin.ts';
import { readModel } from '../src/model/model.ts';
import { loadVersion } from '../src/model/versions.ts';
import { createOnnxExecutor } from '../src/runtime/onnx.ts';
import { type Example, toExample } from '../src/scenario/example.ts';
import type { Scenario } from '../src/scenario/scenario.ts';
import { loadTokenizer } from '../src/tokenizer/tokenizer.ts';
import { type Arm, armScenarios, rescaled } from '../src/train/arms.ts';
import { normOf, plus } from '../src/train/difference.ts';
import { scoreWithBias, trainSurface } from '../src/train/surface.ts';
import { trainDelta } from '../src/train/trainer.ts';
import { readExperimentData } from './training-data.ts';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/companion' },
    cache: { type: 'string', default: 'store/cache' },
    shared: { type: 'string', default: '../shared/data' },
    scenes: { type: 'string', default: 'scenes.jsonl' },
    out: { type: 'string', default: 'runs.jsonl' },
    cell: { type: 'string', default: 'real' },
    arm: { type: 'string', default: 'real' },
    dose: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    rate: { type: 'string' },
    retention: { type: 'string' },
    optimizer: { type: 'string' },
    weights: { type: 'string', default: 'q' },
    norm: { type: 'string' },
    threads: { type: 'string', default: '1' },
    on: { type: 'string', default: 'dev' },
    kinds: { type: 'string', default: '' },
    epochs: { type: 'string', default: '1' },
    layers: { type: 'string' },
    pairs: { type: 'string', default: '30' },
    suites: { type: 'string', default: '40' },
    looks: { type: 'string', default: '40' },
  },
});

const SIZES = {
  devPairsPerKind: Number(options.pairs),
  suitesPerKind: Number(options.suites),
  everyday: Number(options.looks),
};
const executor = await createOnnxExecutor({ device: 'cpu', threads: Number(options.threads) });
const model = await readModel(options.model, { cacheDir: options.cache });
const tokenizer = await loadTokenizer(model.dir);
const data = await readExperimentData(options.shared, options.scenes, SIZES);
const limits = { windowTokens: model.windowTokens, replyTokensMax: 96 };
const render = (list: readonly Scenario[]): Example[] =>
  list.flatMap((s) => {
    try {
      return [toExample(s, tokenizer, limits)];
    } catch {
      return [];
    }
  });

const isQuery = (name: string): boolean => name.endsWith('.qProj');
const isAttention = (name: string): boolean => /\.[qkvo]Proj$/.test(name);
const trainable = options.weights === 'qkvo' ? isAttention : isQuery;
const fed = (await loadVersion(model, [], { trainable })).weights;
const reader = new Reader({ model, executor, trainable });
const isOfKinds = (s: Scenario): boolean =>
  options.kinds === '' ||
  options.kinds.split(',').some((k) => s.id.includes(`:${k}:`) || s.id.startsWith(k));

/** The same `dose` scenarios for every arm of a seed: whole pairs, drawn by the seed. */
function drawn(): Scenario[] {
  const pool = data.pool.filter(isOfKinds);
  const pairs = [...new Set(pool.map((s) => s.pair?.id))];
  const chosen = new Set(
    createRandom(`dose:${options.seed}`)
      .shuffle(pairs)
      .slice(0, Math.ceil(Number(options.dose) / 2)),
  );
  return pool.filter((s) => chosen.has(s.pair?.id)).slice(0, Number(options.dose));
}

const settings = {
  ...trainSection.parse({
    ...(options.rate === undefined ? {} : { learningRate: Number(options.rate) }),
    ...(options.retention === undefined ? {} : { retentionWeight: Number(options.retention) }),
    ...(options.optimizer === undefined ? {} : { optimizer: options.optimizer }),
    ...(options.layers === undefined ? {} : { layers: options.layers.split(',').map(Number) }),
  }),
  epochsMax: Number(options.epochs),
  stepsMax: 10_000,
  minutesMax: 600,
  replyTokensMax: 96,
  replayTokens: 48,
  replaysPerStep: 2,
};

async function evaluate(
  weights: TrainableWeights,
  score: (examples: readonly Example[]) => Promise<ScoredExample[]>,
): Promise<object> {
  const set = options.on === 'selection' ? data.selection : [...data.dev, ...data.suites];
  const scored = await score(render(set));
  const sides = scored.flatMap(({ example: { scenario }, margin }) =>
    scenario.pair === undefined
      ? []
      : [{ pair: scenario.pair.id, side: scenario.pair.side, margin: margin.perToken }],
  );
  const isSgd = (id: string): boolean => !id.startsWith('companion:');
  const attention: Record<string, unknown> = {};
  const dozen = Math.ceil(Number(options.looks) / 2);
  const looked = render([
    ...data.dev.filter((_, i) => i % Math.ceil(data.dev.length / dozen) === 0),
    ...data.suites.filter((s) => s.kind === 'listen').slice(0, dozen),
  ]);
  if (options.on !== 'selection') {
    for (const feature of ['direction', 'own-idea'] as const) {
      const arms = { before: fed, after: weights };
      const controlIds = tokenizer.controlIds;
      attention[feature] = await attentionChange(reader, looked, arms, { feature, controlIds });
    }
  }
  const held = await retention(reader, render(data.everyday), { before: fed, after: weights });
  return {
    margins: Object.fromEntries(scored.map((s) => [s.example.scenario.id, scoreOf(s)])),
    clusters: Object.fromEntries(
      scored.map(({ example: { scenario } }) => [scenario.id, scenario.source.cluster]),
    ),
    bothRightDev: bothRight(sides.filter(({ pair }) => isSgd(pair))),
    bothRightSuites: bothRight(sides.filter(({ pair }) => !isSgd(pair))),
    attention,
    retention: held,
  };
}

const started = performance.now();
const base = (examples: readonly Example[]) => scoreExamples(reader, examples, fed);
let result: object;
let told: object = {};
if (options.arm === 'none') {
  result = await evaluate(fed, base);
} else if (options.arm === 'surface') {
  const { preferenceBeta: beta, chosenWeight } = settings;
  const bias = await trainSurface(reader, render(drawn()), fed, {
    epochs: Number(options.epochs),
    rate: Number(options.rate ?? 0.05),
    beta,
    chosenWeight,
    seed: options.seed,
  });
  result = await evaluate(fed, (examples) => scoreWithBias(reader, examples, fed, bias));
} else {
  const trained = await trainDelta({
    model,
    executor,
    renderer: tokenizer,
    scenarios: armScenarios(options.arm as Arm, drawn(), options.seed),
    replays: data.replays,
    settings,
    seed: `experiment:${options.seed}`,
    trainable,
    startFrom: fed,
    onStep: ({ step, steps, terms }) =>
      process.stderr.write(`${step}/${steps} ${JSON.stringify(terms)}\n`),
  });
  const norm = normOf(trained.delta);
  const delta =
    options.norm === undefined ? trained.delta : rescaled(trained.delta, Number(options.norm));
  const weights = plus(fed, delta, 1);
  told = {
    norm,
    movedShare: trained.movedShare,
    steps: trained.steps,
    refused: trained.refused.length,
  };
  result = {
    ...(await evaluate(weights, (examples) => scoreExamples(reader, examples, weights))),
    kept: bothRight(
      (await scoreExamples(reader, render(data.dev.slice(0, 80)), weights, fed)).map(
        ({ example: { scenario }, margin }) => ({
          pair: scenario.pair?.id ?? scenario.id,
          side: scenario.pair?.side ?? 'a',
          margin: margin.perToken,
        }),
      ),
    ),
  };
}
const seconds = (performance.now() - started) / 1000;
const record = { options, base: model.baseHash, settings, ...told, seconds, ...result };
await appendFile(options.out, `${JSON.stringify(record)}\n`);
const brief = result as { bothRightDev: unknown; bothRightSuites: unknown; kept?: unknown };
console.log(
  JSON.stringify({
    cell: options.cell,
    seed: options.seed,
    dose: options.dose,
    ...told,
    dev: brief.bothRightDev,
    suites: brief.bothRightSuites,
    kept: brief.kept,
    perplexity: (result as { retention: { perplexity: unknown } }).retention.perplexity,
    seconds: Math.round(seconds),
  }),
);
await reader.close();
await executor.close();
