// Runs the tokenizer of a model folder in a worker, which is stopped when a chat takes too long.
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { Clock } from '../base/clock.ts';
import { AttuneError } from '../base/errors.ts';
import type { ChatTokenizer, ChatTokens } from './chat-tokenizer.ts';
import { createTokenDecoder, tokenBytesOf } from './token-bytes.ts';
import type { FromWorker, OpenedTokenizer, ToWorker } from './worker.ts';

export interface TokenizerWorkerOptions {
  /** The model folder. */
  readonly dir: string;
  readonly clock: Clock;
  /** Time for one chat. Default 20 s: four times what the longest accepted message takes. */
  readonly budgetMs?: number;
}

const BUDGET_MS = 20_000;
const LOADING_MS_MAX = 120_000;
/** The largest vocabularies in use take about a third of it. */
const HEAP_MB_MAX = 1_536;

/** The compiled entry: beside this file in dist/, or in dist/ when this runs from src/. */
function entry(): URL {
  const beside = new URL('./worker.js', import.meta.url);
  return existsSync(beside) ? beside : new URL('../../dist/tokenizer/worker.js', import.meta.url);
}

/**
 * Rendering leaves the event loop free, and a chat template or a pattern of tokenizer.json that
 * does not come to an end costs its own chat only: the next one gets a new worker.
 * @throws tokenizer-invalid, template-failed (a template that is not Jinja)
 */
export async function openTokenizerWorker({
  dir,
  clock,
  budgetMs = BUDGET_MS,
}: TokenizerWorkerOptions): Promise<ChatTokenizer> {
  let worker: Worker | undefined;
  let isClosed = false;
  /** The chat before; it never rejects. */
  let before: Promise<unknown> = Promise.resolve();

  async function start(): Promise<[Worker, OpenedTokenizer]> {
    const resourceLimits = { maxOldGenerationSizeMb: HEAP_MB_MAX };
    const started = new Worker(entry(), { workerData: dir, resourceLimits });
    const forget = (): void => {
      if (worker === started) worker = undefined;
    };
    started.on('error', forget).on('exit', forget);
    worker = started;
    const opened = await answerOf<OpenedTokenizer>(started, LOADING_MS_MAX).catch(async (error) => {
      await started.terminate();
      throw error;
    });
    return [started, opened];
  }

  /** The worker's next answer. */
  async function answerOf<Value>(asked: Worker, limitMs: number): Promise<Value> {
    const settled = new AbortController();
    let isLate = false;
    const timer = clock.setTimeout(() => {
      isLate = true;
      void asked.terminate();
    }, limitMs);
    asked.ref();
    try {
      const ended = once(asked, 'exit', settled).then(() => Promise.reject(new Error('it exited')));
      const [answer] = await Promise.race([once(asked, 'message', settled), ended]);
      return valueIn(answer as FromWorker<Value>);
    } catch (cause) {
      if (isLate) throw tooSlow(dir, limitMs);
      throw cause instanceof AttuneError ? cause : endedEarly(dir, isClosed, cause);
    } finally {
      timer.cancel();
      settled.abort();
      // Between two chats it does not keep the process alive.
      asked.unref();
    }
  }

  const [, { stopIds, controlIds, tokenTable }] = await start();

  async function restart(): Promise<Worker> {
    const [started, again] = await start();
    if (Buffer.compare(again.tokenTable.bytes, tokenTable.bytes) === 0) return started;
    await started.terminate();
    throw new AttuneError(
      'model-changed',
      `The tokenizer in ${dir} is not the one that the model was started with. Restart the daemon.`,
      { dir },
    );
  }

  async function render(message: ToWorker): Promise<ChatTokens> {
    if (isClosed) throw endedEarly(dir, isClosed, undefined);
    const renderer = worker ?? (await restart());
    renderer.postMessage(message);
    return answerOf<ChatTokens>(renderer, budgetMs);
  }

  return {
    ...createTokenDecoder(tokenBytesOf(tokenTable), controlIds),
    stopIds,
    controlIds,
    renderChat(messages, request = {}) {
      const chat = before.then(() => render({ messages, request }));
      before = chat.catch(() => undefined);
      return chat;
    },
    async close() {
      isClosed = true;
      await worker?.terminate();
    },
  };
}

function valueIn<Value>(answer: FromWorker<Value>): Value {
  if ('value' in answer) return answer.value;
  const { code, message, facts } = answer.error;
  throw new AttuneError(code, message, facts);
}

function tooSlow(dir: string, limitMs: number): AttuneError {
  return new AttuneError(
    'template-failed',
    `The chat template or the tokenizer of ${dir} was stopped after ${limitMs / 1000} seconds. ` +
      'Say it in fewer words; if that does not help, the model folder is damaged or hostile.',
    { dir, limitMs },
  );
}

function endedEarly(dir: string, isClosed: boolean, cause: unknown): AttuneError {
  if (isClosed) return new AttuneError('shutting-down', 'The daemon is shutting down.');
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new AttuneError(
    'template-failed',
    `The chat template or the tokenizer of ${dir} failed: ${reason}.`,
    { dir },
    { cause },
  );
}
