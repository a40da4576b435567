// Small servers with the requests of real ones. The request models are taken from their sources:
// vLLM: vllm/entrypoints/serve/lora/protocol.py (LoadLoRAAdapterRequest, UnloadLoRAAdapterRequest),
// and what openai/models/serving.py answers; Ollama: api/types.go (CreateRequest, DeleteRequest,
// ShowRequest) and server/create.go; chat completions: the OpenAI form that all of them take.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';

export interface FakeServer {
  readonly url: string;
  /** Names of the models that it serves now. */
  readonly models: Set<string>;
  /** `METHOD path` of what came, oldest first. */
  readonly asked: string[];
  close(): Promise<void>;
}

type Route = (call: Call) => boolean | Promise<boolean>;

interface FakeOptions {
  readonly models: readonly string[];
  /** Pieces of each reply: the name of the model that speaks, over and over. */
  readonly pieces?: number;
  readonly pieceMs?: number;
  /** Log-probability of each token under a model; absent: it tells none. */
  readonly logprob?: (model: string) => number;
  /** More routes; true: it was answered. */
  readonly route?: Route;
}

export interface Call {
  readonly method: string;
  readonly path: string;
  readonly body: Buffer;
  readonly models: Set<string>;
  answer(status: number, body: object | string): true;
}

/** Whatever speaks, the tokens of which log-probabilities are told are these. */
export const WORD = 'word ';

const chat = z.looseObject({
  model: z.string(),
  messages: z.array(z.looseObject({ role: z.string(), content: z.unknown() })).min(1),
  stream: z.boolean().optional(),
  max_tokens: z.int().optional(),
  logprobs: z.boolean().optional(),
});

export async function openFakeServer(options: FakeOptions, port = 0): Promise<FakeServer> {
  const models = new Set(options.models);
  const asked: string[] = [];
  const server = createServer((request, response) => {
    void handle(request, response, { ...options, served: models, asked });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, models, asked, close: () => closed(server) };
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

interface Handling extends FakeOptions {
  readonly served: Set<string>;
  readonly asked: string[];
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  { served: models, asked, route, logprob, pieces = 4, pieceMs = 1 }: Handling,
): Promise<void> {
  const { method = 'GET', url: path = '/' } = request;
  asked.push(`${method} ${path}`);
  const sent: Buffer[] = [];
  for await (const piece of request as AsyncIterable<Buffer>) sent.push(piece);
  const body = Buffer.concat(sent);
  const answer = (status: number, value: object | string): true => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    response.writeHead(status, { 'content-type': 'application/json' }).end(text);
    return true;
  };
  if (await route?.({ method, path, body, models, answer })) return;
  if (path === '/v1/models') {
    return void answer(200, { object: 'list', data: [...models].map((id) => ({ id })) });
  }
  if (path !== '/v1/chat/completions') return void answer(404, { detail: 'Not Found' });
  const parsed = chat.safeParse(JSON.parse(body.toString()));
  if (!parsed.success) return void answer(400, { error: { message: 'no chat completion' } });
  const { model, stream, logprobs } = parsed.data;
  const known = models.has(model) || models.has(`${model}:latest`);
  if (!known) return void answer(404, { error: { message: `The model ${model} does not exist.` } });
  const words = Array.from({ length: pieces }, () => `${model} `);
  if (!stream) {
    const told = logprob?.(model);
    const content = words.map(() => ({ token: WORD, logprob: told, top_logprobs: [] }));
    const message = { role: 'assistant', content: words.join('') };
    const more = logprobs && told !== undefined ? { logprobs: { content } } : {};
    return void answer(200, { choices: [{ index: 0, message, finish_reason: 'stop', ...more }] });
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const send = (value: object | string): boolean =>
    response.write(`data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`);
  for (const content of words) {
    await new Promise((resolve) => setTimeout(resolve, pieceMs));
    send({ object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content } }] });
  }
  send({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] });
  send({ choices: [], usage: { prompt_tokens: 7, completion_tokens: pieces } });
  send('[DONE]');
  response.end();
}

const load = z.strictObject({ lora_name: z.string().min(1), lora_path: z.string().min(1) });
const unload = z.object({ lora_name: z.string().min(1), lora_int_id: z.int().optional() });

/** The runtime routes of vLLM. @param rankMax of --max-lora-rank */
export function vllmRoutes(rankOf: (path: string) => number, rankMax = 16): Route {
  const bad = (message: string) => ({ error: { message, type: 'BadRequestError', code: 400 } });
  return ({ method, path, body, models, answer }) => {
    if (method !== 'POST' || !path.endsWith('_lora_adapter')) return false;
    if (path === '/v1/load_lora_adapter') {
      const { lora_name: name, lora_path } = load.parse(JSON.parse(body.toString()));
      if (models.has(name)) {
        const message = `The lora adapter '${name}' has already been loaded.`;
        return answer(400, bad(message));
      }
      const rank = rankOf(lora_path);
      if (rank > rankMax) {
        return answer(400, bad(`LoRA rank ${rank} is greater than max_lora_rank ${rankMax}.`));
      }
      models.add(name);
      return answer(200, `Success: LoRA adapter '${name}' added successfully.`);
    }
    const { lora_name: name } = unload.parse(JSON.parse(body.toString()));
    if (!models.delete(name))
      return answer(404, bad(`The lora adapter '${name}' cannot be found.`));
    return answer(200, `Success: LoRA adapter '${name}' removed successfully.`);
  };
}

const digest = z.record(z.string(), z.string().regex(/^sha256:[0-9a-f]{64}$/));
const create = z.strictObject({
  model: z.string().min(1),
  stream: z.boolean().optional(),
  from: z.string().optional(),
  files: digest.optional(),
  adapters: digest.optional(),
  template: z.string().optional(),
  system: z.string().optional(),
});
const named = z.strictObject({ model: z.string() });

/** The routes of Ollama by which models come and go. @param takesAdapters false since 0.34.1 */
export function ollamaRoutes(takesAdapters: boolean): Route {
  const blobs = new Set<string>();
  return ({ method, path, body, models, answer }) => {
    const blob = /^\/api\/blobs\/sha256:([0-9a-f]{64})$/.exec(path)?.[1];
    if (blob !== undefined && method === 'HEAD') return answer(blobs.has(blob) ? 200 : 404, '');
    if (blob !== undefined) {
      const found = createHash('sha256').update(body).digest('hex');
      if (found !== blob) return answer(400, { error: 'digest mismatch' });
      blobs.add(blob);
      return answer(201, '');
    }
    if (path === '/api/show') {
      const { model } = named.parse(JSON.parse(body.toString()));
      if (!models.has(model)) return answer(404, { error: `model '${model}' not found` });
      return answer(200, { template: '{{ .Prompt }}', system: 'Be kind.', details: {} });
    }
    if (path === '/api/delete' && method === 'DELETE') {
      const { model } = named.parse(JSON.parse(body.toString()));
      return models.delete(model) ? answer(200, '') : answer(404, { error: 'not found' });
    }
    if (path !== '/api/create') return false;
    const { model, from, files, adapters } = create.parse(JSON.parse(body.toString()));
    if (adapters !== undefined && !takesAdapters) {
      return answer(400, { error: 'LoRA adapters are no longer supported' });
    }
    const wanted = Object.values({ ...files, ...adapters }).map((one) => one.slice(7));
    if (wanted.some((one) => !blobs.has(one))) return answer(400, { error: 'blob not found' });
    if (from !== undefined && !models.has(from)) return answer(404, { error: 'no such model' });
    models.add(model);
    return answer(200, { status: 'success' });
  };
}
