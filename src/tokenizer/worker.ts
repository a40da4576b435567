// The worker's side: renders the chats that it is sent, with the tokenizer that it is started with.
import { parentPort, workerData } from 'node:worker_threads';
import { packError, type SentError } from '../base/errors.ts';
import { createChatRenderer, type RenderDefaults } from './chat-renderer.ts';
import { type ChatTokens, type RenderRequest, renderChatTokens } from './chat-tokenizer.ts';
import { createRawEncoder, createTextEncoder } from './encoder.ts';
import type { ChatMessage } from './rendered-chat.ts';
import { createTokenBytes } from './token-bytes.ts';
import type { TokenizerFiles } from './tokenizer-file.ts';

export interface WorkerData {
  readonly dir: string;
  readonly files: TokenizerFiles;
  readonly defaults: RenderDefaults;
}

/** Each is answered before the next is sent. */
export type ToWorker =
  | { readonly messages: readonly ChatMessage[]; readonly request: RenderRequest }
  | { readonly raw: string };

export type FromWorker =
  | { readonly type: 'ready' }
  | { readonly type: 'chat'; readonly chat: ChatTokens }
  | { readonly type: 'error'; readonly error: SentError };

function tell(work: () => FromWorker): void {
  try {
    parentPort?.postMessage(work());
  } catch (error) {
    parentPort?.postMessage({ type: 'error', error: packError(error) } satisfies FromWorker);
  }
}

tell(() => {
  const { dir, ...parts } = workerData as WorkerData;
  const encoder = createTextEncoder(parts.files);
  const tokens = createTokenBytes(parts.files);
  const renderChat = createChatRenderer(dir, parts, { encoder, tokens });
  const encodeRaw = createRawEncoder(parts.files, encoder);
  parentPort?.on('message', (asked: ToWorker) =>
    tell(() => ({
      type: 'chat',
      chat:
        'raw' in asked
          ? { ids: encodeRaw(asked.raw), messages: [], spans: [], isThinking: false }
          : renderChatTokens({ renderChat }, asked.messages, asked.request),
    })),
  );
  return { type: 'ready' };
});
