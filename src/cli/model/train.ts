// `attune train`: trains the query projections on a file of scenarios, without daemon or night.
import { appendFile, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { sha256Json } from '../../base/hash.ts';
import type { Config } from '../../config/schema.ts';
import { fixed, percent } from '../../protocol/number-text.ts';
import { SEED_MAX } from '../../protocol/sampling.ts';
import type { StepRecord, TrainResult } from '../../train/train-settings.ts';
import { addModelOptions, findModel, type ModelOptions, wholeBetween } from './model-options.ts';

interface TrainCommandOptions extends ModelOptions {
  readonly examples: string;
  readonly hold?: string;
  readonly delta?: readonly string[];
  readonly placebo?: boolean;
  readonly seed: number;
  readonly out: string;
}

export function registerTrain(program: Command): void {
  addModelOptions(program.command('train'))
    .description('train the query projections on scenarios and write the delta')
    .requiredOption('--examples <file>', 'scenarios to train on, one JSON object per line')
    .option('--hold <file>', 'scenarios in which the model is to stay as it is')
    .option('--delta <file...>', 'deltas to start from, in this order')
    .option('--placebo', 'train the placebo of lessons that a night has written')
    .option('--seed <number>', 'the same seed gives the same delta', wholeBetween(0, SEED_MAX), 1)
    .option('--set <key=value...>', 'set a value, such as train.klPerStep=0.002')
    .requiredOption('--out <file>', 'the delta to write; its resume state is put beside it')
    .action((options: TrainCommandOptions) => train(options));
}

async function train(options: TrainCommandOptions): Promise<void> {
  const { config, modelDir, cacheDir } = await findModel(options);
  // Loaded here so that other commands start without the runtime.
  const [{ readModel }, { loadVersion }, { loadTokenizer }, { openTrainingExecutor }, parts] =
    await Promise.all([
      import('../../model/model.ts'),
      import('../../model/versions.ts'),
      import('../../tokenizer/tokenizer.ts'),
      import('../../runtime/device.ts'),
      loadTrainingParts(),
    ]);
  const model = await readModel(modelDir, { cacheDir });
  const before = await loadVersion(model, options.delta ?? []);
  const { executor, reason } = await openTrainingExecutor({ executor: config.train.executor });
  const scenarios = await parts.readScenarios(options.examples);
  const stop = new AbortController();
  const abort = (): void => stop.abort();
  process.once('SIGINT', abort);
  const show = reporter(options.out);
  process.stderr.write(
    `${scenarios.length} scenarios on ${executor.name} (${executor.device}, ${reason})\n`,
  );
  try {
    const { executor: _, ...settings } = config.train;
    const trainer = await parts.Trainer.open({
      ...{ model, executor, settings, seed: options.seed, startFrom: before.weights },
      renderer: await loadTokenizer(modelDir),
      signal: stop.signal,
    });
    const lessons = scenarios.map(parts.asLesson);
    const { stepsMax, minutesMax } = config.night;
    const result = await trainer
      .train({
        lessons: options.placebo === true ? parts.placeboLessons(lessons) : lessons,
        holds: options.hold === undefined ? [] : await parts.readScenarios(options.hold),
        ...{ stepsMax, minutesMax },
        resumePath: `${options.out}.checkpoint`,
        onStep: show.step,
      })
      .finally(() => trainer.close());
    await show.end();
    await finish(result, { options, baseHash: model.baseHash, parent: before.id, settings });
  } finally {
    process.off('SIGINT', abort);
    await executor.close();
  }
}

async function loadTrainingParts() {
  const [{ Trainer }, { placeboLessons }, { asLesson }, { readScenarios }] = await Promise.all([
    import('../../train/trainer.ts'),
    import('../../teach/teach.ts'),
    import('../../teach/teacher.ts'),
    import('../../scenario/file.ts'),
  ]);
  return { Trainer, placeboLessons, asLesson, readScenarios };
}

/** A line that moves on a terminal; one JSON line a step in `<out>.steps.jsonl`, in order. */
function reporter(out: string): { step: (record: StepRecord) => void; end: () => Promise<void> } {
  let written: Promise<unknown> = Promise.resolve();
  return {
    step(record) {
      written = written.then(() => appendFile(`${out}.steps.jsonl`, `${JSON.stringify(record)}\n`));
      const { step, steps, teacherKl, holdKl, seconds } = record;
      const cells = '#'.repeat(Math.round((20 * step) / steps)).padEnd(20, '.');
      const left = Math.ceil((seconds / step) * (steps - step));
      const held = holdKl === null ? '' : `, to the start where it holds ${fixed(holdKl)}`;
      const line = `[${cells}] ${step}/${steps} KL to the teacher ${fixed(teacherKl)}${held} ${left} s left`;
      process.stderr.write(process.stderr.isTTY ? `\r\u001b[K${line}` : `${line}\n`);
    },
    async end() {
      await written;
      if (process.stderr.isTTY) process.stderr.write('\n');
    },
  };
}

interface FinishParts {
  readonly options: TrainCommandOptions;
  readonly baseHash: string;
  readonly parent: string;
  readonly settings: Omit<Config['train'], 'executor'>;
}

/** Writes the delta and, beside it, the manifest that says how it came about. */
async function finish(result: TrainResult, parts: FinishParts): Promise<void> {
  const { options, baseHash, parent, settings } = parts;
  const arm = options.placebo === true ? 'placebo' : 'real';
  if (result.stop === 'aborted') {
    process.stderr.write(`Stopped after step ${result.steps}; run the same command to continue.\n`);
    process.exitCode = 1;
    return;
  }
  const { writeDelta } = await import('../../model/delta.ts');
  const tensors = result.delta;
  const hash = await writeDelta(options.out, { baseHash, tensors, metadata: { arm } });
  const { weights: _, delta: __, refused, ...told } = result;
  const manifest = {
    schema: 1,
    delta: hash,
    base: baseHash,
    parent,
    parentDeltas: options.delta ?? [],
    arm,
    seed: options.seed,
    settings,
    settingsHash: sha256Json(settings),
    matrices: Object.keys(tensors),
    ...told,
    refused,
  };
  await writeFile(`${options.out}.json`, `${JSON.stringify(manifest, null, 2)}\n`);
  for (const { reason } of refused) process.stderr.write(`left out: ${reason}\n`);
  process.stdout.write(
    `${options.out}: ${result.steps} steps, W_q moved ${percent(result.movedShare, 1)}, ` +
      `ended by ${result.stop}\n`,
  );
}
