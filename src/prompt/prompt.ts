// Reads prompts from Markdown files and fills their named slots; it knows no model.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { z } from 'zod';
import { readTextBounded } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import { systemCode } from '../base/file-ops.ts';
import { sha256 } from '../base/hash.ts';

export interface Prompt {
  /** The path below the prompts' folder without `.md`: "dream/listen". */
  readonly name: string;
  /** What stands between the `---` lines at the top; empty when there are none. */
  readonly frontMatter: Readonly<Record<string, unknown>>;
  /** Names of the slots, each once, in the order of the text. */
  readonly slots: readonly string[];
  /** SHA-256 of the file, for manifests. */
  readonly hash: string;
  /** @throws prompt-invalid when a slot is missing or a value has no slot */
  fill(values: Readonly<Record<string, string>>): string;
}

export interface PromptFolder {
  readonly names: readonly string[];
  /** @throws prompt-invalid when there is no such prompt */
  get(name: string): Prompt;
  /** Hash over all prompts, whatever their order on disk. */
  readonly hash: string;
}

const PROMPT_BYTES_MAX = 256 * 1024;
const FILES_MAX = 1_000;
/** `{{ name }}`; a brace that is meant as text is written `\{{`. */
const SLOT = /(\\?)\{\{\s*([A-Za-z][A-Za-z0-9-]*)\s*\}\}/g;

function invalid(name: string, message: string, cause?: unknown): AttuneError {
  return new AttuneError('prompt-invalid', `Prompt ${name}: ${message}`, { name }, { cause });
}

/** The front matter of a prompt, checked. @throws prompt-invalid with the first place that does not fit */
export function frontOf<S extends z.ZodType>(prompt: Prompt, schema: S): z.infer<S> {
  const parsed = schema.safeParse(prompt.frontMatter);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw invalid(prompt.name, `${issue?.path.map(String).join('.')}: ${issue?.message}.`);
}

function splitFrontMatter(
  name: string,
  text: string,
): { frontMatter: Readonly<Record<string, unknown>>; body: string } {
  const match = /^---\n(?:([\s\S]*?)\n)?---\n/.exec(text);
  if (match === null) {
    if (text.startsWith('---\n')) throw invalid(name, 'its front matter does not end with ---.');
    return { frontMatter: {}, body: text };
  }
  let values: unknown;
  try {
    values = parse(match[1] ?? '') ?? {};
  } catch (cause) {
    throw invalid(name, 'its front matter is not YAML.', cause);
  }
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw invalid(name, 'its front matter must hold names and values.');
  }
  const frontMatter = values as Readonly<Record<string, unknown>>;
  return { frontMatter, body: text.slice(match[0].length) };
}

/** White space at both ends of the text is not part of the prompt. @throws prompt-invalid */
export function parsePrompt(name: string, source: string): Prompt {
  const text = source.replaceAll('\r\n', '\n');
  const { frontMatter, body } = splitFrontMatter(name, text);
  const template = body.trim();
  const slots = new Set<string>();
  for (const [, mark, slot] of template.matchAll(SLOT)) {
    if (mark === '' && slot !== undefined) slots.add(slot);
  }
  const rest = template.replace(SLOT, '').replaceAll('\\{{', '');
  if (rest.includes('{{') || rest.includes('}}')) {
    throw invalid(name, 'a slot is not closed or has a name that is not made of letters.');
  }
  return {
    name,
    frontMatter,
    slots: [...slots],
    hash: sha256(source),
    fill(values) {
      const missing = [...slots].filter((slot) => values[slot] === undefined);
      const unknown = Object.keys(values).filter((value) => !slots.has(value));
      if (missing.length > 0) throw invalid(name, `no value for the slots ${missing.join(', ')}.`);
      if (unknown.length > 0) throw invalid(name, `it has no slots ${unknown.join(', ')}.`);
      // One pass: what a value contains is never filled again.
      return template.replace(SLOT, (whole, mark: string, slot: string) =>
        mark === '' ? (values[slot] ?? '') : whole.slice(1),
      );
    },
  };
}

/** All `.md` files of a folder and of those below it. @throws prompt-invalid */
export async function readPrompts(folder: string): Promise<PromptFolder> {
  let entries: string[];
  try {
    entries = await readdir(folder, { recursive: true });
  } catch (cause) {
    if (systemCode(cause) !== 'ENOENT') throw cause;
    throw invalid(folder, 'there is no such folder.', cause);
  }
  const files = entries
    .filter((name) => name.endsWith('.md') && !name.endsWith('README.md'))
    .sort();
  if (files.length > FILES_MAX) throw invalid(folder, `more than ${FILES_MAX} files.`);
  const prompts = new Map<string, Prompt>();
  for (const file of files) {
    const text = await readTextBounded(join(folder, file), { bytesMax: PROMPT_BYTES_MAX });
    const name = file.slice(0, -'.md'.length).replaceAll('\\', '/');
    prompts.set(name, parsePrompt(name, text ?? ''));
  }
  return {
    names: [...prompts.keys()],
    get(name) {
      const prompt = prompts.get(name);
      if (prompt !== undefined) return prompt;
      throw invalid(name, `there is none in ${folder} (there: ${[...prompts.keys()].join(', ')}).`);
    },
    hash: sha256([...prompts.values()].map(({ name, hash }) => `${name} ${hash}\n`).join('')),
  };
}
