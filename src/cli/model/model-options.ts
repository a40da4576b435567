// The options of the commands that run a model themselves, and the folders they resolve to.
import { join, resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { Config } from '../../config/schema.ts';
import { namedModel } from '../../model/local/resolve-model.ts';
import { type ConfigOptions, readConfig } from '../configuration.ts';

export interface ModelOptions extends ConfigOptions {
  readonly model?: string;
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

/** @throws config-invalid, model-not-found */
export async function findModel(options: ModelOptions): Promise<ModelPlaces> {
  const { config } = await readConfig(options);
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
