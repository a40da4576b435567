// Tool calls and what tools answered, in the form that a chat template takes.
import { createHash } from 'node:crypto';
import { AttuneError } from '../base/errors.ts';
import type { TemplateMessage } from './content-mark.ts';
import type { ChatMessage, ToolCall } from './rendered-chat.ts';
import type { AddedToken } from './tokenizer-file.ts';

/** Mistral's templates take no other ids. */
const TOOL_CALL_ID = /^[A-Za-z0-9]{9}$/;

/** An id of a call for templates: itself, or one that is always the same for it. */
function templateId(id: string): string {
  if (TOOL_CALL_ID.test(id)) return id;
  return createHash('sha256').update(id).digest('hex').slice(0, 9);
}

/** Templates write arguments as JSON: what is no JSON is written as the text that it is. */
function argumentsOf({ arguments: text }: ToolCall): unknown {
  try {
    return JSON.parse(text === '' ? '{}' : text);
  } catch {
    return text;
  }
}

/** For a template that knows tools. */
export function templateMessage({ role, content, ...more }: ChatMessage): TemplateMessage {
  const { toolCalls = [], toolCallId } = more;
  const calls = toolCalls.map((call) => ({
    id: templateId(call.id),
    type: 'function',
    function: { name: call.name, arguments: argumentsOf(call) },
  }));
  return {
    role,
    content,
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
    ...(toolCallId === undefined ? {} : { tool_call_id: templateId(toolCallId) }),
  };
}

/** For a template that does not: calls and answers as words, in the form of most models. */
export function plainMessage(message: ChatMessage): ChatMessage {
  const { role, content, ids, toolCalls = [] } = message;
  if (role === 'tool') {
    return { role: 'user', content: `<tool_response>\n${content}\n</tool_response>` };
  }
  if (toolCalls.length === 0) return ids === undefined ? { role, content } : message;
  const calls = toolCalls.map((call) => {
    const json = JSON.stringify({ name: call.name, arguments: argumentsOf(call) });
    return `<tool_call>\n${json}\n</tool_call>`;
  });
  return { role, content: [content, ...calls].filter((text) => text !== '').join('\n') };
}

/**
 * Tools and calls are written by the template, as if they were its own words.
 * @throws message-invalid when they spell a control token
 */
export function assertNoControl(
  tools: readonly object[],
  messages: readonly ChatMessage[],
  addedTokens: readonly AddedToken[],
): void {
  const calls = messages.flatMap(({ toolCalls = [] }) => toolCalls);
  if (tools.length === 0 && calls.length === 0) return;
  const written = JSON.stringify([tools, calls]);
  const control = addedTokens.find(
    ({ isControl, content }) => isControl && written.includes(content),
  );
  if (control === undefined) return;
  const message =
    `The tools or their calls hold "${control.content}", which is a control token of this model. ` +
    'Write it differently.';
  throw new AttuneError('message-invalid', message, { param: 'tools' });
}
