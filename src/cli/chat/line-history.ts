// The input history of `attune chat`, kept between sessions in a file that only its owner can read.
import { appendFileSync, chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

export interface LineHistory {
  /** Newest first, as they were when the file was opened. */
  readonly lines: readonly string[];
  /** Adds one line. */
  add(line: string): void;
}

const LINES_MAX = 500;
/** Longer lines were pasted rather than typed. */
const LINE_CHARACTERS_MAX = 4000;
const OWNER_ONLY = 0o600;

export function historyPath(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const state = environment.XDG_STATE_HOME || join(homedir(), '.local', 'state');
  return join(state, 'attune', 'chat-history');
}

/** Where the file cannot be read or written, the chat works without history. */
export function openLineHistory(path = historyPath()): LineHistory {
  const lines = readLines(path).slice(-LINES_MAX);
  attempt(() => {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(path, lines.map((line) => `${line}\n`).join(''), { mode: OWNER_ONLY });
    chmodSync(path, OWNER_ONLY);
  });
  return {
    lines: lines.reverse(),
    // Appended, so that two terminals keep the lines of both.
    add(line) {
      if (line.trim() === '' || line.length > LINE_CHARACTERS_MAX) return;
      attempt(() => appendFileSync(path, `${line}\n`, { mode: OWNER_ONLY }));
    },
  };
}

function readLines(path: string): string[] {
  let lines: string[] = [];
  attempt(() => {
    lines = readFileSync(path, 'utf8').split('\n').filter(Boolean);
  });
  return lines;
}

function attempt(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
  }
}
