// `attune start`: runs the daemon until it is told to stop.
import type { Command } from 'commander';
import { forkEngine } from '../engine/process/fork.ts';
import { isDemonstration } from '../protocol/demonstration.ts';
import { reportWarnings } from './report.ts';

interface StartOptions {
  readonly config?: string;
  readonly set?: readonly string[];
}

/** Weights are hashed and widened once a model; with large ones that takes minutes. */
const LOADING_IS_TOLD_MS = 2_000;

export function registerStart(program: Command): void {
  program
    .command('start')
    .description('run the daemon (Ctrl-C or SIGTERM ends it in good order)')
    .option('--config <file>', 'configuration file')
    .option('--set <key=value...>', 'set a value, such as server.port=4747')
    .action(start);
}

async function start(options: StartOptions): Promise<void> {
  // The engine's process reads its code while this one reads its own.
  const engineProcess = forkEngine();
  try {
    await run(options, engineProcess);
  } catch (error) {
    engineProcess.kill();
    throw error;
  }
}

async function run(
  { config: file, set: assignments = [] }: StartOptions,
  engineProcess: ReturnType<typeof forkEngine>,
): Promise<void> {
  const [{ loadConfig }, { startDaemon }] = await Promise.all([
    import('../config/load.ts'),
    import('../main.ts'),
  ]);
  const named = file === undefined ? {} : { file };
  const loaded = await loadConfig({ ...named, environment: process.env, assignments });
  reportWarnings(loaded.warnings);
  const { config } = loaded;
  const patience = setTimeout(() => {
    const { path } = config.model;
    process.stdout.write(`Loading ${path}; the first start with a model takes the longest.\n`);
  }, LOADING_IS_TOLD_MS);
  const started = startDaemon(config, { engineProcess });
  const running = await started.finally(() => clearTimeout(patience));
  const stop = (): void => {
    void running.close().then(() => process.exit(0));
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  const { modelId, parameters } = running.daemon.watch.view();
  process.stdout.write(`Attune is ready with ${nameModel(modelId, parameters)}.\n`);
  const { url } = running;
  process.stdout.write(`  In the browser:  ${url}\n  In the terminal: ${chatCommand(url)}\n`);
}

/** Where somebody else looks for a daemon, if nothing tells them otherwise. */
const USUAL_URL = 'http://127.0.0.1:4747';

/** What to type in another terminal, which knows nothing of this one's environment and options. */
export function chatCommand(url: string): string {
  return url === USUAL_URL ? 'npx attune chat' : `npx attune chat --url ${url}`;
}

/** The model as a person is told of it; one as small as the companion is named a demonstration. */
export function nameModel(modelId: string | null, parameters: number | null): string {
  const name = modelId ?? 'a model';
  if (parameters === null || !isDemonstration(parameters)) return name;
  const size = `${Math.max(1, Math.round(parameters / 1e6))}M`;
  const advice = '`npx attune pull` brings one worth talking to';
  return `${name}, the ${size} demonstration model; ${advice}`;
}
