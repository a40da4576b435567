// The real `attune chat` in a terminal of its own (a pseudo-terminal by way of `script`), as a
// person sits before it.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installationFolder } from '../../src/config/load.ts';

const SCRIPT = '/usr/bin/script';
const MAIN = join(installationFolder, 'dist', 'cli', 'main.js');

export const hasTerminal = process.platform === 'linux' && existsSync(SCRIPT) && existsSync(MAIN);

export const ENTER = '\r';
export const CTRL_C = '\u0003';
export const CTRL_D = '\u0004';

export interface TerminalWindow {
  /** What is on the screen, without colours and cursor movements. */
  text(): string;
  type(keys: string): void;
  /** Resolves with the exit code. */
  readonly ended: Promise<number | null>;
  close(): void;
}

export function openChat(url: string): TerminalWindow {
  const command = [process.execPath, MAIN, 'chat', '--url', url].join(' ');
  // Whoever runs the tests keeps their own history.
  const state = mkdtempSync(join(tmpdir(), 'attune-state-'));
  const child: ChildProcess = spawn(SCRIPT, ['-qefc', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, TERM: 'xterm', XDG_STATE_HOME: state },
  });
  child.once('exit', () => rmSync(state, { recursive: true, force: true }));
  let output = '';
  child.stdout?.on('data', (piece: Buffer) => {
    output += piece.toString();
  });
  return {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal acts on
    text: () => output.replace(/\u001b\[[\d;?]*[A-Za-z]/g, ''),
    type: (keys) => void child.stdin?.write(keys),
    ended: new Promise((resolve) => child.once('exit', resolve)),
    close: () => void child.kill('SIGKILL'),
  };
}
