// A daemon for the clients, with a store that is thrown away.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const INSTALLATION = resolve(import.meta.dirname, '..');
/** The first start with a model prepares its weights. */
const START_MS = 300_000;

/**
 * @param more settings
 * @returns its address, and what ends it. @throws with what it said, when it does not start
 */
export async function startDaemon(model, more = []) {
  const store = mkdtempSync(join(tmpdir(), 'attune-clients-'));
  const settings = [
    `store.path=${store}`,
    'server.port=0',
    'server.limits.requestsPerMinuteMax=100000',
    'chat.replyTokensMax=24',
    'night.isEnabled=false',
    ...more,
  ];
  const main = join(INSTALLATION, 'dist', 'cli', 'main.js');
  const options = ['start', '--model', model, ...settings.flatMap((one) => ['--set', one])];
  const child = spawn(process.execPath, [main, ...options], {
    cwd: INSTALLATION,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise((done) => child.once('exit', done));
  const end = async () => {
    child.kill('SIGTERM');
    await ended;
    rmSync(store, { recursive: true, force: true });
  };
  let said = '';
  const ready = new Promise((done, fail) => {
    const late = setTimeout(() => fail(new Error(`not ready: ${said}`)), START_MS);
    const read = (piece) => {
      said = (said + piece).slice(-20_000);
      const url = /In the browser: +(http\S+)\n/.exec(said)?.[1];
      if (url === undefined) return;
      clearTimeout(late);
      done(url);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    void ended.then((code) => fail(new Error(`ended with ${code}: ${said}`)));
  });
  try {
    return { url: await ready, end };
  } catch (error) {
    await end();
    throw error;
  }
}
