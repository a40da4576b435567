// What OpenAI's Responses API answers: items, and the events of a stream that tell of each of them.
import type { AttuneError } from '../../base/errors.ts';
import type { DecodedToken } from '../../engine/engine.ts';
import type { ChatCompletionRequest } from '../../protocol/openai.ts';
import type { ToolCall } from '../../tokenizer/rendered-chat.ts';
import { openaiError } from '../error-message.ts';
import { type FormatOptions, logprobsOf, usageOf } from './chat-format.ts';
import { type Done, EVENT_STREAM, event, type Format, type Part } from './stream.ts';

interface ResponseOptions extends FormatOptions {
  readonly request: ChatCompletionRequest;
  /** Tools and instructions as they were sent. */
  readonly sent: Readonly<Record<string, unknown>>;
}

type Status = 'in_progress' | 'completed' | 'incomplete' | 'failed';

function responseObject(
  { id, created, model, request, sent }: ResponseOptions,
  more: { status: Status; output: readonly object[]; [name: string]: unknown },
): object {
  return {
    ...{ id, object: 'response', created_at: created, model, background: false },
    ...{ error: null, incomplete_details: null, previous_response_id: null, usage: null },
    instructions: sent.instructions ?? null,
    max_output_tokens: request.max_tokens ?? null,
    metadata: request.metadata ?? {},
    parallel_tool_calls: request.parallel_tool_calls ?? true,
    reasoning: { effort: request.reasoning_effort ?? null, summary: null },
    store: request.store ?? true,
    temperature: request.temperature ?? null,
    top_p: request.top_p ?? null,
    text: { format: { type: 'text' } },
    tool_choice: request.tool_choice ?? 'auto',
    tools: sent.tools ?? [],
    truncation: 'auto',
    ...more,
  };
}

/** One item of the output, as it is when it has ended. */
interface Item {
  readonly type: 'reasoning' | 'message' | 'function_call';
  readonly id: string;
  text: string;
  readonly tokens: DecodedToken[];
  readonly call?: ToolCall;
}

/** The items of one response as they grow, and the events that tell of them. */
class Items {
  readonly #options: ResponseOptions;
  readonly #output: Item[] = [];
  #isOpen = false;
  #sequence = 0;

  constructor(options: ResponseOptions) {
    this.#options = options;
  }

  tell(type: string, facts: object): string {
    return event({ type, sequence_number: this.#sequence++, ...facts }, type);
  }

  views(): object[] {
    return this.#output.map((item) => this.#view(item, 'completed'));
  }

  add({ text, thought, calls, tokens = [] }: Part): string {
    const thinking = thought === '' ? '' : this.#say('reasoning', thought, []);
    const said = text === '' ? '' : this.#say('message', text, tokens);
    return thinking + said + calls.map((call) => this.#call(call)).join('');
  }

  close(): string {
    const item = this.#output.at(-1);
    if (!this.#isOpen || item === undefined) return '';
    this.#isOpen = false;
    const { text, tokens, type } = item;
    const at = { ...this.#place(item), content_index: 0 };
    const more = type === 'message' ? { logprobs: this.#logprobs(tokens) } : {};
    const content =
      item.call === undefined
        ? this.tell(`response.${PARTS[type]}.done`, { ...at, text, ...more }) +
          this.tell('response.content_part.done', { ...at, part: this.#content(item) })
        : '';
    const whole = { output_index: at.output_index, item: this.#view(item, 'completed') };
    return content + this.tell('response.output_item.done', whole);
  }

  #say(type: 'reasoning' | 'message', delta: string, tokens: readonly DecodedToken[]): string {
    const last = this.#output.at(-1);
    const [item, opening] = this.#isOpen && last?.type === type ? [last, ''] : this.#open(type);
    item.text += delta;
    item.tokens.push(...tokens);
    const more = type === 'message' ? { logprobs: this.#logprobs(tokens) } : {};
    const facts = { ...this.#place(item), content_index: 0, delta, ...more };
    return opening + this.tell(`response.${PARTS[type]}.delta`, facts);
  }

  #call(call: ToolCall): string {
    const [item, opening] = this.#open('function_call', call);
    const at = this.#place(item);
    const { name, arguments: text } = call;
    return (
      opening +
      this.tell('response.function_call_arguments.delta', { ...at, delta: text }) +
      this.tell('response.function_call_arguments.done', { ...at, name, arguments: text })
    );
  }

  #open(type: Item['type'], call?: ToolCall): [Item, string] {
    const closing = this.close();
    const id = `${PREFIX[type]}_${this.#options.id}_${this.#output.length}`;
    const item: Item = { type, id, text: '', tokens: [], ...(call && { call }) };
    this.#output.push(item);
    this.#isOpen = true;
    const begun = call === undefined ? item : { ...item, call: { ...call, arguments: '' } };
    const at = this.#place(item);
    const { output_index } = at;
    const view = this.#view(begun, 'in_progress');
    const added = this.tell('response.output_item.added', { output_index, item: view });
    if (call !== undefined) return [item, closing + added];
    const part = { ...at, content_index: 0, part: this.#content(item) };
    return [item, closing + added + this.tell('response.content_part.added', part)];
  }

  #place(item: Item): { item_id: string; output_index: number } {
    return { item_id: item.id, output_index: this.#output.indexOf(item) };
  }

  #logprobs(tokens: readonly DecodedToken[]): object[] {
    return logprobsOf(tokens, this.#options.tokenizer);
  }

  #content({ type, text, tokens }: Item): object {
    return type === 'reasoning'
      ? { type: 'reasoning_text', text }
      : { type: 'output_text', text, annotations: [], logprobs: this.#logprobs(tokens) };
  }

  #view(item: Item, status: 'in_progress' | 'completed'): object {
    const { type, id, call, text } = item;
    if (call !== undefined) {
      return { type, id, status, call_id: call.id, name: call.name, arguments: call.arguments };
    }
    const content = text === '' ? [] : [this.#content(item)];
    if (type === 'reasoning') return { type, id, status, summary: [], content };
    return { type, id, status, role: 'assistant', content };
  }
}

/** `/v1/responses`. */
export function responsesFormat(options: ResponseOptions): Format {
  const items = new Items(options);
  const ended = (all: readonly Done[]): { status: Status; response: object } => {
    const isCut = all.some(({ reply }) => reply.stopReason === 'length');
    const status = isCut ? 'incomplete' : 'completed';
    const response = responseObject(options, {
      ...{ status, output: items.views(), usage: usageView(all) },
      incomplete_details: isCut ? { reason: 'max_output_tokens' } : null,
    });
    return { status, response };
  };
  return {
    ...EVENT_STREAM,
    whole(all) {
      for (const { choice, running } of all) items.add({ choice, ...partOf(running) });
      return ended(all).response;
    },
    begin() {
      const response = responseObject(options, { status: 'in_progress', output: [] });
      return (
        items.tell('response.created', { response }) +
        items.tell('response.in_progress', { response })
      );
    },
    part: (part) => items.add(part),
    end: () => items.close(),
    finish(all) {
      const { status, response } = ended(all);
      return items.tell(`response.${status}`, { response });
    },
    fail(error: AttuneError) {
      const { code, message } = openaiError(error).error;
      const failed = { status: 'failed', output: [], error: { code, message } } as const;
      return items.tell('response.failed', { response: responseObject(options, failed) });
    },
  };
}

const PARTS = { reasoning: 'reasoning_text', message: 'output_text', function_call: '' } as const;
const PREFIX = { reasoning: 'rs', message: 'msg', function_call: 'fc' } as const;

function partOf({ text, thought, calls, tokens, head }: Done['running']): Omit<Part, 'choice'> {
  return { text, thought, calls, tokens: head.keepTokens ? tokens : undefined };
}

function usageView(all: readonly Done[]): object {
  const { prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details } = usageOf(all);
  return {
    input_tokens: prompt_tokens,
    input_tokens_details: { ...prompt_tokens_details, cache_write_tokens: 0 },
    output_tokens: completion_tokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens,
  };
}
