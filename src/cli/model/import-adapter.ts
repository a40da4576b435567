// `attune import-adapter PATH`: whether somebody's adapter moves W_q alone, and what the gate says.
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { systemClock } from '../../base/clock.ts';
import { AttuneError } from '../../base/errors.ts';
import { systemFileOps } from '../../base/file-ops.ts';
import { configHash, installationFolder } from '../../config/load.ts';
import { nightId } from '../../ledger/manifest.ts';
import type { LowRankDelta } from '../../model/delta.ts';
import type { Model } from '../../model/model.ts';
import { GREEDY } from '../../protocol/sampling.ts';
import type { NightPlan } from '../../record/message.ts';
import type { Verdict } from '../../record/phase-result.ts';
import { judgingSuites } from '../../work/suite.ts';
import { say } from '../report.ts';
import {
  addModelOptions,
  findModel,
  type ModelOptions,
  type ModelPlaces,
} from './model-options.ts';

interface ImportOptions extends ModelOptions {
  readonly to?: string;
  readonly gate: boolean;
}

export function registerImportAdapter(program: Command): void {
  addModelOptions(program.command('import-adapter <path>'))
    .description(
      'whether a LoRA of PEFT or llama.cpp moves W_q alone, and what the gate says of it',
    )
    .option('--to <file>', 'write it as a delta, for `listen-test --delta` and `export --delta`')
    .option('--no-gate', 'only look at what it moves')
    .action((path: string, options: ImportOptions) => importAdapter(path, options));
}

/** @throws model-unsupported (it moves others), delta-damaged (other shapes), model-damaged */
async function importAdapter(path: string, options: ImportOptions): Promise<void> {
  const places = await findModel(options);
  const { readModel } = await import('../../model/model.ts');
  const model = await readModel(places.modelDir, places);
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() === true;
  const tensors = isFolder
    ? await (await import('../../model/adapter/peft.ts')).readPeft(path)
    : await (await import('../../model/adapter/gguf-lora.ts')).readGgufLora(path, model);
  const folder = await mkdtemp(join(tmpdir(), 'attune-adapter-'));
  try {
    const { rankOf, writeDelta } = await import('../../model/delta.ts');
    const rank = Math.max(0, ...Object.values(tensors).map(rankOf));
    const { loadVersion } = await import('../../model/versions.ts');
    const delta = options.to ?? join(folder, 'checked.safetensors');
    await writeDelta(delta, { baseHash: model.baseHash, tensors });
    await loadVersion(model, [delta]);
    say(
      `${path} moves W_q of ${Object.keys(tensors).length} layers, rank ${rank}, and nothing else.`,
    );
    if (!options.gate) return;
    const { passed, reasons } = await gate(tensors, model, { places, folder });
    for (const { rule, passes, text } of reasons)
      say(`${passes ? 'yes' : 'no '}  ${rule}: ${text}`);
    say(passed ? 'It passes the gate.' : 'It does not pass the gate.');
    if (!passed) process.exitCode = 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The gate of a first night on the base, in a folder that is thrown away. */
async function gate(
  tensors: Readonly<Record<string, LowRankDelta>>,
  model: Model,
  { places, folder: path }: { readonly places: ModelPlaces; readonly folder: string },
): Promise<Verdict> {
  const [{ gateAdapter }, { nightEngine }, { ChatPriority }, { loadTokenizer }, device] =
    await Promise.all([
      import('../../work/imported.ts'),
      import('../../work/night-engine.ts'),
      import('../../work/chat-priority.ts'),
      import('../../tokenizer/tokenizer.ts'),
      import('../../runtime/device.ts'),
    ]);
  const { config } = places;
  const startedAt = new Date(systemClock.now()).toISOString();
  const plan: NightPlan = {
    ...{
      night: nightId(1, startedAt.slice(0, 10)),
      number: 1,
      day: startedAt.slice(0, 10),
      startedAt,
    },
    ...{ modelDir: places.modelDir, cacheDir: places.cacheDir, ledgerFolder: path },
    ...judgingSuites(join(installationFolder, 'suites'), model.parameters),
    ...{ promptsFolder: '', base: model.baseHash, parent: null, inForce: [], deltas: [] },
    ...{ passedNights: [], seed: 1, config, sampling: GREEDY, configHash: configHash(config) },
  };
  const variables = { ...config.chat.templateVariables, enable_thinking: false };
  const tokenizer = await loadTokenizer(places.modelDir, { at: systemClock.now(), variables });
  const { threads } = config.engine;
  const { executor } = await device.openServingExecutor({ device: 'cpu', threads });
  const stop = new AbortController();
  const abort = (): void => stop.abort(new AttuneError('aborted', 'the import was stopped'));
  process.once('SIGINT', abort);
  try {
    const withEngine = nightEngine(plan, model);
    const priority = new ChatPriority(stop.signal);
    const night = { plan, folder: { path, ops: systemFileOps } };
    const tools = { model, tokenizer, executor, withEngine, priority };
    return await gateAdapter(night, tensors, tools, (done, total) => {
      if (process.stderr.isTTY) process.stderr.write(`\r\u001b[Kmeasured ${done} of ${total}`);
    });
  } finally {
    process.off('SIGINT', abort);
    await executor.close();
  }
}
