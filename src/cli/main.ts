#!/usr/bin/env node
// The `attune` command: each command registers itself; errors become one sentence and an exit code.
import { Command } from 'commander';
import { isAttuneError } from '../base/errors.ts';
import { registerChat } from './chat.ts';
import { registerConfig } from './config.ts';
import { registerExport } from './export.ts';
import { registerImport } from './import.ts';
import { registerNight } from './night.ts';
import { registerReplay } from './replay.ts';
import { registerStart } from './start.ts';

const program = new Command('attune').description(
  'A daemon around a local chat model that learns, night by night, to listen.',
);
for (const register of [
  registerStart,
  registerChat,
  registerReplay,
  registerImport,
  registerExport,
  registerConfig,
  registerNight,
]) {
  register(program);
}

try {
  await program.parseAsync();
} catch (error) {
  if (!isAttuneError(error)) throw error;
  process.stderr.write(`${error.message} (${error.code})\n`);
  process.exitCode = 1;
}
