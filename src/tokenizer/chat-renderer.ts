// Renders a chat to token ids: the template that is asked for, then the encoder. It reads no files.
import { AttuneError } from '../base/errors.ts';
import { type ChatTemplate, createChatTemplate } from './chat-template.ts';
import { createTextEncoder } from './encoder.ts';
import {
  type ChatMessage,
  type EncodeChatParts,
  encodeChat,
  type RenderedChat,
} from './rendered-chat.ts';
import { fitRoles } from './template-roles.ts';
import { createTokenBytes } from './token-bytes.ts';
import type { TokenizerFiles } from './tokenizer-file.ts';

export interface RenderChatOptions {
  /** Ends with the header of the reply to come. Default false. */
  readonly addGenerationPrompt?: boolean;
  /** Name in a list of templates. Default: `default`, or the only one. */
  readonly template?: string;
  /** When the conversation began, ms since 1970: for templates that write the date. */
  readonly at?: number;
  /** Further variables of the template, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>>;
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
  return (messages, options = {}) => {
    const template = chooseTemplate(templates, options.template, dir);
    const rendered = template.render(
      messages.map(({ role, content }) => ({ role, content })),
      {
        addGenerationPrompt: options.addGenerationPrompt ?? false,
        namedTokens: files.namedTokens,
        now: new Date(options.at ?? defaults.at ?? Date.now()),
        variables: { ...defaults.variables, ...options.variables },
      },
    );
    assertLength(rendered.text, messages, dir);
    return encodeChat(rendered, messages, { ...parts, stopIds: files.stopIds });
  };
}

/** What a template writes besides the messages: a few hundred characters, or its tools and rules. */
const TEMPLATE_CHARACTERS_MAX = 2 ** 18;

function assertLength(text: string, messages: readonly ChatMessage[], dir: string): void {
  const said = messages.reduce((sum, { content }) => sum + 2 * content.length + 256, 0);
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
