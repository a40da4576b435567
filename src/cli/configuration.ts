// The configuration that the options of a command name; what is odd about it is told on the way.
import { type LoadedConfig, loadConfig } from '../config/load.ts';
import { reportWarnings } from './report.ts';

export interface ConfigOptions {
  /** The file. */
  readonly config?: string | undefined;
  /** `section.key=value`. */
  readonly set?: readonly string[] | undefined;
}

/** @throws config-invalid */
export async function readConfig(
  { config: file, set }: ConfigOptions,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<LoadedConfig> {
  const loaded = await loadConfig({ file, environment, assignments: set });
  reportWarnings(loaded.warnings);
  return loaded;
}
