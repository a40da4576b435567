// `attune start`: runs the daemon until it is stopped.
import type { Command } from 'commander';
import { forkEngine } from '../engine/process/fork.ts';
import { isDemonstration } from '../protocol/demonstration.ts';
import type { ModelSuggestion } from '../protocol/server-message.ts';
import type { ConfigOptions } from './configuration.ts';

interface StartOptions extends ConfigOptions {
  readonly model?: string;
}

/** The first start with a model hashes and widens its weights: minutes where they are large. */
const LOADING_NOTE_AFTER_MS = 2_000;

export function registerStart(program: Command): void {
  program
    .command('start')
    .description('run the daemon (Ctrl-C or SIGTERM shuts it down cleanly)')
    .option('--config <file>', 'configuration file')
    .option('--model <model>', 'folder, GGUF file or name (see `attune models`)')
    .option('--set <key=value...>', 'set a value, such as server.port=4747')
    .action(start);
}

async function start(options: StartOptions): Promise<void> {
  // The engine's process loads its code while this one loads its own.
  const engineProcess = forkEngine();
  try {
    await run(options, engineProcess);
  } catch (error) {
    engineProcess.kill();
    throw error;
  }
}

async function run(
  { model, set = [], ...options }: StartOptions,
  engineProcess: ReturnType<typeof forkEngine>,
): Promise<void> {
  const [{ readConfig }, { startDaemon }] = await Promise.all([
    import('./configuration.ts'),
    import('../main.ts'),
  ]);
  const named = model === undefined ? [] : [`model.path=${model}`];
  const { config } = await readConfig({ ...options, set: [...set, ...named] });
  const note = setTimeout(() => {
    const { path } = config.model;
    process.stdout.write(`Loading ${path}. The first start with a model takes longest.\n`);
  }, LOADING_NOTE_AFTER_MS);
  const starting = startDaemon(config, { engineProcess });
  const daemon = await starting.finally(() => clearTimeout(note));
  const stop = (): void => {
    void daemon.close().then(() => process.exit(0));
  };
  // Whoever read the first lines may be gone; the daemon goes on.
  process.stdout.on('error', () => undefined);
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  const { modelId, parameters, notices } = daemon.watch.view();
  process.stdout.write(`Attune is ready with ${nameModel(modelId, parameters)}.\n`);
  for (const notice of notices) process.stdout.write(`  Note: ${notice}\n`);
  const { url } = daemon;
  process.stdout.write(`  In the browser:  ${url}\n  In the terminal: ${chatCommand(url)}\n`);
  if (!isDemonstration(parameters)) return;
  const { findSuggestion } = await import('./suggestion.ts');
  const suggestion = await findSuggestion(config);
  daemon.watch.suggest(suggestion);
  process.stdout.write(suggestionText(suggestion));
}

export function suggestionText({ model, command }: ModelSuggestion): string {
  const what =
    model === null
      ? 'To fetch a model worth talking to:'
      : `Worth talking to, and on this machine: ${model}`;
  return `\nThis model is a demonstration. ${what}\n  ${command}\n`;
}

/** Where a client looks for the daemon by default. */
const DEFAULT_URL = 'http://127.0.0.1:4747';

/** The command for another terminal, which has not this one's environment and options. */
export function chatCommand(url: string): string {
  return url === DEFAULT_URL ? 'npx attune chat' : `npx attune chat --url ${url}`;
}

/** The name of the model for a person; the small companion is called a demonstration model. */
export function nameModel(modelId: string | null, parameters: number | null): string {
  const name = modelId ?? 'a model';
  if (parameters === null || !isDemonstration(parameters)) return name;
  const size = `${Math.max(1, Math.round(parameters / 1e6))}M`;
  return `${name}, the ${size} demonstration model`;
}
