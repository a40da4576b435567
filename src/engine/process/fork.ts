// Starts the engine's process, which then waits to be told what to open; it knows no engine.
import { type ChildProcess, fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { withHugePages } from '../../base/huge-pages.ts';

/** The compiled entry: beside this file in dist/, or in dist/ when this runs from src/. */
function defaultEntry(): string {
  const beside = fileURLToPath(new URL('./child.js', import.meta.url));
  if (existsSync(beside)) return beside;
  return fileURLToPath(new URL('../../../dist/engine/process/child.js', import.meta.url));
}

/** A process without an engine yet. It ends with this one, or with `kill`. */
export function forkEngine(entry = defaultEntry()): ChildProcess {
  const child = fork(entry, [], {
    env: withHugePages(process.env),
    serialization: 'advanced', // typed arrays cross as they are
    stdio: ['ignore', 2, 2, 'ipc'], // our standard output belongs to the reply
  });
  // Whoever opens an engine in it is told of its end, however that came.
  return child.on('error', () => undefined);
}
