#!/usr/bin/env node
// The `attune` program: runs the command that was called; an error becomes a line and an exit code.
import { createProgram } from './command-list.ts';
import { reportError } from './report.ts';

// `attune export | head`: whoever reads has had enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

try {
  const program = await createProgram(process.argv[2]);
  await program.parseAsync();
} catch (error) {
  process.exitCode = reportError(error);
}
