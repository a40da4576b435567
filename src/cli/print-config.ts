// `attune config`: the values in force, from file, environment and options, with secrets masked.
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { maskSecrets } from '../base/redact.ts';
import { loadConfig } from '../config/load.ts';

interface ConfigOptions {
  readonly config?: string;
  readonly set?: readonly string[];
  readonly json?: boolean;
}

export function registerConfig(program: Command): void {
  program
    .command('config')
    .description('print the configuration that is in force')
    .option('--config <file>', 'configuration file')
    .option('--set <key=value...>', 'try a value')
    .option('--json', 'as JSON')
    .action(async (options: ConfigOptions) => {
      process.stdout.write(await printConfig(options, process.env));
    });
}

/** @throws config-invalid */
export async function printConfig(
  options: ConfigOptions,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  const { config, file } = await loadConfig({
    ...(options.config === undefined ? {} : { file: options.config }),
    environment,
    assignments: options.set ?? [],
  });
  const masked = maskSecrets(config);
  if (options.json) return `${JSON.stringify(masked, null, 2)}\n`;
  return `# ${file ?? 'no file: defaults'}\n${stringify(masked)}`;
}
