// Runs the tokenizer of a model in a worker, which is stopped when a chat takes too long.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Clock } from '../base/clock.ts';
import { compiledEntry } from '../base/compiled.ts';
import { AttuneError, isAttuneError, unpackError } from '../base/errors.ts';
import { createQueue } from '../base/queue.ts';
import type { RenderDefaults } from './chat-renderer.ts';
import type { ChatTokenizer, ChatTokens } from './chat-tokenizer.ts';
import { readTokenizer } from './read-tokenizer.ts';
import type { ChatMessage } from './rendered-chat.ts';
import { factsOf } from './tokenizer.ts';
import type { FromWorker, ToWorker, WorkerData } from './worker.ts';

export interface TokenizerWorkerOptions {
  /** The model: a folder or a GGUF file. */
  readonly dir: string;
  /** What holds where a rendering says nothing of it. */
  readonly defaults?: RenderDefaults;
  readonly clock: Clock;
  /** The longest that one chat may take. Default 20 s: four times what accepted ones do. */
  readonly budgetMs?: number;
  /**
   * CPU time of this process in ms. On a busy machine an honest chat takes long, and little of it:
   * only what has had its time is stopped.
   */
  readonly cpuMs?: () => number;
}

const BUDGET_MS = 20_000;
/** Short chats get less, so that one that does not end holds up the others for less. */
const SHORTEST_BUDGET_MS = 4_000;
const BUDGET_MS_PER_CHARACTER = 0.2;
/** A chat of more is rendered in a worker of its own kind, so that short ones never wait for it. */
const LONG_CHARACTERS = 20_000;
/** What a message costs besides its characters. */
const CHARACTERS_PER_MESSAGE = 20;
const STARTING_MS_MAX = 60_000;
/** Between two looks at how much it has computed. */
const LOOK_MS_MIN = 50;
/** The largest vocabularies in use take about a third of it. */
const HEAP_MB_MAX = 1_536;

/**
 * Rendering leaves the event loop free, and a chat template or a pattern of the tokenizer that does
 * not come to an end costs its own chat only: the next one gets a new worker.
 * @throws tokenizer-invalid, template-failed (not Jinja, or it does not come to an end)
 */
export async function openTokenizerWorker(options: TokenizerWorkerOptions): Promise<ChatTokenizer> {
  const { dir, defaults = {} } = options;
  const files = await readTokenizer(dir);
  const short = new RenderingWorker({ dir, files, defaults }, options);
  const long = new RenderingWorker({ dir, files, defaults }, options);
  await tryOut(short);
  return {
    ...factsOf(files),
    async encodeRaw(raw) {
      const worker = raw.length > LONG_CHARACTERS ? long : short;
      return (await worker.render({ raw }, raw.length * BUDGET_MS_PER_CHARACTER)).ids;
    },
    renderChat(messages, request = {}) {
      const characters = charactersOf(messages);
      const worker = characters > LONG_CHARACTERS ? long : short;
      return worker.render({ messages, request }, characters * BUDGET_MS_PER_CHARACTER);
    },
    async close() {
      await Promise.all([short.close(), long.close()]);
    },
  };
}

function processCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

function charactersOf(messages: readonly ChatMessage[]): number {
  return messages.reduce((sum, { content }) => sum + content.length + CHARACTERS_PER_MESSAGE, 0);
}

/** On long runs of one character, patterns that take more than linear time do not end. */
const TRIAL: readonly ChatMessage[] = [
  { role: 'user', content: [...'aA1 .\n-é字'].map((one) => `${one.repeat(64)}!`).join('') },
  { role: 'assistant', content: 'Yes.' },
  { role: 'user', content: 'Well, then…' },
];

/** @throws tokenizer-invalid, template-failed when the model's files do not come to an end */
async function tryOut(worker: RenderingWorker): Promise<void> {
  await worker.start();
  try {
    await worker.render({ messages: TRIAL, request: { addGenerationPrompt: true } });
  } catch (error) {
    // A template that refuses this chat may take others.
    if (isAttuneError(error) && 'limitMs' in error.facts) throw error;
  }
}

class RenderingWorker {
  readonly #data: WorkerData;
  readonly #clock: Clock;
  readonly #budgetMs: number;
  readonly #cpuMs: () => number;
  /** Undefined once it has failed or exited. */
  #worker: Worker | undefined;
  /** One chat after the other. */
  readonly #queue = createQueue();
  #isClosed = false;

  constructor(data: WorkerData, options: TokenizerWorkerOptions) {
    const { clock, budgetMs = BUDGET_MS, cpuMs = processCpuMs } = options;
    this.#data = data;
    this.#cpuMs = cpuMs;
    this.#clock = clock;
    this.#budgetMs = budgetMs;
  }

  async start(): Promise<Worker> {
    const resourceLimits = { maxOldGenerationSizeMb: HEAP_MB_MAX };
    const entry = compiledEntry('tokenizer/worker.js');
    const worker = new Worker(entry, { workerData: this.#data, resourceLimits });
    const onEnd = (): void => {
      if (this.#worker === worker) this.#worker = undefined;
    };
    this.#worker = worker.on('error', onEnd).on('exit', onEnd);
    try {
      await this.#answer(worker, STARTING_MS_MAX);
    } catch (error) {
      await worker.terminate();
      throw error;
    }
    return worker;
  }

  render(message: ToWorker, moreMs = 0): Promise<ChatTokens> {
    const limitMs = Math.min(this.#budgetMs, SHORTEST_BUDGET_MS + moreMs);
    return this.#queue(() => this.#render(message, limitMs));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#worker?.terminate();
  }

  async #render(message: ToWorker, limitMs: number): Promise<ChatTokens> {
    if (this.#isClosed) throw this.#ended(undefined);
    const worker = this.#worker ?? (await this.start());
    worker.postMessage(message);
    const answer = await this.#answer(worker, limitMs);
    if (answer.type !== 'chat') throw new Error(`tokenizer: ${answer.type} is not an answer`);
    return answer.chat;
  }

  /** The worker's next answer. Only while it is waited for, the worker keeps the process alive. */
  async #answer(worker: Worker, limitMs: number): Promise<Exclude<FromWorker, { type: 'error' }>> {
    const settled = new AbortController();
    let isLate = false;
    const begunMs = this.#cpuMs();
    const look = (): void => {
      const leftMs = limitMs - (this.#cpuMs() - begunMs);
      if (leftMs > 0) {
        timer = this.#clock.setTimeout(look, Math.max(leftMs, LOOK_MS_MIN));
        return;
      }
      isLate = true;
      void worker.terminate();
    };
    let timer = this.#clock.setTimeout(look, limitMs);
    worker.ref();
    try {
      const end = once(worker, 'exit', settled).then(() => Promise.reject(new Error('it ended')));
      const [first] = await Promise.race([once(worker, 'message', settled), end]);
      const answer = first as FromWorker;
      if (answer.type !== 'error') return answer;
      throw unpackError(answer.error, 'template-failed');
    } catch (cause) {
      if (isLate) throw this.#stopped(limitMs);
      throw cause instanceof AttuneError ? cause : this.#ended(cause);
    } finally {
      timer.cancel();
      settled.abort();
      worker.unref();
    }
  }

  #stopped(limitMs: number): AttuneError {
    const { dir } = this.#data;
    const message =
      `The chat template or the tokenizer of ${dir} was stopped after ${limitMs / 1000} seconds. ` +
      'Say it in fewer words; if that does not help, use another model: its files are damaged ' +
      'or hostile.';
    return new AttuneError('template-failed', message, { dir, limitMs });
  }

  #ended(cause: unknown): AttuneError {
    if (this.#isClosed) return new AttuneError('shutting-down', 'The daemon is shutting down.');
    const { dir } = this.#data;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `The chat template or the tokenizer of ${dir} failed: ${reason}.`;
    return new AttuneError('template-failed', message, { dir }, { cause });
  }
}
