// Servers as others answer: their routes, their stream, what they refuse; all of it recorded.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FakeRequest {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: Record<string, unknown>;
}

export type Answer = (request: FakeRequest, response: ServerResponse) => void;

export interface FakeServer {
  readonly url: string;
  readonly requests: FakeRequest[];
  close(): Promise<void>;
}

export async function openFakeServer(answer: Answer): Promise<FakeServer> {
  const requests: FakeRequest[] = [];
  const server = createServer(async (incoming, response) => {
    const request = await readRequest(incoming);
    requests.push(request);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/v1`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function readRequest(incoming: IncomingMessage): Promise<FakeRequest> {
  let text = '';
  for await (const piece of incoming.setEncoding('utf8')) text += piece;
  const { authorization } = incoming.headers;
  return { path: incoming.url ?? '', authorization, body: text === '' ? {} : JSON.parse(text) };
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}

/** A streamed completion. @param usage null: the server does not count */
export function sendStream(
  response: ServerResponse,
  pieces: readonly string[],
  usage: { prompt_tokens: number; completion_tokens: number } | null,
): void {
  const head = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'm' };
  const send = (data: object): unknown => response.write(`data: ${JSON.stringify(data)}\n\n`);
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  send({ ...head, choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] });
  for (const content of pieces) {
    send({ ...head, choices: [{ index: 0, delta: { content }, finish_reason: null }] });
  }
  send({ ...head, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] });
  if (usage !== null) send({ ...head, choices: [], usage: { ...usage, total_tokens: 0 } });
  response.end('data: [DONE]\n\n');
}
