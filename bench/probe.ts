// Another client, on a thread of its own: asks at fixed times, whatever became of what it asked
// before, so that a daemon that stands still is seen for as long as it does.
import { parentPort, workerData } from 'node:worker_threads';
import { WebSocket } from 'ws';
import { PROTOCOL_VERSION } from '../src/protocol/handshake.ts';

export interface ProbeOptions {
  readonly url: string;
  readonly everyMs: number;
}

/** Of each kind of question, ms from the time at which it was due to its answer. */
export type ProbeTimes = Readonly<Record<string, readonly number[]>>;

const { url, everyMs } = workerData as ProbeOptions;
const times: Record<string, number[]> = {};
const waiting = new Map<string, (type: string) => void>();
const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`);
const send = (message: object): void => socket.send(JSON.stringify(message));
socket.on('message', (data: Buffer) => {
  const heard = JSON.parse(data.toString()) as { type: string; requestId?: string };
  if (heard.requestId !== undefined) waiting.get(heard.requestId)?.(heard.type);
});
await new Promise((resolve) => socket.once('open', resolve));
send({ type: 'client-hello', protocol: PROTOCOL_VERSION, client: 'probe' });

/** The type of the answer. */
function ask(requestId: string, message: object): Promise<string> {
  const answered = new Promise<string>((resolve) => waiting.set(requestId, resolve));
  send({ ...message, requestId });
  return answered;
}

const get = async (path: string): Promise<string> => {
  const response = await fetch(url + path);
  await response.text();
  return String(response.status);
};

const questions: Readonly<Record<string, (id: string) => Promise<string>>> = {
  health: () => get('/healthz'),
  list: () => get('/api/conversations?limit=20'),
  heartbeat: (id) => ask(id, { type: 'heartbeat-ping' }),
  say: (id) => {
    const said = { conversationId: id, messageId: id, text: 'Hello, how are you today?' };
    return ask(id, { type: 'message-say', ...said });
  },
};

const names = Object.keys(questions);
const begunAt = performance.now();
let asked = 0;
const timer = setInterval(() => {
  for (; begunAt + asked * everyMs <= performance.now(); asked++) {
    const dueAt = begunAt + asked * everyMs;
    const name = names[asked % names.length] as string;
    void questions[name]?.(`probe-${asked}`).then((answer) => {
      const kind = answer === 'error' ? `${name} (refused)` : name;
      times[kind] = [...(times[kind] ?? []), performance.now() - dueAt];
    });
  }
}, 5);

parentPort?.once('message', () => {
  clearInterval(timer);
  // What was not answered yet is answered now, or never.
  setTimeout(() => {
    socket.close();
    parentPort?.postMessage(times);
  }, 5_000);
});
