// `attune eval`: measures weights on scenarios against their parent, as a page to read or as JSON.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Config } from '../../config/schema.ts';
import type { GateVerdict } from '../../measure/gate.ts';
import type { MeasuredWeights, Measures } from '../../measure/measure.ts';
import type { MeasuredScenarios } from '../../measure/measuring-set.ts';
import type { FreeReply } from '../../measure/reply-change.ts';
import type { Model } from '../../model/model.ts';
import type { Scenario } from '../../scenario/scenario.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { type Evaluation, measuresText } from './eval-text.ts';
import { addModelOptions, findModel, type ModelOptions, wholeBetween } from './model-options.ts';

interface EvalOptions extends ModelOptions {
  readonly delta?: readonly string[];
  readonly parent?: readonly string[];
  readonly placebo?: string;
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
    .option('--placebo <file>', 'delta of the placebo, on top of the parent')
    .option('--everyday <file>', 'ordinary scenarios for retention (default: those of --on)')
    .option('--trained <file>', 'scenarios that the delta was trained on, for breadth and KL')
    .option('--replies <number>', 'free replies of each kind to check', wholeBetween(0, 10_000), 0)
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
  const [{ readModel }, { loadVersion }, { loadTokenizer }] = await Promise.all([
    import('../../model/model.ts'),
    import('../../model/versions.ts'),
    import('../../tokenizer/tokenizer.ts'),
  ]);
  const model = await readModel(modelDir, { cacheDir });
  const tokenizer = await loadTokenizer(modelDir);
  const parent = options.parent ?? [];
  const deltas = options.delta ?? parent;
  const load = async (paths: readonly string[]) => (await loadVersion(model, paths)).weights;
  const sets = await readSets(options);
  const weights = {
    parent: await load(parent),
    candidate: await load(deltas),
    base: await load([]),
    ...(options.placebo === undefined ? {} : { placebo: await load([...parent, options.placebo]) }),
  };
  const measures = await measured(model, tokenizer, { sets, weights, config });
  const { delta } = options;
  const verdict = delta && (await firstNightVerdict(measures, delta, { sets, config }));
  if (options.replies === 0) return { measures, verdict };
  const chosen = firstOfEachKind(sets.scenarios, options.replies);
  const reply = (paths: readonly string[]) => repliesOf(chosen, paths, { modelDir, cacheDir });
  const replies = { before: await reply(parent), after: await reply(deltas) };
  return { measures, verdict, replies };
}

interface Measured {
  readonly sets: Required<MeasuredScenarios>;
  readonly weights: MeasuredWeights;
  readonly config: Config;
}

async function measured(
  model: Model,
  tokenizer: Tokenizer,
  { sets, weights, config }: Measured,
): Promise<Measures> {
  const [{ openTrainingExecutor }, reading, contexts, { renderMeasuringSet }, measure] =
    await Promise.all([
      import('../../runtime/device.ts'),
      import('../../reading/reader.ts'),
      import('../../reading/kept-contexts.ts'),
      import('../../measure/measuring-set.ts'),
      import('../../measure/measure.ts'),
    ]);
  const { replyTokensMax, contextCacheBytesMax } = config.train;
  const limits = { windowTokens: model.windowTokens, replyTokensMax };
  const { executor } = await openTrainingExecutor({ executor: 'onnx' });
  const reader = contexts.keepContexts(
    reading.createReader({ model, executor }),
    contextCacheBytesMax,
  );
  try {
    return await measure.measureWeights(
      renderMeasuringSet(sets, { renderer: tokenizer, limits }),
      weights,
      {
        reader,
        controlIds: tokenizer.controlIds,
        statistics: { resamples: config.measure.resamples },
        onProgress: (done, total) => process.stderr.write(`measured ${done} of ${total} parts\n`),
      },
    );
  } finally {
    await reader.close();
    await executor.close();
  }
}

/** What is measured on, what tells of forgetting, and what was trained on. */
async function readSets(options: EvalOptions): Promise<Required<MeasuredScenarios>> {
  const { readScenarios } = await import('../../scenario/file.ts');
  const read = async (paths: readonly string[]): Promise<Scenario[]> =>
    (await Promise.all(paths.map((path) => readScenarios(path)))).flat();
  const scenarios = await read(options.on);
  const everyday = options.everyday && (await readScenarios(options.everyday));
  return {
    scenarios,
    everyday: everyday || scenarios.filter(({ kind }) => kind === 'ordinary'),
    trained: await read(options.trained ? [options.trained] : []),
  };
}

/** As if what was measured were the ledger's first night. */
async function firstNightVerdict(
  measures: Measures,
  paths: readonly string[],
  { sets, config }: Pick<Measured, 'sets' | 'config'>,
): Promise<GateVerdict> {
  const [{ decideGate, gateEvidence }, { readDelta }] = await Promise.all([
    import('../../measure/gate.ts'),
    import('../../model/delta.ts'),
  ]);
  const deltas = await Promise.all(paths.map((path) => readDelta(path)));
  const tensors = Object.fromEntries(deltas.flatMap((delta) => Object.entries(delta.tensors)));
  const sources = new Set(sets.trained.map(({ source }) => source.cluster)).size;
  const night = { tensors, sources, night: 1, passedNights: [] };
  return decideGate(gateEvidence(measures, night), config.gate);
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
  paths: { modelDir: string; cacheDir: string },
): Promise<FreeReply[]> {
  const [{ createEngine }, { createOnnxExecutor }, { freeReplies }, { loadTokenizer }] =
    await Promise.all([
      import('../../engine/in-process-engine.ts'),
      import('../../runtime/onnx.ts'),
      import('../../measure/reply-change.ts'),
      import('../../tokenizer/tokenizer.ts'),
    ]);
  const executor = await createOnnxExecutor({ device: 'cpu' });
  const version = { id: 'measured', deltas };
  const engine = await createEngine({ ...paths, executor, version });
  try {
    const tokenizer = await loadTokenizer(paths.modelDir);
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
