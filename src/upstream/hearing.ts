// Reads what a server says, in whichever API it says it (chat completions, completions, responses,
// Ollama's; whole or streamed): words, thoughts, calls of tools, and how it ended.
import { parsedJson } from '../base/atomic-file.ts';
import type { ToolCall } from '../tokenizer/rendered-chat.ts';

/** What is new. */
export interface Piece {
  readonly text: string;
  readonly thought: string;
}

type Fields = Readonly<Record<string, unknown>>;

const fieldsOf = (value: unknown): Fields =>
  typeof value === 'object' && value !== null ? (value as Fields) : {};
const listOf = (value: unknown): readonly Fields[] => (Array.isArray(value) ? value : []);
const textIn = (...values: readonly unknown[]): string =>
  values.find((value): value is string => typeof value === 'string') ?? '';

/** Events of the Responses API that bring words. */
const WORDS = 'response.output_text.delta';
const THOUGHTS = /^response\.reasoning(?:_text|_summary_text)?\.delta$/;

/** Of the first choice, where there are several. */
export class Hearing {
  #text = '';
  #thought = '';
  readonly #calls = new Map<unknown, { id: string; name: string; arguments: string }>();
  readonly #isLines: boolean;
  readonly #decoder = new TextDecoder();
  #rest = '';
  #usage: Fields = {};
  /** Of the reply. */
  finish = '';
  /** What went wrong, in the server's words. */
  error = '';
  /** Pieces that brought something: about as many as tokens. */
  pieces = 0;

  constructor(contentType = '') {
    this.#isLines = /event-stream|ndjson/.test(contentType);
  }

  get calls(): ToolCall[] {
    return [...this.#calls.values()];
  }

  get promptTokens(): number {
    const { prompt_tokens, input_tokens, prompt_eval_count } = this.#usage;
    return Number(prompt_tokens ?? input_tokens ?? prompt_eval_count ?? 0);
  }

  get replyTokens(): number {
    const { completion_tokens, output_tokens, eval_count } = this.#usage;
    return Number(completion_tokens ?? output_tokens ?? eval_count ?? this.pieces);
  }

  push(bytes: Uint8Array): Piece {
    this.#rest += this.#decoder.decode(bytes, { stream: true });
    if (!this.#isLines) return this.#taken();
    const lines = this.#rest.split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#line(line);
    return this.#taken();
  }

  /** The body has ended. */
  end(): Piece {
    this.#line(this.#rest);
    this.#rest = '';
    return this.#taken();
  }

  #taken(): Piece {
    const piece = { text: this.#text, thought: this.#thought };
    this.#text = '';
    this.#thought = '';
    if (piece.text !== '' || piece.thought !== '') this.pieces++;
    return piece;
  }

  #line(line: string): void {
    const value = parsedJson(line.replace(/^data:/, ''));
    if (typeof value === 'object' && value !== null) this.#take(value as Fields);
  }

  #take(value: Fields): void {
    const { type, error } = value;
    if (error) this.error = textIn(fieldsOf(error).message, error, JSON.stringify(error));
    if (typeof type === 'string' && type.startsWith('response.')) this.#event(type, value);
    else if (value.object === 'response') this.#response(value);
    else this.#completion(value);
  }

  #completion(value: Fields): void {
    const choice = listOf(value.choices).find(({ index }) => (index ?? 0) === 0) ?? {};
    const said = fieldsOf(choice.delta ?? choice.message ?? value.message);
    this.#text += textIn(said.content, choice.text, value.response);
    this.#thought += textIn(said.reasoning_content, said.reasoning, said.thinking, value.thinking);
    for (const [at, call] of listOf(said.tool_calls).entries()) this.#call(call, at);
    this.finish = textIn(choice.finish_reason, value.done_reason, this.finish);
    this.#usage = { ...this.#usage, ...fieldsOf(value.usage ?? (value.done ? value : {})) };
  }

  /** Pieces of a call are told apart by their index; Ollama sends each whole. */
  #call({ id, index, function: given }: Fields, at: number): void {
    const { name, arguments: written } = fieldsOf(given);
    const key = index ?? `whole ${this.#calls.size} ${at}`;
    const before = this.#calls.get(key) ?? { id: '', name: '', arguments: '' };
    const more = typeof written === 'object' ? JSON.stringify(written) : textIn(written);
    this.#calls.set(key, {
      id: before.id || textIn(id) || `call${this.#calls.size}`,
      name: before.name || textIn(name),
      arguments: before.arguments + more,
    });
  }

  #event(type: string, value: Fields): void {
    if (type === WORDS) this.#text += textIn(value.delta);
    else if (THOUGHTS.test(type)) this.#thought += textIn(value.delta);
    else if (type === 'response.output_item.done') this.#item(fieldsOf(value.item));
    else if (/completed|incomplete|failed/.test(type)) this.#ending(fieldsOf(value.response));
  }

  #response(value: Fields): void {
    for (const item of listOf(value.output)) {
      this.#item(item);
      const said = listOf(item.content).map(({ text }) => textIn(text));
      if (item.type === 'message') this.#text += said.join('');
      if (item.type === 'reasoning') this.#thought += said.join('');
    }
    this.#ending(value);
  }

  #item({ type, call_id, name, arguments: written }: Fields): void {
    if (type !== 'function_call') return;
    const call = { id: textIn(call_id), name: textIn(name), arguments: textIn(written) };
    this.#calls.set(call.id, call);
  }

  #ending({ usage, incomplete_details: cut, error }: Fields): void {
    this.#usage = fieldsOf(usage);
    this.finish = fieldsOf(cut).reason === 'max_output_tokens' ? 'length' : 'stop';
    if (error) this.error = textIn(fieldsOf(error).message, JSON.stringify(error));
  }
}
