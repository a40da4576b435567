#!/usr/bin/env node
// The `attune` command: each command registers itself; errors become one sentence and an exit code.
import { Command } from 'commander';
import { registerChat } from './chat.ts';
import { registerConfig } from './config.ts';
import { registerDemo } from './demo.ts';
import { registerDoctor } from './doctor.ts';
import { registerEval } from './eval.ts';
import { registerExport } from './export.ts';
import { registerGenerate } from './generate.ts';
import { registerImport } from './import.ts';
import { registerInspect } from './inspect.ts';
import { registerMemory } from './memory.ts';
import { registerNight } from './night.ts';
import { registerPull } from './pull.ts';
import { registerReplay } from './replay.ts';
import { reportError } from './report.ts';
import { registerStart } from './start.ts';
import { registerTrain } from './train.ts';

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
  registerMemory,
  registerTrain,
  registerEval,
  registerDemo,
  registerGenerate,
  registerInspect,
  registerDoctor,
  registerPull,
]) {
  register(program);
}

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = reportError(error);
}
