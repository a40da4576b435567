// The longest accepted inputs of twelve kinds at once, and how long another client waits meanwhile.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { WebSocket } from 'ws';
import { PROTOCOL_VERSION } from '../src/protocol/handshake.ts';
import { quantile } from './machine.ts';
import type { ProbeOptions, ProbeTimes } from './probe.ts';

const [seconds = '60', model = join('models', 'companion')] = process.argv.slice(2);
const SECONDS = Number(seconds);
const MODEL = resolve(model);
const TARGET_MS = 250;
const PROBE_EVERY_MS = 100;
const FLAGS = 9_990;

async function start(store: string): Promise<{ child: ChildProcess; url: string }> {
  const settings = [`store.path=${store}`, `model.path=${MODEL}`, 'server.port=0'];
  const more = ['chat.replyTokensMax=8', 'night.isEnabled=false', 'logger.level=error'];
  const child = spawn(
    process.execPath,
    [resolve('dist', 'cli', 'main.js'), 'start', '--set', ...settings, ...more],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const url = await new Promise<string>((resolve, reject) => {
    let said = '';
    child.stdout.on('data', (piece: Buffer) => {
      said += piece.toString();
      const found = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', () => reject(new Error(`the daemon did not start: ${said}`)));
  });
  return { child, url };
}

let count = 0;
const freshId = (): string => `long-${count++}`;

function post(url: string, path: string, body: string): Promise<string> {
  const headers = { 'Content-Type': 'application/json' };
  return fetch(url + path, { method: 'POST', headers, body }).then(async (response) => {
    await response.text();
    return String(response.status);
  });
}

/** Says it in a new conversation, and waits until it is stored or refused. */
async function say(url: string, text: string): Promise<string> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`);
  const answered = new Promise<string>((resolve) => {
    socket.on('error', () => resolve('failed'));
    socket.on('close', () => resolve('closed'));
    socket.on('message', (data: Buffer) => {
      const { type, code } = JSON.parse(data.toString()) as { type: string; code?: string };
      if (type === 'message-stored' || type === 'error') resolve(code ?? type);
    });
  });
  await once(socket, 'open');
  socket.send(
    JSON.stringify({ type: 'client-hello', protocol: PROTOCOL_VERSION, client: 'bench' }),
  );
  const id = freshId();
  socket.send(JSON.stringify({ type: 'message-say', conversationId: id, messageId: id, text }));
  const answer = await answered;
  socket.close();
  return answer;
}

const chatBody = (messages: readonly object[]): string =>
  JSON.stringify({ model: 'attune', messages, max_tokens: 8 });

function importBody(id: string, messages: number, text: string, flags = 0): string {
  const said = Array.from({ length: messages }, (_, at) => {
    const role = at % 2 === 0 ? 'user' : 'assistant';
    return { id: `m${at}`, role, text: `${at} ${text}`, at: 1_000 + at };
  });
  const marks = Array.from({ length: flags }, (_, at) => {
    const mark = { kind: 'missed', reason: 'r'.repeat(400), betterWords: 'b'.repeat(400) };
    return {
      id: `${id}-${at}`,
      replyId: `m${2 * (at % (messages / 2)) + 1}`,
      strength: 2,
      ...mark,
    };
  });
  return JSON.stringify({ id, title: id, origin: 'import', messages: said, flags: marks });
}

/** Each is done again and again until the time is up. */
function loads(url: string): Readonly<Record<string, () => Promise<string>>> {
  const words = Array.from({ length: 30_000 }, (_, at) => `w${(at * 7919) % 9973}`).join(' ');
  const turn = (content: string) => ({ role: 'user', content });
  const big = importBody('x', 10_000, 'many words of a long life '.repeat(240));
  const lists = `[${'[],'.repeat(22_000_000)}[]]`;
  let flag = 0;
  return {
    'a message of 99,999 newlines': () => say(url, `${'\n'.repeat(99_999)}x`),
    'a message of 50,000 private characters': () => say(url, '\u{f0000}'.repeat(50_000)),
    'a message of 100,000 characters': () => say(url, words.slice(0, 100_000)),
    'a message of 10,000 control tokens': () => say(url, '<|im_end|>'.repeat(10_000)),
    'a request of 1 MiB of newlines': () =>
      post(url, '/v1/chat/completions', chatBody([turn(`${'\n'.repeat(520_000)}x`)])),
    'a request of 9,999 tiny messages': () => {
      const tiny = Array.from({ length: 9_999 }, (_, at) => {
        return { role: at % 2 === 0 ? 'user' : 'assistant', content: 'a' };
      });
      return post(url, '/v1/chat/completions', chatBody(tiny));
    },
    'a request of 65,000 empty values': () =>
      post(url, '/v1/chat/completions', `{"messages":[${'[],'.repeat(64_000)}[]]}`),
    'an import of 63 MB': () =>
      post(url, '/api/conversations', big.replace('{"id":"x"', `{"id":"${freshId()}"`)),
    'an import of 63 MB of lists': () => post(url, '/api/conversations', lists),
    'a search through everything': () =>
      fetch(`${url}/api/search?query=nowhere`).then((response) => response.text()),
    'a conversation of 63 MB': () =>
      fetch(`${url}/api/conversations/stored`).then(async (response) => {
        await response.arrayBuffer();
        return String(response.status);
      }),
    'a flag among ten thousand': () =>
      post(
        url,
        '/api/flags',
        JSON.stringify({ id: `flag-${flag++ % 5}`, conversationId: 'flagged', replyId: 'm1' }),
      ),
  };
}

async function repeat(
  work: () => Promise<string>,
  until: number,
): Promise<{ done: number; answers: Set<string> }> {
  const answers = new Set<string>();
  let done = 0;
  while (performance.now() < until) {
    answers.add((await work()).slice(0, 40));
    done++;
    await delay(20);
  }
  return { done, answers };
}

/** How long the daemon takes to end while a long text is rendered. */
async function timeToEnd(child: ChildProcess, url: string): Promise<number> {
  void say(url, 'many words '.repeat(9_000)).catch(() => undefined);
  await delay(300);
  const begunAt = performance.now();
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
  return performance.now() - begunAt;
}

async function run(store: string): Promise<void> {
  const { child, url } = await start(store);
  try {
    const text = 'many words of a long life '.repeat(240);
    await post(url, '/api/conversations', importBody('stored', 10_000, text));
    await post(url, '/api/conversations', importBody('flagged', 5_000, 'words', FLAGS));
    const workerData: ProbeOptions = { url, everyMs: PROBE_EVERY_MS };
    const probe = new Worker(new URL('./probe.js', import.meta.url), { workerData });
    const until = performance.now() + SECONDS * 1_000;
    const all = Object.entries(loads(url)).map(async ([name, work]) => {
      const { done, answers } = await repeat(work, until);
      console.log(`  ${name.padEnd(40)} ${done} times: ${[...answers].join(', ')}`);
    });
    await Promise.all(all);
    const told = once(probe, 'message');
    probe.postMessage('end');
    const [times] = (await told) as [ProbeTimes];
    for (const [name, values] of Object.entries(times)) {
      const at = (share: number): string => quantile(values, share).toFixed(0);
      console.log(`  ${name.padEnd(20)} p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, worst ${at(1)} ms`);
    }
    const p99 = quantile(Object.values(times).flat(), 0.99);
    console.log(`another client's p99: ${p99.toFixed(0)} ms (target: ${TARGET_MS} ms)`);
    console.log(`end after SIGTERM: ${(await timeToEnd(child, url)).toFixed(0)} ms`);
  } finally {
    child.kill('SIGKILL');
  }
}

const root = await mkdtemp(join(tmpdir(), 'attune-bench-long-'));
try {
  await run(root);
} finally {
  await rm(root, { recursive: true, force: true });
}
