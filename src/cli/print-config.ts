// `attune config`: the active values, each with where it came from, secrets masked.
import type { Command } from 'commander';
import { Document, isScalar } from 'yaml';
import { maskSecrets } from '../base/redact.ts';
import type { LoadedConfig } from '../config/load.ts';
import { namedModel } from '../model/local/resolve-model.ts';
import { resolveSampling, SAMPLING_NAMES } from '../protocol/sampling.ts';
import { readGenerationConfig } from '../tokenizer/generation-config.ts';
import { type ConfigOptions, readConfig } from './configuration.ts';

interface PrintOptions extends ConfigOptions {
  readonly json?: boolean;
}

export function registerConfig(program: Command): void {
  program
    .command('config')
    .description('print the active configuration, and where each value came from')
    .option('--config <file>', 'configuration file')
    .option('--set <key=value...>', 'print with this value set')
    .option('--json', 'print JSON')
    .action(async (options: PrintOptions) => {
      process.stdout.write(await printConfig(options, process.env));
    });
}

/** @throws config-invalid, tokenizer-invalid (the model's generation_config.json) */
export async function printConfig(
  options: PrintOptions,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  const loaded = await readConfig(options, environment);
  const { config } = loaded;
  const model = await readGenerationConfig(await namedModel(config.model.path, config.store.path));
  const sampling = resolveSampling([model.sampling, config.chat.sampling]);
  const active = maskSecrets({ ...config, chat: { ...config.chat, sampling } });
  if (options.json) return `${JSON.stringify(active, null, 2)}\n`;
  const sources = new Map(loaded.sources);
  for (const name of SAMPLING_NAMES) {
    const key = `chat.sampling.${name}`;
    if (!sources.has(key) && model.sampling[name] !== undefined) sources.set(key, 'the model');
  }
  return annotated(active, { ...loaded, sources });
}

/** As YAML; behind a value stands who gave it, behind a default nothing. */
function annotated(active: unknown, { file, sources }: LoadedConfig): string {
  const document = new Document(active);
  document.commentBefore = ` ${file ?? 'no file'}`;
  for (const [key, source] of sources) {
    const node = document.getIn(key.split('.'), true);
    if (isScalar(node)) node.comment = source === file ? ' file' : ` ${source}`;
  }
  return String(document);
}
