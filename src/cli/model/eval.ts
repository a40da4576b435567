// `attune eval`: measures weights on scenarios against their parent, as a page to read or as JSON.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { FreeReply } from '../../measure/free-replies.ts';
import { decideGate, type GateSettings, type GateVerdict } from '../../measure/gate.ts';
import type { Measures } from '../../measure/measure.ts';
import type { Scenario } from '../../scenario/scenario.ts';
import { type Evaluation, measuresText } from './eval-text.ts';
import { addModelOptions, findModel, type ModelOptions, wholeBetween } from './model-options.ts';

interface EvalOptions extends ModelOptions {
  readonly delta?: readonly string[];
  readonly parent?: readonly string[];
  readonly deaf?: string;
  readonly on: readonly string[];
  readonly everyday?: string;
  readonly trained?: string;
  readonly replies: number;
  readonly json?: boolean;
  readonly svg?: string;
}

export function registerEval(program: Command): void {
  addModelOptions(program.command('eval'))
    .description('measure weights on scenarios: margins, attention, retention, with intervals')
    .requiredOption('--on <file...>', 'scenarios to measure on, one JSON object per line')
    .option('--delta <file...>', 'deltas to measure, in this order (default: the parent itself)')
    .option('--parent <file...>', 'deltas of the parent (default: the base)')
    .option('--deaf <file>', 'delta of the placebo, on top of the parent')
    .option('--everyday <file>', 'ordinary scenarios for retention (default: those of --on)')
    .option('--trained <file>', 'scenarios that the delta was trained on, for breadth and KL')
    .option(
      '--replies <number>',
      'number of free replies per kind to check',
      wholeBetween(0, 10_000),
      0,
    )
    .option('--json', 'print JSON')
    .option('--svg <dir>', 'folder for maps by layer and head')
    .action((options: EvalOptions) => evaluate(options));
}

async function evaluate(options: EvalOptions): Promise<void> {
  const evaluation = await measureFiles(options);
  const { measures } = evaluation;
  if (options.svg !== undefined) await writeMaps(options.svg, measures);
  const text =
    options.json === true ? `${JSON.stringify(evaluation, null, 2)}\n` : measuresText(evaluation);
  process.stdout.write(text);
}

async function measureFiles(options: EvalOptions): Promise<Evaluation> {
  const { config, modelDir, cacheDir } = await findModel(options);
  const [{ readModel }, { loadVersion }, { loadTokenizer }, { openTrainingExecutor }, measure] =
    await Promise.all([
      import('../../model/model.ts'),
      import('../../model/versions.ts'),
      import('../../tokenizer/tokenizer.ts'),
      import('../../runtime/device.ts'),
      import('../../measure/measure.ts'),
    ]);
  const model = await readModel(modelDir, { cacheDir });
  const tokenizer = await loadTokenizer(modelDir);
  const parentDeltas = options.parent ?? [];
  const deltas = options.delta ?? parentDeltas;
  const load = async (paths: readonly string[]) => (await loadVersion(model, paths)).weights;
  const { scenarios, everyday, trained } = await readSets(options);
  const { executor } = await openTrainingExecutor({ executor: 'onnx' });
  const { replyTokensMax } = config.train;
  try {
    const measures = await measure.measureWeights({
      model,
      executor,
      renderer: tokenizer,
      controlIds: tokenizer.controlIds,
      parent: await load(parentDeltas),
      candidate: await load(deltas),
      base: await load([]),
      ...(options.deaf === undefined ? {} : { deaf: await load([...parentDeltas, options.deaf]) }),
      trained,
      scenarios,
      everyday,
      limits: { windowTokens: model.windowTokens, replyTokensMax },
      statistics: { resamples: config.measure.resamples },
      onProgress: (done, total) => process.stderr.write(`measured ${done} of ${total} parts\n`),
    });
    const verdict =
      options.delta === undefined
        ? {}
        : { verdict: firstNightVerdict(measures, trained, config.gate) };
    if (options.replies === 0) return { measures, ...verdict };
    const chosen = firstOfEachKind(scenarios, options.replies);
    const reply = (paths: readonly string[]) => repliesOf(chosen, paths, { modelDir, cacheDir });
    return {
      measures,
      ...verdict,
      replies: { before: await reply(parentDeltas), after: await reply(deltas) },
    };
  } finally {
    await executor.close();
  }
}

/** What is measured on, what tells of forgetting, and what was trained on. */
async function readSets({ on, everyday, trained }: EvalOptions) {
  const { readScenarios } = await import('../../scenario/file.ts');
  const scenarios = (await Promise.all(on.map((path) => readScenarios(path)))).flat();
  return {
    scenarios,
    everyday:
      everyday === undefined
        ? scenarios.filter(({ kind }) => kind === 'ordinary')
        : await readScenarios(everyday),
    trained: trained === undefined ? [] : await readScenarios(trained),
  };
}

/** Deltas that load are finite and hold query projections only. */
function firstNightVerdict(
  measures: Measures,
  trained: readonly Scenario[],
  settings: GateSettings,
): GateVerdict {
  const { gate, realMinusDeaf, retention } = measures;
  const evidence = {
    ...gate,
    ...(realMinusDeaf === undefined ? {} : { realMinusDeaf }),
    perplexityParent: retention.parent.perplexity,
    perplexityBase: retention.base.perplexity,
    sources: new Set(trained.map(({ source }) => source.cluster)).size,
    isFinite: true,
    isOnlyQueryMoved: true,
    night: 1,
    passedNights: [],
  };
  return decideGate(evidence, settings);
}

function firstOfEachKind(all: readonly Scenario[], count: number): Scenario[] {
  const seen = new Map<string, number>();
  return all.filter(({ kind }) => {
    const number = (seen.get(kind) ?? 0) + 1;
    seen.set(kind, number);
    return number <= count;
  });
}

async function repliesOf(
  scenarios: readonly Scenario[],
  deltas: readonly string[],
  places: { modelDir: string; cacheDir: string },
): Promise<FreeReply[]> {
  const [{ createEngine }, { createOnnxExecutor }, { freeReplies }, { loadTokenizer }] =
    await Promise.all([
      import('../../engine/in-process-engine.ts'),
      import('../../runtime/onnx.ts'),
      import('../../measure/free-replies.ts'),
      import('../../tokenizer/tokenizer.ts'),
    ]);
  const executor = await createOnnxExecutor({ device: 'cpu' });
  const version = { id: 'measured', deltas };
  const engine = await createEngine({ ...places, executor, version });
  try {
    const tokenizer = await loadTokenizer(places.modelDir);
    return await freeReplies(scenarios, { engine, tokenizer, replyTokensMax: 64 });
  } finally {
    await engine.close();
  }
}

async function writeMaps(folder: string, { attention }: Measures): Promise<void> {
  const { changeMapSvg } = await import('../../measure/map-svg.ts');
  await mkdir(folder, { recursive: true });
  for (const [name, change] of Object.entries(attention)) {
    const title = `Attention lift on ${change.feature}, after − before`;
    const svg = changeMapSvg(title, change.before, change.after);
    await writeFile(join(folder, `${name}.svg`), svg);
  }
}
