// `attune start`: runs the daemon until it is told to stop.
import type { Command } from 'commander';
import { loadConfig } from '../config/load.ts';

interface StartOptions {
  readonly config?: string;
  readonly set?: readonly string[];
}

export function registerStart(program: Command): void {
  program
    .command('start')
    .description('run the daemon (Ctrl-C or SIGTERM ends it in good order)')
    .option('--config <file>', 'configuration file')
    .option('--set <key=value...>', 'set a value, such as server.port=4747')
    .action(start);
}

async function start(options: StartOptions): Promise<void> {
  const { config } = await loadConfig({
    ...(options.config === undefined ? {} : { file: options.config }),
    environment: process.env,
    assignments: options.set ?? [],
  });
  const { startDaemon } = await import('../main.ts'); // heavy: only when it is needed
  const running = await startDaemon(config);
  const stop = (): void => {
    void running.close().then(() => process.exit(0));
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  const { modelId } = running.daemon.watch.view();
  process.stdout.write(
    `Attune is ready with ${modelId}.\n  In the browser:  ${running.url}\n` +
      `  In the terminal: attune chat\n`,
  );
}
