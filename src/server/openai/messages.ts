// The messages of an OpenAI request: what was said, what is to be answered, what the prompt has.
import type { SaidMessage } from '../../conversation/fingerprint.ts';
import { spoken } from '../../conversation/spoken.ts';
import type { PromptMessage, Turn } from '../../conversation/window.ts';
import type { OpenaiMessage } from '../../protocol/openai.ts';

export interface Split {
  readonly systemPrompt: string;
  /** What the person and the model said aloud before the last message of the person. */
  readonly before: readonly SaidMessage[];
  /** The last message of the person; undefined: there is none with words. */
  readonly last: SaidMessage | undefined;
  /** The words with which the reply is to begin: the last message is one of the model's. */
  readonly prefill: string | undefined;
  /** All of it but system prompt and prefill, with calls of tools and what they answered. */
  readonly turns: readonly Turn[];
  readonly hasTools: boolean;
}

export function split(messages: readonly OpenaiMessage[]): Split {
  const system = messages.filter(isSystem).map(({ content }) => content);
  const others = messages.filter((message) => !isSystem(message));
  const final = others.at(-1);
  const isPrefill = final?.role === 'assistant' && !final.tool_calls?.length;
  const kept = isPrefill ? others.slice(0, -1) : others;
  const said = kept.flatMap(aloud);
  const at = said.findLastIndex(({ role }) => role === 'user');
  const last = said[at];
  const systemPrompt = system.join('\n\n');
  const turns = turnsOf(kept);
  return {
    systemPrompt,
    before: said.slice(0, Math.max(0, at)),
    last: last?.text === '' ? undefined : last,
    prefill: isPrefill && final.content !== '' ? final.content : undefined,
    // No template writes a conversation of nothing.
    turns: turns.length === 0 && systemPrompt === '' ? [[{ ...EMPTY, id: 'm0' }]] : turns,
    hasTools: kept.some(({ role }, index) => role === 'tool' || callsOf(kept[index]).length > 0),
  };
}

const EMPTY = { role: 'user', content: '' } as const;

function isSystem({ role }: OpenaiMessage): boolean {
  return role === 'system' || role === 'developer';
}

function callsOf(message: OpenaiMessage | undefined) {
  return message?.role === 'assistant' ? (message.tool_calls ?? []) : [];
}

/** Replies that call tools are steps on the way to one, and no words of the conversation. */
function aloud(message: OpenaiMessage): SaidMessage[] {
  const { role, content } = message;
  if (role === 'user') return [{ role, text: content }];
  if (role !== 'assistant' || callsOf(message).length > 0) return [];
  // Programs show thoughts and tool calls, and some send them back.
  return [{ role, text: spoken(content) }];
}

function turnsOf(messages: readonly OpenaiMessage[]): Turn[] {
  const turns: PromptMessage[][] = [];
  for (const [index, message] of messages.entries()) {
    const one = promptMessage(message, `m${index}`);
    const isNothing = one.content === '' && one.role === 'assistant' && !one.toolCalls;
    const turn = turns.at(-1);
    if (isNothing) continue;
    if (one.role === 'user' || turn === undefined) turns.push([one]);
    else turn.push(one);
  }
  return turns;
}

function promptMessage(message: OpenaiMessage, id: string): PromptMessage {
  const { content } = message;
  if (message.role === 'tool') {
    return { role: 'tool', content, id, toolCallId: message.tool_call_id };
  }
  if (message.role !== 'assistant') return { role: 'user', content, id };
  const calls = callsOf(message).map((call) => ({ id: call.id, ...call.function }));
  const toolCalls = calls.length === 0 ? {} : { toolCalls: calls };
  return { role: 'assistant', content: spoken(content), id, ...toolCalls };
}
