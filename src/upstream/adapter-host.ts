// How each kind of server takes an adapter beside what it serves already, and lets it go again.
import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { createServer } from 'node:net';
import { AttuneError, isAttuneError } from '../base/errors.ts';
import { sha256File } from '../base/hash.ts';
import type { Config } from '../config/schema.ts';
import type { VersionSource } from '../engine/engine.ts';
import type { AdapterFile, AdapterForm } from './adapter-file.ts';
import { UpstreamHttp } from './http.ts';

export type UpstreamSettings = Config['engine']['upstream'];

/** A model as the server knows it, under one weights version. */
export interface ServedModel {
  readonly name: string;
  readonly source: VersionSource;
  /** The server itself, or one that was started for this model alone. */
  readonly http: UpstreamHttp;
  /** What a person should know of how it came to be. */
  readonly how: string;
  /** Resolves when the server that was started for it has ended. */
  readonly ended?: Promise<unknown>;
  /** Takes it off the server. */
  unload(): Promise<void>;
}

export interface Loading {
  readonly name: string;
  readonly source: VersionSource;
  readonly base: ServedModel;
  readonly settings: UpstreamSettings;
  /** Writes the adapter. */
  write(form: AdapterForm): Promise<AdapterFile>;
}

type Load = (loading: Loading) => Promise<ServedModel>;

/** Servers create models and load adapters within this, or hang. */
const LOAD_MS_MAX = 15 * 60_000;

/** @throws swap-refused where the server cannot or will not load it; upstream-failed */
export async function loadAdapter(loading: Loading): Promise<ServedModel> {
  const { kind } = loading.settings;
  const load: Load | undefined = { vllm, ollama, 'llama-cpp': llamaCpp }[kind as 'vllm'];
  if (load !== undefined) return load(loading);
  const { path } = await loading.write('gguf-lora');
  const what = kind === 'lm-studio' ? 'LM Studio' : 'A server with the OpenAI API alone';
  const message =
    `${what} loads no adapters, so these nights stay an export: ${path} (llama.cpp's --lora), or ` +
    'in other forms with `attune export`. The server keeps what it serves.';
  throw new AttuneError('swap-refused', message);
}

const post = (http: UpstreamHttp, path: string, body: object, method = 'POST'): Promise<unknown> =>
  http.json({ path, method, body, signal: AbortSignal.timeout(LOAD_MS_MAX) });

/** A name is never used for two adapters (vllm-project/vllm#42125): it is that of the weights. */
async function vllm({ name, source, base, write }: Loading): Promise<ServedModel> {
  const { http } = base;
  const { path, rank } = await write('peft');
  const load = { lora_name: name, lora_path: path };
  // Told in its development mode only; else what it refuses an adapter with tells the limit.
  const settings = await http.json({ path: '/server_info?config_format=json' }).catch(() => '');
  assertRank(rank, settings);
  await post(http, '/v1/load_lora_adapter', load).catch((cause: unknown) => {
    if (/already been loaded/.test(String(cause))) return;
    const why = isAttuneError(cause) ? cause.message : String(cause);
    assertRank(rank, why);
    const message =
      `vLLM did not load an adapter of rank ${rank}: ${why} It needs --enable-lora, ` +
      `--max-lora-rank ${rankLimit(rank)} or more, VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, and to ` +
      'see the store under the same path.';
    throw new AttuneError('swap-refused', message, { rank }, { cause });
  });
  return {
    ...{ name, source, http, how: `vLLM serves it as ${name}, rank ${rank}.` },
    unload: () => post(http, '/v1/unload_lora_adapter', { lora_name: name }).then(() => undefined),
  };
}

/** @throws swap-refused where what vLLM said names a limit below the rank */
function assertRank(rank: number, said: unknown): void {
  const most = /max_lora_rank\W*(\d+)/.exec(JSON.stringify(said))?.[1];
  if (most === undefined || rank <= Number(most)) return;
  const message =
    `This night's adapter has rank ${rank}, and this vLLM takes rank ${most} at most (16, where ` +
    `nothing is said). Start it with --max-lora-rank ${rankLimit(rank)}; until then it keeps what it serves.`;
  throw new AttuneError('swap-refused', message, { rank, rankMax: Number(most) });
}

/** vLLM takes these limits only. Source: vllm-project/vllm, vllm/config/lora.py. */
const rankLimit = (rank: number): number =>
  [8, 16, 32, 64, 128, 256, 320, 512].find((one) => one >= rank) ?? rank;

/** Before 0.34.1 with an adapter, since then (ollama/ollama#14969) as a model of its own. */
async function ollama({ name, source, base, write }: Loading): Promise<ServedModel> {
  const { http } = base;
  const served = (how: string): ServedModel => ({
    ...{ name, source, http, how: `Ollama serves it as ${name}, ${how}.` },
    unload: () => post(http, '/api/delete', { model: name }, 'DELETE').then(() => undefined),
  });
  const create = (more: object) =>
    post(http, '/api/create', { model: name, stream: false, ...more });
  try {
    const file = await write('gguf-lora');
    const digest = await upload(http, file.path);
    await create({ from: base.name, adapters: { 'adapter.gguf': digest } });
    return served(`an adapter of rank ${file.rank} on ${base.name}`);
  } catch (error) {
    if (!/adapters are no longer supported/i.test(String(error))) throw error;
  }
  const merged = await upload(http, (await write('merged-gguf')).path);
  const { template, system } = (await post(http, '/api/show', { model: base.name })) as Shown;
  const files = { 'model.gguf': merged };
  await create({ files, ...(template && { template }), ...(system && { system }) });
  return served('a model of its own: this Ollama takes no adapters any more');
}

type Shown = { readonly template?: string; readonly system?: string };

/** @returns its digest */
async function upload(http: UpstreamHttp, path: string): Promise<string> {
  const digest = `sha256:${await sha256File(path)}`;
  const head = await http.open({ method: 'HEAD', path: `/api/blobs/${digest}` });
  head.resume();
  if (head.statusCode === 200) return digest;
  const sent = await http.open({
    method: 'POST',
    path: `/api/blobs/${digest}`,
    headers: { 'content-type': 'application/octet-stream' },
    body: createReadStream(path),
  });
  sent.resume();
  if ((sent.statusCode ?? 500) < 300) return digest;
  throw new AttuneError('upstream-failed', `Ollama did not take ${path} (${sent.statusCode}).`, {
    path,
  });
}

/** Ends the server when the daemon has ended, however that did. */
const GUARD = `
  const [program, ...given] = process.argv.slice(1);
  const server = require('node:child_process').spawn(program, given, { stdio: 'ignore' });
  server.on('error', () => process.exit(127)).on('exit', (code) => process.exit(code ?? 1));
  process.stdin.resume().on('close', () => server.kill()).on('error', () => undefined);
`;

const STARTING_MS_MAX = 5 * 60_000;
const ASK_MS = 250;

/** None is loaded at runtime (ggml-org/llama.cpp#22061), so another server starts with it. */
async function llamaCpp({ source, base, write, settings }: Loading): Promise<ServedModel> {
  const { command, key } = settings;
  if (command.length === 0) {
    const message =
      'A llama.cpp server loads no adapter while it runs. Write engine.upstream.command, which ' +
      'starts another one for it (docs/upstream.md); the one before ends when its replies have.';
    throw new AttuneError('swap-refused', message);
  }
  const { path } = await write('gguf-lora');
  const port = await freePort();
  const hasPlace = command.some((part) => part.includes('{lora}'));
  const [program = '', ...given] = [...command, ...(hasPlace ? [] : ['--lora', '{lora}'])].map(
    (part) => part.replaceAll('{port}', String(port)).replaceAll('{lora}', path),
  );
  const child = spawn(process.execPath, ['-e', GUARD, program, ...given], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code) => resolve(`${program} ended with ${code}`));
  });
  const http = new UpstreamHttp(`http://127.0.0.1:${port}`, key);
  const unload = async (): Promise<void> => {
    child.stdin.end();
    await ended;
    http.close();
  };
  const last = await ready(http, ended);
  if (last !== undefined) {
    await unload();
    throw new AttuneError('swap-refused', `engine.upstream.command did not serve: ${last}.`);
  }
  const how =
    'A second llama.cpp server serves it; until the one before has ended, both are in memory.';
  return { name: base.name, source, http, ended, unload, how };
}

/** @returns why it is not */
async function ready(http: UpstreamHttp, ended: Promise<string>): Promise<string | undefined> {
  let isOver = false;
  const over = ended.then((why) => {
    isOver = true;
    return why;
  });
  for (let waitedMs = 0; waitedMs < STARTING_MS_MAX && !isOver; waitedMs += ASK_MS) {
    const answers = await http.json({ path: '/v1/models' }).catch(() => undefined);
    if (answers !== undefined) return undefined;
    await Promise.race([over, new Promise((resolve) => setTimeout(resolve, ASK_MS))]);
  }
  return isOver ? over : 'no answer within five minutes';
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0));
    });
  });
}
