// What the way through the daemon costs a request to an upstream server. Every round asks the
// server itself, through a relay that only copies bytes, and through the daemon, and syncs a file:
// what a hop and the disk take at this load stands beside what the daemon takes.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addressOf, startDaemon } from './daemon.ts';
import { describeMachine } from './machine.ts';

const ROUNDS = 300;
const WARM_UP = 30;

/** Thinks for 20 ms, and says the same to whoever asks. */
const SERVER = `
  const chunk = (at) => 'data: ' + JSON.stringify({ choices: [{ index: 0, delta: { content: 'word' + at + ' ' } }] }) + '\\n\\n';
  require('node:http').createServer(async (request, response) => {
    let body = '';
    for await (const piece of request) body += piece;
    if (request.method === 'GET') return void response.end('{"object":"list","data":[]}');
    if (!body.includes('"stream":true')) return void response.end('{"choices":[{"message":{"content":"word"}}]}');
    await new Promise((resolve) => setTimeout(resolve, 20));
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (let at = 0; at < 20; at++) response.write(chunk(at));
    response.end('data: [DONE]\\n\\n');
  }).listen(0, '127.0.0.1', function () { console.log('http://127.0.0.1:' + this.address().port); });
`;
const RELAY = `
  const { Agent, createServer, request } = require('node:http');
  const agent = new Agent({ keepAlive: true });
  createServer((from, response) => {
    const { url, method, headers } = from;
    const to = request(process.argv[1] + url, { method, headers, agent }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    from.pipe(to);
  }).listen(0, '127.0.0.1', function () { console.log('http://127.0.0.1:' + this.address().port); });
`;

interface Asked {
  /** ms */
  readonly first: number;
  readonly word: number;
  readonly end: number;
}

const agent = new Agent({ keepAlive: true });

function ask(url: string, at: number): Promise<Asked> {
  const messages = [{ role: 'user', content: `Question ${at}: what is up?` }];
  const body = JSON.stringify({ model: 'attune', stream: true, messages });
  const headers = { 'content-type': 'application/json', 'content-length': body.length };
  const begun = performance.now();
  const since = (): number => performance.now() - begun;
  return new Promise((resolve, reject) => {
    const path = `${url}/v1/chat/completions`;
    const asking = request(path, { method: 'POST', headers, agent }, (answer) => {
      let first = 0;
      let word = 0;
      answer.on('data', () => {
        word = since();
        first ||= word;
      });
      answer.once('end', () => resolve({ first, word, end: since() }));
    });
    asking.once('error', reject).end(body);
  });
}

const quantile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.floor(share * values.length)] ?? 0;

const children: ChildProcess[] = [];
function start(program: string, ...given: string[]): Promise<string> {
  const child = spawn(process.execPath, ['-e', program, ...given], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  return addressOf(child);
}

const server = await start(SERVER);
const relay = await start(RELAY, server);
const store = await mkdtemp(join(tmpdir(), 'attune-bench-'));
const set = Object.entries({ kind: 'openai', url: server, model: 'attune' }).map(
  ([name, value]) => `engine.upstream.${name}=${value}`,
);
const daemon = await startDaemon({ modelDir: join('models', 'companion'), store, set });
const file = await open(join(store, 'bench-sync'), 'a');
try {
  const ways = { server, relay, daemon: daemon.address.url };
  const times = { server: [], relay: [], daemon: [] } as Record<keyof typeof ways, Asked[]>;
  const syncs: number[] = [];
  for (let at = 0; at < WARM_UP + ROUNDS; at++) {
    for (const [name, url] of Object.entries(ways)) {
      const asked = await ask(url, at);
      if (at >= WARM_UP) times[name as keyof typeof ways].push(asked);
    }
    await file.write(`${'x'.repeat(600)}\n`);
    const begun = performance.now();
    await file.sync();
    if (at >= WARM_UP) syncs.push(performance.now() - begun);
  }
  const { load, cpu } = describeMachine();
  const row = (name: string, of: (share: number) => number): string =>
    `${name.padEnd(24)}${[0.5, 0.9, 0.99].map((share) => of(share).toFixed(2).padStart(8)).join('')}\n`;
  process.stdout.write(
    `${ROUNDS} streamed replies, kept in the log; ${cpu}, load ${load}; added ms\n${' '.repeat(24)}     p50     p90     p99\n`,
  );
  for (const what of ['first', 'word', 'end'] as const) {
    const at = (name: keyof typeof ways, share: number): number =>
      quantile(
        times[name].map((one) => one[what]),
        share,
      );
    for (const name of ['relay', 'daemon'] as const) {
      process.stdout.write(row(`${what}, ${name}`, (p) => at(name, p) - at('server', p)));
    }
  }
  process.stdout.write(row('an fsync of this disk', (share) => quantile(syncs, share)));
} finally {
  await file.close();
  await daemon.close();
  for (const child of children) child.kill();
  agent.destroy();
  await rm(store, { recursive: true, force: true });
}
