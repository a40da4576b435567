// Starts the engine's process, which then waits to be told what to open; it knows no engine.
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { compiledEntry } from '../../base/compiled.ts';
import { withHugePages } from '../../base/huge-pages.ts';

/** A process without an engine yet. It ends with this one, or with `kill`. */
export function forkEngine(
  entry = fileURLToPath(compiledEntry('engine/process/child.js')),
): ChildProcess {
  const child = fork(entry, [], {
    env: withHugePages(process.env),
    serialization: 'advanced', // typed arrays cross as they are
    stdio: ['ignore', 2, 2, 'ipc'], // our standard output belongs to the reply
  });
  // Whoever opens an engine in it is told of its end, however that came.
  return child.on('error', () => undefined);
}
