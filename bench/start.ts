// How long `attune start` takes, from the command to the line that says it is ready, and on to the
// first word of a reply; the compiled daemon, as a person starts it.
import { spawn } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { addressOf } from './daemon.ts';
import { median } from './machine.ts';

const MAIN = resolve('dist', 'cli', 'main.js');
const STARTS = 5;

interface Started {
  readonly readyMs: number;
  readonly firstWordMs: number;
}

/** Fresh: an empty store, so that the weights are hashed and widened. Used: the same store again. */
export async function benchStart(
  root: string,
  modelDir: string,
  say: (line: string) => void,
): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  const used = await mkdtemp(join(root, 'start-'));
  await start(used, modelDir);
  for (const kind of ['fresh', 'used'] as const) {
    const runs: Started[] = [];
    for (let at = 0; at < STARTS; at++) {
      const store = kind === 'used' ? used : await mkdtemp(join(root, 'start-'));
      runs.push(await start(store, modelDir));
    }
    const ready = runs.map(({ readyMs }) => readyMs);
    const word = median(runs.map(({ readyMs, firstWordMs }) => readyMs + firstWordMs));
    found[`start ${kind}`] = { readyMs: ready, firstWordMs: word };
    const most = Math.max(...ready).toFixed(0);
    say(
      `  start, ${kind} store ${median(ready).toFixed(0)} ms to ready (at most ${most}), ` +
        `${word.toFixed(0)} ms to the first word`,
    );
  }
  return found;
}

async function start(store: string, modelDir: string): Promise<Started> {
  const begun = performance.now();
  const set = [`store.path=${store}`, `model.path=${modelDir}`, 'server.port=0'];
  const child = spawn(process.execPath, [MAIN, 'start', '--set', ...set, 'logger.level=error'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const url = await addressOf(child);
  const readyMs = performance.now() - begun;
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      model: 'attune',
      stream: true,
      max_tokens: 4,
      messages: [{ role: 'user', content: 'Hello' }],
    }),
  });
  let text = '';
  for await (const piece of response.body ?? []) {
    text += Buffer.from(piece).toString();
    if (/"content":"[^"]/.test(text)) break;
  }
  const firstWordMs = performance.now() - begun - readyMs;
  child.kill('SIGTERM');
  await new Promise((ended) => child.once('exit', ended));
  return { readyMs, firstWordMs };
}
