// Renders a Jinja chat template to text, with the place of each message's content in it.
import { Environment, parse, tokenize } from '@huggingface/jinja';
import { AttuneError } from '../base/errors.ts';
import { type ContentPlace, locateContents, type TemplateMessage } from './content-mark.ts';
import { PythonInterpreter } from './python-interpreter.ts';

export interface TemplateContext {
  readonly addGenerationPrompt: boolean;
  /** bos_token, eos_token … */
  readonly namedTokens: Readonly<Record<string, string>>;
  /** For templates that write the date. */
  readonly now: Date;
  /** Further variables, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** Descriptions of tools that the reply may call, as OpenAI's API has them. */
  readonly tools?: readonly object[] | undefined;
  /** Whether a text can spell no control token. Default: it has no bracket of one. */
  readonly isPlain?: (text: string) => boolean;
}

export interface RenderedText {
  readonly text: string;
  /** In the order of the text. A message that the template leaves out has none. */
  readonly places: readonly ContentPlace[];
}

export interface ChatTemplate {
  /** @throws template-failed when the template refuses, span-unaligned when contents are lost */
  render(messages: readonly TemplateMessage[], context: TemplateContext): RenderedText;
}

const RANGE_MAX = 100_000;

function failed(message: string, cause?: unknown): AttuneError {
  return new AttuneError('template-failed', message, {}, { cause });
}

function range(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  const length = Math.max(0, Math.ceil((to - from) / step));
  if (step === 0 || !Number.isFinite(length) || length > RANGE_MAX) {
    throw new Error(`range(${from}, ${to}, ${step}) is too long`);
  }
  return Array.from({ length }, (_, index) => from + index * step);
}

/** Python's strftime for what templates use; English names, local time. */
function formatDate(date: Date, format: string): string {
  const pad = (value: number, length = 2): string => String(value).padStart(length, '0');
  const name = (options: Intl.DateTimeFormatOptions): string =>
    new Intl.DateTimeFormat('en-US', options).format(date);
  const fields: Readonly<Record<string, () => string>> = {
    Y: () => String(date.getFullYear()),
    y: () => pad(date.getFullYear() % 100),
    m: () => pad(date.getMonth() + 1),
    d: () => pad(date.getDate()),
    '-d': () => String(date.getDate()),
    H: () => pad(date.getHours()),
    I: () => pad(date.getHours() % 12 || 12),
    M: () => pad(date.getMinutes()),
    S: () => pad(date.getSeconds()),
    p: () => (date.getHours() < 12 ? 'AM' : 'PM'),
    A: () => name({ weekday: 'long' }),
    a: () => name({ weekday: 'short' }),
    B: () => name({ month: 'long' }),
    b: () => name({ month: 'short' }),
    '%': () => '%',
  };
  return format.replace(/%(-?[A-Za-z%])/g, (whole, field) => fields[field]?.() ?? whole);
}

type Parsed = ReturnType<typeof parse>;

function run(program: Parsed, messages: readonly object[], context: TemplateContext): string {
  const environment = new Environment();
  const variables: Record<string, unknown> = {
    ...context.variables,
    false: false,
    true: true,
    none: null,
    False: false,
    True: true,
    None: null,
    range,
    raise_exception: (message: unknown) => {
      throw failed(`The chat template refuses: ${String(message)}`);
    },
    strftime_now: (format: string) => formatDate(context.now, format),
    ...context.namedTokens,
    tools: context.tools ?? null,
    documents: null,
    messages,
    add_generation_prompt: context.addGenerationPrompt,
  };
  try {
    for (const [name, value] of Object.entries(variables)) environment.set(name, value);
    return String(new PythonInterpreter(environment).run(program).value);
  } catch (cause) {
    if (cause instanceof AttuneError) throw cause;
    const message = cause instanceof Error ? cause.message : String(cause);
    throw failed(`The chat template failed: ${message}`, cause);
  }
}

/** @throws template-failed when the template is not Jinja */
export function createChatTemplate(source: string): ChatTemplate {
  let program: Parsed;
  try {
    program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw failed(`The chat template is not valid: ${message}`, cause);
  }
  return {
    render(messages, context) {
      const write = (list: readonly TemplateMessage[]): string => run(program, list, context);
      const text = write(messages);
      const { isPlain = (content: string) => !/[<[]/.test(content) } = context;
      return { text, places: locateContents(text, messages, { write, isPlain }) };
    },
  };
}
