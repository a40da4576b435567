// What the way through the daemon costs a request to an upstream server: the same requests to it
// and through the daemon, in turns; time to the first byte and to the last.
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDaemon } from './daemon.ts';
import { describeMachine } from './machine.ts';

const REQUESTS = 300;
const WARM_UP = 20;
const PIECES = 20;
/** Of a server that has to think before it speaks. */
const THINKING_MS = 20;

const chunk = (content: string): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`;

/** Says the same at once, whoever asks. */
async function openSpeaker() {
  const server = createServer(async (request, response) => {
    for await (const _ of request);
    if (request.method === 'GET') return void response.end('{"object":"list","data":[]}');
    await new Promise((resolve) => setTimeout(resolve, THINKING_MS));
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (let at = 0; at < PIECES; at++) response.write(chunk(`word${at} `));
    response.end('data: [DONE]\n\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, close: () => server.close() };
}

/** @returns ms to the first byte and to the last */
async function ask(url: string, at: number): Promise<[number, number]> {
  const messages = [{ role: 'user', content: `Question ${at}: what is up?` }];
  const begun = performance.now();
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'attune', stream: true, messages }),
  });
  let first = 0;
  for await (const _ of response.body ?? []) first ||= performance.now() - begun;
  return [first, performance.now() - begun];
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}

const speaker = await openSpeaker();
const store = await mkdtemp(join(tmpdir(), 'attune-bench-'));
const upstream = { kind: 'openai', url: speaker.url, model: 'attune' };
const set = Object.entries(upstream).map(([name, value]) => `engine.upstream.${name}=${value}`);
const daemon = await startDaemon({ modelDir: join('models', 'companion'), store, set });
try {
  const direct: [number, number][] = [];
  const through: [number, number][] = [];
  for (let at = 0; at < WARM_UP + REQUESTS; at++) {
    const [one, other] = [await ask(speaker.url, at), await ask(daemon.address.url, at)];
    if (at < WARM_UP) continue;
    direct.push(one);
    through.push(other);
  }
  const { load, cpu } = describeMachine();
  process.stdout.write(`${REQUESTS} streamed replies, kept in the log; ${cpu}, load ${load}\n`);
  for (const [at, what] of ['first byte', 'last byte'].entries()) {
    const [own, passed] = [direct, through].map((all) => all.map((one) => one[at] as number));
    const added = [0.5, 0.9, 0.99].map((share) => {
      const [a, b] = [quantile(own ?? [], share), quantile(passed ?? [], share)];
      return `p${100 * share} +${(b - a).toFixed(2)} ms (${(b / a).toFixed(3)} ×)`;
    });
    process.stdout.write(`${what}: ${added.join(', ')}\n`);
  }
} finally {
  await daemon.close();
  speaker.close();
  await rm(store, { recursive: true, force: true });
}
