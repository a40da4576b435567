// `attune listen-test`: whether a model hears what the person decided, on any server or on a file.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { AttuneError } from '../../base/errors.ts';
import { installationFolder } from '../../config/load.ts';
import type { Listener } from '../../listen/listener.ts';
import type { SceneMessage } from '../../listen/scene.ts';
import type { Part } from '../../listen/suite.ts';
import { SEED_MAX } from '../../protocol/sampling.ts';
import {
  addModelOptions,
  findModel,
  type ModelOptions,
  numberBetween,
  wholeBetween,
} from './model-options.ts';

export interface ListenTestOptions extends ModelOptions {
  readonly url?: string;
  readonly keyEnv?: string;
  readonly template?: string;
  readonly delta?: readonly string[];
  readonly part: Exclude<Part, 'release'>;
  readonly release?: boolean;
  readonly full?: boolean;
  readonly seed: number;
  readonly minutes: number;
  readonly replyTokens: number;
  readonly parallel?: number;
  readonly json?: string;
  readonly html?: string;
}

/** The engine batches what is asked at once. */
const FILE_PARALLEL = 4;
const SUITE = join(installationFolder, 'suites', 'listen');

export function registerListenTest(program: Command): void {
  addModelOptions(program.command('listen-test'))
    .description('test whether a model does what the person decided: on any server, or a file')
    .option('--url <address>', 'server, such as http://127.0.0.1:11434/v1; --model is a name there')
    .option('--key-env <name>', 'environment variable that holds the key of the server')
    .option('--template <model>', "folder or GGUF file with the server's chat template")
    .option('--delta <file...>', 'deltas of nights, applied to the file that is tested, in order')
    .addOption(
      new Option('--part <part>', 'results are reported on judge')
        .choices(['develop', 'judge'])
        .default('judge'),
    )
    .option('--release', 'open the part that is kept for a release; each look at it uses it up')
    .option('--full', 'all pairs and all wordings instead of a sample')
    .option('--seed <number>', 'the same seed gives the same scenes', wholeBetween(0, SEED_MAX), 1)
    .option('--minutes <number>', 'time that the sample may take', numberBetween(0.01, 10_000), 10)
    .option('--reply-tokens <number>', 'most tokens of a reply', wholeBetween(1, 4096), 48)
    .option(
      '--parallel <number>',
      'pairs that are asked at once; 1 of a server, 4 of a file',
      wholeBetween(1, 64),
    )
    .option('--json <file>', 'write all numbers and replies')
    .option('--html <file>', 'write a page with plots')
    .action(async (options: ListenTestOptions) => listenTest(options));
}

async function listenTest(options: ListenTestOptions): Promise<void> {
  const listener = await openListener(options);
  const stop = new AbortController();
  const abort = (): void => stop.abort(new AttuneError('aborted', 'the test was stopped'));
  process.once('SIGINT', abort);
  try {
    await testListener(listener, { ...options, signal: stop.signal });
  } finally {
    process.off('SIGINT', abort);
    await listener.close();
  }
}

interface TestOptions extends ListenTestOptions {
  readonly signal: AbortSignal;
}

/** Runs, prints and writes. */
async function testListener(listener: Listener, options: TestOptions): Promise<void> {
  const [{ readSuite }, { generatePairs, inBalancedOrder }, { runListeningTest }, report] =
    await Promise.all([
      import('../../listen/suite.ts'),
      import('../../listen/generate.ts'),
      import('../../listen/run.ts'),
      import('../../listen/report.ts'),
    ]);
  const { seed, full: isFull = false, minutes, signal } = options;
  const { parallel = options.url === undefined ? FILE_PARALLEL : 1 } = options;
  const part = options.release ? 'release' : options.part;
  const pairs = generatePairs(await readSuite(SUITE, part), seed);
  const outcomes = await runListeningTest(inBalancedOrder(pairs, seed), {
    listener,
    timeMs: isFull ? Number.POSITIVE_INFINITY : minutes * 60_000,
    isFull,
    parallel,
    signal,
    onPair: showProgress,
  });
  const found = report.reportOf(outcomes, {
    model: listener.name,
    part,
    seed,
    minutes: isFull ? null : minutes,
    date: new Date().toISOString().slice(0, 10),
    pairsThere: pairs.length,
    likelihood: listener.likelihood,
    notices: listener.notices,
  });
  if (options.json !== undefined) {
    await writeFile(options.json, `${JSON.stringify(found, null, 1)}\n`);
  }
  if (options.html !== undefined) {
    const style = await readFile(join(SUITE, 'page.css'), 'utf8');
    await writeFile(options.html, report.reportPage(found, style));
  }
  process.stdout.write(report.reportText(found));
}

function showProgress({ pass, pairs }: { pass: string; pairs: number }): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${pass}: ${pairs} pairs`);
  else if (pairs % 10 === 0) process.stderr.write(`${pass}: ${pairs} pairs\n`);
}

async function openListener(options: ListenTestOptions): Promise<Listener> {
  const { url, replyTokens: replyTokensMax } = options;
  if (url === undefined) return openModel(options);
  const { model, keyEnv, template, delta } = options;
  if (delta !== undefined) {
    throw new AttuneError('config-invalid', '--delta needs a model of this machine, not --url.');
  }
  if (model === undefined) {
    throw new AttuneError('config-invalid', '--url needs --model with the name of a model there.');
  }
  const key = keyEnv === undefined ? undefined : process.env[keyEnv];
  if (keyEnv !== undefined && key === undefined) {
    throw new AttuneError('config-invalid', `The environment has no ${keyEnv}.`);
  }
  const { openHttpListener } = await import('../../listen/http-listener.ts');
  return openHttpListener({
    url,
    model,
    replyTokensMax,
    ...(key === undefined ? {} : { key }),
    ...(template === undefined ? {} : { render: await templateOf(template) }),
  });
}

async function templateOf(path: string): Promise<(messages: readonly SceneMessage[]) => string> {
  const { loadTokenizer } = await import('../../tokenizer/tokenizer.ts');
  const tokenizer = await loadTokenizer(path);
  return (messages) => tokenizer.renderChat(messages, { addGenerationPrompt: true }).text;
}

async function openModel(options: ListenTestOptions): Promise<Listener> {
  const { modelDir, cacheDir, config } = await findModel(options);
  const [{ createEngine }, { openServingExecutor }, { createEngineListener }, { loadTokenizer }] =
    await Promise.all([
      import('../../engine/in-process-engine.ts'),
      import('../../runtime/device.ts'),
      import('../../listen/engine-listener.ts'),
      import('../../tokenizer/tokenizer.ts'),
    ]);
  const tokenizer = await loadTokenizer(modelDir);
  const { delta: deltas = [], replyTokens: replyTokensMax } = options;
  const { executor } = await openServingExecutor(config.engine);
  const version = deltas.length > 0 ? { id: 'with-deltas', deltas } : undefined;
  const engine = await createEngine({ ...config.engine, modelDir, cacheDir, executor, version });
  const { modelId } = await engine.describe();
  return createEngineListener({ engine, tokenizer, name: modelId, replyTokensMax });
}
