// An OpenAI-compatible server as what is tested: streamed greedy replies, and likelihoods where it
// tells those of a prompt. It sends nothing but the scenes, and only to the address that was given.
import { z } from 'zod';
import { parsedJson } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import type { Listener, ListenerReply } from './listener.ts';
import { findScorer, type Post } from './prompt-score.ts';
import type { SceneMessage } from './scene.ts';

export interface HttpListenerOptions {
  /** With the version: `http://127.0.0.1:11434/v1`. */
  readonly url: string;
  readonly model: string;
  /** Sent as a bearer token. */
  readonly key?: string;
  readonly replyTokensMax: number;
  /** Writes a conversation as the server's model reads it, ready for the reply, if it is known here. */
  readonly render?: (messages: readonly SceneMessage[]) => string;
}

/** No answer within this time: the server hangs. */
const ANSWER_MS_MAX = 120_000;
const DETAIL_MAX = 300;

/** @throws endpoint-failed */
export async function openHttpListener(options: HttpListenerOptions): Promise<Listener> {
  const base = options.url.replace(/\/+$/, '');
  const post = poster(base, options.key);
  const say = await replier(post, options);
  const scorer = await findScorer({ ...options, post });
  return {
    name: options.model,
    likelihood: scorer.how,
    notices: await noticesOf(base, options.key),
    reply: say,
    ...(scorer.score === undefined ? {} : { score: scorer.score }),
    close: async () => undefined,
  };
}

function headersOf(key: string | undefined): Record<string, string> {
  const headers: Record<string, string> = { 'Content-Type': 'application/json' };
  return key === undefined ? headers : { ...headers, Authorization: `Bearer ${key}` };
}

function poster(base: string, key: string | undefined): Post {
  return (path, body, signal) => {
    const late = AbortSignal.timeout(ANSWER_MS_MAX);
    const url = path.startsWith('/') ? base.replace(/\/v1$/, '') + path : `${base}/${path}`;
    return fetch(url, {
      method: 'POST',
      headers: headersOf(key),
      body: JSON.stringify(body),
      redirect: 'error',
      signal: signal === undefined ? late : AbortSignal.any([late, signal]),
    }).catch((cause: unknown) => {
      signal?.throwIfAborted();
      const message = `No server answers at ${base}. Is it running, and does the address end in /v1?`;
      throw new AttuneError('endpoint-failed', message, { url: base }, { cause });
    });
  };
}

const modelsAnswer = z.object({ data: z.array(z.object({ owned_by: z.string().optional() })) });

/** Our own daemon keeps what is said to it. */
async function noticesOf(base: string, key: string | undefined): Promise<string[]> {
  const answer = await fetch(`${base}/models`, {
    headers: headersOf(key),
    redirect: 'error',
    signal: AbortSignal.timeout(ANSWER_MS_MAX),
  }).then(
    async (response) => modelsAnswer.safeParse(await response.json().catch(() => undefined)),
    () => undefined,
  );
  const isOurs = answer?.data?.data.some((model) => model.owned_by === 'attune') ?? false;
  if (!isOurs) return [];
  return [
    'This server is Attune: it keeps every scene as a conversation in its store. Use --model with a file to leave the store as it is.',
  ];
}

/** What not every server accepts under one name. */
interface Dialect {
  readonly tokens: 'max_tokens' | 'max_completion_tokens';
  readonly isGreedy: boolean;
  readonly hasUsage: boolean;
}

const DIALECTS: readonly Dialect[] = [
  { tokens: 'max_tokens', isGreedy: true, hasUsage: true },
  { tokens: 'max_completion_tokens', isGreedy: true, hasUsage: true },
  { tokens: 'max_completion_tokens', isGreedy: false, hasUsage: true },
  { tokens: 'max_tokens', isGreedy: true, hasUsage: false },
];

/** The first dialect that the server accepts, found with one short question. */
async function replier(post: Post, options: HttpListenerOptions): Promise<Listener['reply']> {
  const hello: SceneMessage[] = [{ role: 'user', content: 'Hello.' }];
  let refusal = '';
  for (const dialect of DIALECTS) {
    const response = await post('chat/completions', bodyOf(hello, { ...options, dialect }));
    if (response.ok) {
      await readReply(response, 0);
      return async (messages, signal) => {
        const start = performance.now();
        const body = bodyOf(messages, { ...options, dialect });
        const answer = await post('chat/completions', body, signal);
        if (!answer.ok) throw refused(answer.status, await detailOf(answer));
        return readReply(answer, start);
      };
    }
    refusal = await detailOf(response);
    // Only a request that was not understood is worth putting differently.
    if (response.status !== 400 && response.status !== 422) throw refused(response.status, refusal);
  }
  throw refused(400, refusal);
}

function bodyOf(
  messages: readonly SceneMessage[],
  { model, replyTokensMax, dialect }: HttpListenerOptions & { readonly dialect: Dialect },
): object {
  return {
    model,
    messages,
    stream: true,
    [dialect.tokens]: replyTokensMax,
    ...(dialect.isGreedy ? { temperature: 0, seed: 0 } : {}),
    ...(dialect.hasUsage ? { stream_options: { include_usage: true } } : {}),
  };
}

async function detailOf(response: Response): Promise<string> {
  return (await response.text().catch(() => '')).slice(0, DETAIL_MAX);
}

function refused(status: number, detail: string): AttuneError {
  const hint = status === 401 || status === 403 ? ' Give a key with --key-env NAME.' : '';
  const message = `The server answered with status ${status}: ${detail}.${hint}`;
  return new AttuneError('endpoint-failed', message, { status });
}

const chunkSchema = z.object({
  choices: z
    .array(z.object({ delta: z.object({ content: z.string().nullish() }).nullish() }))
    .default([]),
  usage: z.object({ prompt_tokens: z.number(), completion_tokens: z.number() }).nullish(),
  error: z.object({ message: z.string() }).nullish(),
});

/** The words of a streamed completion. @param start of the request; gives the time to the first */
async function readReply(response: Response, start: number): Promise<ListenerReply> {
  let text = '';
  let firstTokenMs: number | undefined;
  let usage: z.output<typeof chunkSchema>['usage'];
  for await (const data of eventsOf(response)) {
    const parsed = chunkSchema.safeParse(data);
    if (!parsed.success) throw refused(response.status, 'a chunk that is not of OpenAI’s form');
    if (parsed.data.error != null) throw refused(response.status, parsed.data.error.message);
    const piece = parsed.data.choices[0]?.delta?.content ?? '';
    if (piece !== '') firstTokenMs ??= performance.now() - start;
    text += piece;
    usage = parsed.data.usage ?? usage;
  }
  return {
    text: withoutThoughts(text).trim(),
    promptTokens: usage?.prompt_tokens ?? null,
    replyTokens: usage?.completion_tokens ?? null,
    firstTokenMs: firstTokenMs ?? performance.now() - start,
  };
}

/** A model that thinks aloud is judged by what it says afterwards. */
const withoutThoughts = (text: string): string =>
  text.replace(/<think>[\s\S]*?(?:<\/think>|$)/g, '');

/** The JSON of each server-sent event, up to `[DONE]`. */
async function* eventsOf(response: Response): AsyncGenerator<unknown> {
  if (response.body === null) throw refused(response.status, 'an answer without a body');
  const decoder = new TextDecoder();
  let rest = '';
  for await (const bytes of response.body as AsyncIterable<Uint8Array>) {
    rest += decoder.decode(bytes, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const data = /^data:\s?(.*)$/.exec(line.trimEnd())?.[1];
      if (data === undefined) continue;
      if (data === '[DONE]') return;
      const event = parsedJson(data);
      if (event === undefined) {
        throw refused(response.status, `an event that is not JSON: ${data.slice(0, 80)}`);
      }
      yield event;
    }
  }
}
