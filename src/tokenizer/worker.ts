// The worker's side: loads the tokenizer of a model folder, then renders the chats that it is sent.
import { parentPort, workerData } from 'node:worker_threads';
import { type ErrorCode, type ErrorFacts, isAttuneError } from '../base/errors.ts';
import { type ChatTokens, type RenderRequest, renderChatTokens } from './chat-tokenizer.ts';
import type { ChatMessage } from './rendered-chat.ts';
import type { TokenTable } from './token-bytes.ts';
import { loadTokenizer } from './tokenizer.ts';

/** Each is answered before the next is sent. */
export interface ToWorker {
  readonly messages: readonly ChatMessage[];
  readonly request: RenderRequest;
}

/** The first answer tells of the tokenizer, those after it of chats. */
export type FromWorker<Value> = { readonly value: Value } | { readonly error: WorkerError };

export interface WorkerError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly facts: ErrorFacts;
}

export interface OpenedTokenizer {
  readonly stopIds: readonly number[];
  readonly controlIds: ReadonlySet<number>;
  readonly tokenTable: TokenTable;
}

function errorOf(error: unknown): WorkerError {
  if (isAttuneError(error)) {
    return { code: error.code, message: error.message, facts: error.facts };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'template-failed', message: `Rendering the chat failed: ${message}`, facts: {} };
}

async function answer<Value>(work: () => Value | Promise<Value>): Promise<void> {
  let message: FromWorker<Value>;
  try {
    message = { value: await work() };
  } catch (error) {
    message = { error: errorOf(error) };
  }
  parentPort?.postMessage(message);
}

const opening = loadTokenizer(workerData as string);

await answer<OpenedTokenizer>(async () => {
  const { stopIds, controlIds, tokenTable } = await opening;
  return { stopIds, controlIds, tokenTable };
});
parentPort?.on('message', ({ messages, request }: ToWorker) =>
  answer<ChatTokens>(async () => renderChatTokens(await opening, messages, request)),
);
