// Versions of what made a night, for its manifest.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { installationFolder } from '../config/load.ts';
import type { Executor } from '../runtime/executor.ts';

export function software({ executor }: { executor: Executor }): Record<string, string> {
  return {
    attune: versionIn(join(installationFolder, 'package.json')),
    node: process.version,
    executor: `${executor.name} on ${executor.device}`,
    platform: `${process.platform} ${process.arch}`,
  };
}

/** The version a package.json names. */
export function versionIn(path: string): string {
  const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version?: unknown };
  return typeof version === 'string' ? version : 'unknown';
}
