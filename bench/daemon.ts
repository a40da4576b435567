// A daemon of a bench's own, as a person starts it; one that a killed bench left behind goes first.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Address } from '../src/cli/daemon.ts';

export interface BenchDaemon {
  readonly address: Address;
  close(): Promise<void>;
}

export interface DaemonOptions {
  readonly modelDir: string;
  readonly store: string;
  /** More settings, as `attune start --set` takes them. */
  readonly set: readonly string[];
}

const ORPHAN_WAIT_MS = 15_000;

/** No night comes by itself, and nothing is refused for coming too often. */
export async function startDaemon({ modelDir, store, set }: DaemonOptions): Promise<BenchDaemon> {
  const settings = [
    `store.path=${store}`,
    `model.path=${modelDir}`,
    'server.port=0',
    'server.limits.messagesPerMinuteMax=100000',
    'server.limits.requestsPerMinuteMax=100000',
    'night.isEnabled=false',
    'logger.level=warn',
    ...set,
  ];
  await mkdir(store, { recursive: true });
  const pidFile = join(store, 'bench-daemon.pid');
  await endOrphan(pidFile, store);
  const args = [join('dist', 'cli', 'main.js'), 'start', '--set', ...settings];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  await writeFile(pidFile, `${child.pid}`);
  const url = await addressOf(child);
  return {
    address: { url, token: '' },
    async close() {
      child.kill('SIGTERM');
      await ended;
      await rm(pidFile, { force: true });
    },
  };
}

export function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((found, failed) => {
    let output = '';
    child.stdout?.on('data', (piece: Buffer) => {
      output += piece.toString();
      const url = /http:\S+/.exec(output)?.[0];
      if (url !== undefined) found(url);
    });
    child.once('exit', (code) => failed(new Error(`the daemon ended with ${code}: ${output}`)));
  });
}

/** A bench that was killed could not end its daemon, which still holds the store. */
async function endOrphan(pidFile: string, store: string): Promise<void> {
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => ''));
  const isOurs = async (): Promise<boolean> => {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    return command.includes(`store.path=${store}`);
  };
  if (!(pid > 0) || !(await isOurs())) return;
  process.kill(pid, 'SIGTERM');
  for (const begun = Date.now(); Date.now() - begun < ORPHAN_WAIT_MS; ) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    if (!(await isOurs())) return;
  }
  throw new Error(`an earlier bench's daemon (${pid}) still holds ${store}; end it first`);
}
