// Renders a chat to token ids: the template that is asked for, then the encoder. It reads no files.
import { createHash } from 'node:crypto';
import { parsedJson } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import { type ChatTemplate, createChatTemplate } from './chat-template.ts';
import type { TemplateMessage } from './content-mark.ts';
import { createTextEncoder } from './encoder.ts';
import {
  type ChatMessage,
  type EncodeChatParts,
  encodeChat,
  type RenderedChat,
  type ToolCall,
} from './rendered-chat.ts';
import { fitRoles } from './template-roles.ts';
import { endsInThought, THOUGHT_END } from './thought.ts';
import { createTokenBytes } from './token-bytes.ts';
import type { AddedToken, TokenizerFiles } from './tokenizer-file.ts';

export interface RenderChatOptions {
  /** Ends with the header of the reply to come. Default false. */
  readonly addGenerationPrompt?: boolean;
  /** Name in a list of templates. Default: `default`, or the only one. */
  readonly template?: string;
  /** When the conversation began, ms since 1970: for templates that write the date. */
  readonly at?: number;
  /** Further variables of the template, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** Descriptions of tools that the reply may call, as OpenAI's API has them. */
  readonly tools?: readonly object[] | undefined;
  /** The words with which the reply to come begins; a thought that the template begins is closed. */
  readonly prefill?: string | undefined;
}

/** @throws template-failed, span-unaligned */
export type ChatRenderer = (
  messages: readonly ChatMessage[],
  options?: RenderChatOptions,
) => RenderedChat;

/** What holds where a rendering says nothing of it; without a time, now. */
export type RenderDefaults = Pick<RenderChatOptions, 'at' | 'variables'>;

/** @throws tokenizer-invalid, template-failed (a template that is not Jinja) */
export function createChatRenderer(
  dir: string,
  { files, defaults }: { readonly files: TokenizerFiles; readonly defaults: RenderDefaults },
  parts: Pick<EncodeChatParts, 'encoder' | 'tokens'> = {
    encoder: createTextEncoder(files),
    tokens: createTokenBytes(files),
  },
): ChatRenderer {
  const templates = new Map(
    [...files.templates].map(([name, text]) => [name, fitRoles(createChatTemplate(text))]),
  );
  const { addedTokens } = files;
  const isPlain = (text: string): boolean =>
    !addedTokens.some(({ isControl, content }) => isControl && text.includes(content));
  return (given, options = {}) => {
    const { tools = [], prefill } = options;
    const name =
      options.template ?? (tools.length > 0 && templates.has(FOR_TOOLS) ? FOR_TOOLS : undefined);
    const template = chooseTemplate(templates, name, dir);
    const messages = takesTools(files) ? given : given.map(plainMessage);
    assertNoControl(tools, messages, addedTokens);
    const rendered = template.render(messages.map(templateMessage), {
      addGenerationPrompt: options.addGenerationPrompt ?? false,
      namedTokens: files.namedTokens,
      now: new Date(options.at ?? defaults.at ?? Date.now()),
      variables: { ...defaults.variables, ...options.variables },
      ...(tools.length > 0 && { tools }),
      isPlain,
    });
    assertLength(
      rendered.text,
      [...messages, { role: 'tools', content: JSON.stringify(tools) }],
      dir,
    );
    const chat = encodeChat(rendered, messages, { ...parts, stopIds: files.stopIds });
    return prefill === undefined ? chat : begun(chat, prefill, parts);
  };
}

/** The name under which some models have a second template, for tools. */
const FOR_TOOLS = 'tool_use';

/** Whether a chat template of the model has a place for tools. */
export function takesTools({ templates }: Pick<TokenizerFiles, 'templates'>): boolean {
  return [...templates.values()].some((text) => /\btools\b/.test(text));
}

/** A chat whose reply has its first words already. */
function begun(
  chat: RenderedChat,
  prefill: string,
  { encoder }: Pick<EncodeChatParts, 'encoder'>,
): RenderedChat {
  const close = endsInThought(chat.text) ? `\n${THOUGHT_END}\n\n` : '';
  const pieces = [
    ...encoder.encode(close, { isSequenceStart: false, mayUse: () => true }),
    ...encoder.encode(prefill, { isSequenceStart: false }),
  ];
  const ids = [...chat.ids, ...pieces.flatMap((piece) => piece.ids)];
  return { ...chat, ids, text: chat.text + close + prefill };
}

/** What a template writes besides the messages: a few hundred characters, or its tools and rules. */
const TEMPLATE_CHARACTERS_MAX = 2 ** 18;

function assertLength(text: string, messages: readonly ChatMessage[], dir: string): void {
  const said = messages.reduce(
    (sum, { content, toolCalls = [] }) =>
      sum + 2 * (content.length + JSON.stringify(toolCalls).length) + 256,
    0,
  );
  if (text.length <= TEMPLATE_CHARACTERS_MAX + said) return;
  const message =
    `The chat template of ${dir} writes ${text.length} characters round this chat. Use another ` +
    'model: its files are damaged or hostile.';
  throw new AttuneError('template-failed', message, { dir, characters: text.length });
}

function chooseTemplate(
  templates: ReadonlyMap<string, ChatTemplate>,
  name: string | undefined,
  dir: string,
): ChatTemplate {
  const only = templates.size === 1 ? [...templates.values()][0] : undefined;
  const template = name === undefined ? (templates.get('default') ?? only) : templates.get(name);
  if (template !== undefined) return template;
  const known = [...templates.keys()].join(', ') || 'none';
  const message =
    `${dir} has no chat template "${name ?? 'default'}" (there: ${known}). ` +
    'Use a model that was made for chat.';
  throw new AttuneError('template-failed', message, { dir, template: name ?? 'default', known });
}

// Tool calls and what tools answered, in the form that a chat template takes.

/** Mistral's templates take no other ids. */
const TOOL_CALL_ID = /^[A-Za-z0-9]{9}$/;

/** An id of a call for templates: itself, or one that is always the same for it. */
function templateId(id: string): string {
  if (TOOL_CALL_ID.test(id)) return id;
  return createHash('sha256').update(id).digest('hex').slice(0, 9);
}

/** Templates write arguments as JSON: what is no JSON is written as the text that it is. */
const argumentsOf = ({ arguments: text }: ToolCall): unknown => parsedJson(text || '{}') ?? text;

/** For a template that knows tools. */
function templateMessage({ role, content, ...more }: ChatMessage): TemplateMessage {
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
function plainMessage(message: ChatMessage): ChatMessage {
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
function assertNoControl(
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
