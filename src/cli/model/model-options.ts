// The options of the commands that run a model themselves, and the folders they resolve to.
import { join, resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { loadConfig } from '../../config/load.ts';
import type { Config } from '../../config/schema.ts';
import { namedModel } from '../../model/local/resolve-model.ts';
import { reportWarnings } from '../report.ts';

export interface ModelOptions {
  readonly model?: string;
  readonly config?: string;
}

export interface ModelPlaces {
  readonly config: Config;
  readonly modelDir: string;
  /** For widened weights and hashes. */
  readonly cacheDir: string;
}

export function addModelOptions(command: Command): Command {
  return command
    .option('--model <model>', 'folder, GGUF file or name (see `attune models`)')
    .option('--config <file>', 'configuration file');
}

/** @param assignments `section.key=value` @throws config-invalid */
export async function findModel(
  options: ModelOptions,
  assignments: readonly string[] = [],
): Promise<ModelPlaces> {
  const { config, warnings } = await loadConfig({
    ...(options.config === undefined ? {} : { file: options.config }),
    environment: process.env,
    assignments,
  });
  reportWarnings(warnings);
  return {
    config,
    modelDir: await namedModel(options.model ?? config.model.path, config.store.path),
    cacheDir: join(resolve(config.store.path), 'cache'),
  };
}

/** Parses a number between two bounds, both included. */
export function numberBetween(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a number between ${least} and ${most}.`);
  };
}

/** Parses a whole number between two bounds, both included. */
export function wholeBetween(least: number, most: number): (text: string) => number {
  const parse = numberBetween(least, most);
  return (text) => {
    const value = parse(text);
    if (Number.isInteger(value)) return value;
    throw new InvalidArgumentError('It must be a whole number.');
  };
}
