// A running reply: tokens come in, text grows, versions are counted, stop strings end it.
import type { DecodedToken } from '../engine/engine.ts';
import type {
  RunningReply as RunningView,
  VersionRun,
  WindowView,
} from '../protocol/conversation.ts';
import type { ChatTokenizer } from '../tokenizer/chat-tokenizer.ts';
import type { ToolCall } from '../tokenizer/rendered-chat.ts';
import type { StreamDecoder } from '../tokenizer/token-bytes.ts';
import type { ReplySettings } from './settings.ts';
import { createStopFinder, type StopFinder } from './stop-strings.ts';
import { createThoughtSplitter, type ThoughtSplitter } from './thought.ts';
import { type Calling, createToolSplitter, TOOL_MARKS, type ToolSplitter } from './tool-calls.ts';

/** What is known of a reply when it begins. */
export interface ReplyHead {
  readonly conversationId: string;
  readonly replyId: string;
  readonly messageId: string;
  /** The reply that it replaces. */
  readonly replaces: string | null;
  /** Of a told reply: the flag that it answers. It runs beside the conversation's own reply. */
  readonly flagId?: string | undefined;
  readonly window: WindowView;
  readonly promptTokens: number;
  readonly settings: ReplySettings;
  readonly startedAt: number;
  /** `open`: the prompt began a thought; `possible`: the reply may begin with one. */
  readonly thoughts: 'none' | 'possible' | 'open';
  /** The tools that it may call. */
  readonly calling?: Calling | undefined;
  /** The words with which it was begun; they are no part of its text here. */
  readonly prefill?: string | undefined;
  /** Keep each token with its log-probability; otherwise only the text is kept. */
  readonly keepTokens: boolean;
}

export type ReplyTokenizer = Pick<
  ChatTokenizer,
  'createStreamDecoder' | 'tokenText' | 'controlIds'
>;

export class RunningReply {
  readonly head: ReplyHead;
  readonly ids: number[] = [];
  readonly versionRuns: VersionRun[] = [];
  /** With `keepTokens`: what was decoded, in order. */
  readonly tokens: DecodedToken[] = [];
  /** Tools that it called so far. */
  readonly calls: ToolCall[] = [];
  readonly #decoder: StreamDecoder;
  readonly #splitter: ThoughtSplitter | undefined;
  readonly #tools: ToolSplitter | undefined;
  readonly #stopFinder: StopFinder;
  readonly #tokenizer: ReplyTokenizer;
  readonly #abort = new AbortController();
  #waiters: (() => void)[] = [];
  #thought = '';
  #text = '';
  #isStopped = false;
  #isAborted = false;
  #isInterrupted = false;

  constructor(head: ReplyHead, tokenizer: ReplyTokenizer) {
    this.head = head;
    this.#tokenizer = tokenizer;
    this.#decoder = tokenizer.createStreamDecoder();
    const { thoughts, settings, calling } = head;
    this.#tools = calling && createToolSplitter(calling);
    this.#splitter = thoughts === 'none' ? undefined : createThoughtSplitter(thoughts === 'open');
    this.#stopFinder = createStopFinder(settings.stop);
  }

  /** What came before the text, between the marks of a thought. */
  get thought(): string {
    return this.#thought;
  }

  get text(): string {
    return this.#text;
  }

  /** A stop string ended it. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** The daemon ended it. */
  get isInterrupted(): boolean {
    return this.#isInterrupted;
  }

  /** A client ended it, or the daemon. */
  get isAborted(): boolean {
    return this.#isAborted;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** @returns true when there is more text to show */
  take(token: DecodedToken): boolean {
    // The engine may be a token ahead of an abort; what the log holds ends where the text does.
    if (this.#isStopped || this.#isAborted) return false;
    this.#count(token.version);
    this.ids.push(token.id);
    if (this.head.keepTokens) this.tokens.push(token);
    const piece = this.#decoder.push(token.id) + this.#mark(token.id);
    const parts = this.#splitter?.push(piece) ?? { thought: '', text: piece };
    const { text, isStopped } = this.#stopFinder.push(this.#withoutCalls(parts.text));
    this.#thought += parts.thought;
    this.#text += text;
    if (isStopped) {
      this.#isStopped = true;
      this.#abort.abort();
    }
    this.#tell();
    return text !== '' || parts.thought !== '';
  }

  /** Words that a server has decoded. @returns true when there is more text to show */
  hear(heard: { readonly text: string; readonly thought: string }): boolean {
    if (this.#isAborted) return false;
    const parts = this.#splitter?.push(heard.text) ?? { thought: '', text: heard.text };
    const thought = heard.thought + parts.thought;
    this.#thought += thought;
    this.#text += parts.text;
    this.#tell();
    return parts.text !== '' || thought !== '';
  }

  /** Resolves when more text or another token has come. */
  grown(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #tell(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve();
  }

  /** No more tokens: shows what was held back. @returns true when that was anything */
  finish(): boolean {
    if (this.#isStopped) return false;
    const piece = this.#decoder.end();
    const parts = this.#splitter?.push(piece) ?? { thought: '', text: piece };
    const held = this.#splitter?.end() ?? { thought: '', text: '' };
    const said = this.#withoutCalls(parts.text + held.text) + this.#endCalls();
    const { text } = this.#stopFinder.push(said);
    const rest = text + this.#stopFinder.end();
    const thought = parts.thought + held.thought;
    this.#text += rest;
    this.#thought += thought;
    return rest !== '' || thought !== '';
  }

  abort(): void {
    this.#isAborted = true;
    this.#abort.abort();
  }

  interrupt(): void {
    if (this.#isAborted) return;
    this.#isInterrupted = true;
    this.abort();
  }

  view(): RunningView {
    const { replyId, messageId } = this.head;
    return { replyId, messageId, text: this.#text, thought: this.#thought };
  }

  /** The name of a control token that belongs to a call. */
  #mark(id: number): string {
    if (this.#tools === undefined || !this.#tokenizer.controlIds.has(id)) return '';
    const name = this.#tokenizer.tokenText(id);
    return TOOL_MARKS.includes(name) ? name : '';
  }

  #withoutCalls(text: string): string {
    const parts = this.#tools?.push(text) ?? { text, calls: [] };
    this.calls.push(...parts.calls);
    return parts.text;
  }

  #endCalls(): string {
    const parts = this.#tools?.end() ?? { text: '', calls: [] };
    this.calls.push(...parts.calls);
    return parts.text;
  }

  #count(version: string): void {
    const at = this.ids.length;
    const run = this.versionRuns.at(-1);
    if (run?.[2] === version) run[1] = at + 1;
    else this.versionRuns.push([at, at + 1, version]);
  }
}
