// Reads the tokenizer files of a Hugging Face folder and checks them; it encodes nothing.
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { systemCode } from '../base/file-ops.ts';
import { readGenerationConfig, TURN_ENDS } from './generation-config.ts';
import { invalid, readJson, readText } from './model-file.ts';

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** A control token: begins or ends a turn, never a word of a person. */
  readonly isControl: boolean;
  readonly isSingleWord: boolean;
  /** Swallows white space to its left or right. */
  readonly stripsLeft: boolean;
  readonly stripsRight: boolean;
  /** Reads like markup of a chat format, marked as special or not: `<tool_call>`. */
  readonly isMarkup: boolean;
  /** Is looked for in the text after it was normalized. */
  readonly isNormalized: boolean;
}

export interface TokenizerFiles {
  /** What the library is built from, but for vocabulary and merges; its shape was checked. */
  readonly definition: Readonly<Record<string, unknown>>;
  readonly vocabulary: ReadonlyMap<string, number>;
  /** Pairs of tokens that become one, as `mergeKey` writes them; the best first. */
  readonly merges: readonly string[];
  readonly addedTokens: readonly AddedToken[];
  /** bos_token, eos_token and so on, as templates see them. */
  readonly namedTokens: Readonly<Record<string, string>>;
  /** Chat templates by name; `default` is the one for conversation. */
  readonly templates: ReadonlyMap<string, string>;
  /** Ids that end a reply: those that the model's files name, and those that end its turns. */
  readonly stopIds: readonly number[];
  /** What a person should know of how the tokenizer is used here, a sentence each. */
  readonly notices: readonly string[];
}

const TOKENIZER_BYTES_MAX = 128 * 2 ** 20;
const TEMPLATE_BYTES_MAX = 2 ** 20;
/** The largest vocabularies in use have about 262 thousand entries. */
const ID_MAX = 2 ** 22;

const addedTokenSchema = z.object({
  id: z.int().min(0).max(ID_MAX),
  content: z.string().min(1),
  special: z.boolean().default(false),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  normalized: z.boolean().optional(),
});

const partSchema = z.looseObject({ type: z.string() }).nullable();

const definitionSchema = z.looseObject({
  model: z.looseObject({ type: z.string().optional() }),
  added_tokens: z.array(addedTokenSchema).default([]),
  normalizer: partSchema.default(null),
  pre_tokenizer: partSchema.default(null),
  post_processor: partSchema.default(null),
  decoder: partSchema.default(null),
});

const tokenSchema = z.union([z.string(), z.object({ content: z.string() })]).nullish();
const templateListSchema = z.array(z.object({ name: z.string(), template: z.string() }));

const configSchema = z.looseObject({
  chat_template: z.union([z.string(), templateListSchema]).nullish(),
  added_tokens_decoder: z
    .record(z.string(), z.looseObject({ content: z.string(), special: z.boolean().optional() }))
    .nullish(),
});

const TOKENS_NAMED_MAX = 3;

const MARKUP = /^(?:<.*>|\[.*\])$/s;
const NAMED = ['bos_token', 'eos_token', 'unk_token', 'pad_token', 'sep_token', 'cls_token'];

/** As the files have it, with a blank between the two; unambiguous also where they have blanks. */
export function mergeKey(left: string, right: string): string {
  const isPlain = !left.includes(' ') && !right.includes(' ');
  return isPlain ? `${left} ${right}` : `${left.length} ${left} ${right}`;
}

/** Vocabulary and merges are large, so they are checked by hand and not by a schema. */
function readModel(dir: string, model: Readonly<Record<string, unknown>>) {
  const { vocab, merges, ...settings } = model;
  if (model.type !== undefined && model.type !== 'BPE') {
    throw invalid(dir, `the tokenizer model ${String(model.type)} is not supported, only BPE.`);
  }
  if (typeof vocab !== 'object' || vocab === null || Array.isArray(vocab)) {
    throw invalid(dir, 'model.vocab must map tokens to ids.');
  }
  const vocabulary = new Map<string, number>();
  const seen = new Uint8Array(ID_MAX + 1);
  for (const [token, id] of Object.entries(vocab as Record<string, unknown>)) {
    if (typeof id !== 'number' || seen[id] !== 0) {
      throw invalid(dir, `model.vocab: the id of ${JSON.stringify(token)} is ${String(id)}.`);
    }
    seen[id] = 1;
    vocabulary.set(token, id);
  }
  if (!Array.isArray(merges)) throw invalid(dir, 'model.merges must be a list.');
  const keyOf = Array.isArray(merges[0]) ? keyOfPair : keyOfText;
  const keys = merges.map((merge) => {
    const key = keyOf(merge);
    if (key !== undefined) return key;
    throw invalid(dir, `model.merges: ${JSON.stringify(merge)} is not a pair.`);
  });
  for (const key of ['continuing_subword_prefix', 'end_of_word_suffix']) {
    if (model[key]) throw invalid(dir, `model.${key} is not supported.`);
  }
  if (model.unk_token !== undefined && model.unk_token !== null) {
    if (typeof model.unk_token !== 'string' || !vocabulary.has(model.unk_token)) {
      throw invalid(dir, 'model.unk_token is not in the vocabulary.');
    }
  }
  return { model: settings, vocabulary, merges: keys };
}

function keyOfPair(merge: unknown): string | undefined {
  if (!Array.isArray(merge) || merge.length !== 2) return undefined;
  const [left, right] = merge as unknown[];
  return typeof left === 'string' && typeof right === 'string' ? mergeKey(left, right) : undefined;
}

function keyOfText(merge: unknown): string | undefined {
  if (typeof merge !== 'string') return undefined;
  const blank = merge.indexOf(' ');
  return blank !== -1 && blank === merge.lastIndexOf(' ') ? merge : undefined;
}

/** Patterns that the library would only warn about on the console. */
function checkPatterns(dir: string, part: unknown, depth = 0): void {
  if (depth > 16) throw invalid(dir, 'normalizer or pre_tokenizer is nested too deeply.');
  if (typeof part !== 'object' || part === null) return;
  if (Array.isArray(part)) {
    for (const one of part) checkPatterns(dir, one, depth + 1);
    return;
  }
  if ('type' in part && (part.type === 'Split' || part.type === 'Replace')) {
    const pattern = 'pattern' in part ? part.pattern : undefined;
    const schema = z.union([z.object({ Regex: z.string() }), z.object({ String: z.string() })]);
    if (!schema.safeParse(pattern).success) throw invalid(dir, `${part.type} has no pattern.`);
  }
  for (const value of Object.values(part)) checkPatterns(dir, value, depth + 1);
}

const configPathIn = (dir: string): string => join(dir, 'tokenizer_config.json');

/** Of a Hugging Face folder, by name. @throws tokenizer-invalid */
export async function readTemplates(
  dir: string,
  config?: z.output<typeof configSchema>,
): Promise<Map<string, string>> {
  const { chat_template: fromConfig } =
    config ?? (await readJson(configPathIn(dir), configSchema)) ?? {};
  const templates = new Map<string, string>();
  if (typeof fromConfig === 'string') templates.set('default', fromConfig);
  for (const { name, template } of typeof fromConfig === 'object' ? (fromConfig ?? []) : []) {
    templates.set(name, template);
  }
  // As in transformers, files win over what tokenizer_config.json says.
  const file = await readText(join(dir, 'chat_template.jinja'), TEMPLATE_BYTES_MAX);
  if (file !== undefined) templates.set('default', file);
  const folder = join(dir, 'additional_chat_templates');
  let names: string[] = [];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' && systemCode(error) !== 'ENOTDIR') throw error;
  }
  for (const name of names.filter((one) => one.endsWith('.jinja')).sort()) {
    const text = await readText(join(folder, name), TEMPLATE_BYTES_MAX);
    if (text !== undefined) templates.set(name.slice(0, -'.jinja'.length), text);
  }
  return new Map([...templates].filter(([, text]) => text.trim() !== ''));
}

/**
 * Without the added tokens that the model has no embedding of: their text is plain text then.
 * @param size tokens that the model knows
 * @throws tokenizer-invalid when a word of the vocabulary is among them
 */
export function withinVocabulary(
  where: string,
  files: TokenizerFiles,
  size: number | undefined,
): TokenizerFiles {
  if (size === undefined) return files;
  const { vocabulary, addedTokens } = files;
  const beyond = addedTokens.filter(({ id }) => id >= size);
  const names = new Set(beyond.map(({ content }) => content));
  for (const [token, id] of vocabulary) {
    if (id < size || names.has(token)) continue;
    const known = `the model knows ${size} tokens`;
    throw invalid(where, `${JSON.stringify(token)} is token ${id} of the tokenizer, ${known}.`);
  }
  if (beyond.length === 0) return files;
  const list = [...names].slice(0, TOKENS_NAMED_MAX).join(', ');
  const others = names.size > TOKENS_NAMED_MAX ? ` and ${names.size - TOKENS_NAMED_MAX} more` : '';
  const notice =
    `The tokenizer has tokens that the model does not know (${list}${others}: from ${size} on); ` +
    'they are read as plain text.';
  return {
    ...files,
    vocabulary: new Map([...vocabulary].filter(([, id]) => id < size)),
    addedTokens: addedTokens.filter(({ id }) => id < size),
    stopIds: files.stopIds.filter((id) => id < size),
    notices: [...files.notices, notice],
  };
}

/** @throws tokenizer-invalid with the file and the place */
export async function readTokenizerFiles(dir: string): Promise<TokenizerFiles> {
  const definition = await readJson(
    join(dir, 'tokenizer.json'),
    definitionSchema,
    TOKENIZER_BYTES_MAX,
  );
  if (definition === undefined) {
    throw invalid(dir, 'there is no tokenizer.json; a Hugging Face folder with one is needed.');
  }
  const { model, vocabulary, merges } = readModel(dir, definition.model);
  checkPatterns(dir, [definition.normalizer, definition.pre_tokenizer, definition.decoder]);
  const configPath = configPathIn(dir);
  const config = (await readJson(configPath, configSchema)) ?? {};
  const generation = await readGenerationConfig(dir);

  const namedTokens: Record<string, string> = {};
  for (const name of NAMED) {
    const parsed = tokenSchema.safeParse(config[name]);
    if (!parsed.success) throw invalid(configPath, `${name} is not a token.`);
    const { data } = parsed;
    if (data !== null && data !== undefined) {
      namedTokens[name] = typeof data === 'string' ? data : data.content;
    }
  }
  const addedTokens = addedTokensOf(definition, config);
  const idOf = (content: string | undefined): number[] => {
    const added = addedTokens.find((token) => token.content === content);
    const id = added?.id ?? vocabulary.get(content ?? '');
    return id === undefined ? [] : [id];
  };
  const templates = await readTemplates(dir, config);
  const ends = addedTokens.filter(
    ({ content, isControl }) =>
      isControl && TURN_ENDS.includes(content) && templates.get('default')?.includes(content),
  );
  const stopIds = new Set([
    ...generation.stopIds,
    ...idOf(namedTokens.eos_token),
    ...ends.map(({ id }) => id),
  ]);
  const files = {
    definition: { ...definition, model },
    ...{ vocabulary, merges, addedTokens, namedTokens, templates },
    stopIds: [...stopIds],
    notices: [],
  };
  return withinVocabulary(dir, files, generation.vocabularySize);
}

function addedTokensOf(
  definition: z.output<typeof definitionSchema>,
  config: z.output<typeof configSchema>,
): AddedToken[] {
  const hasNormalizer = definition.normalizer !== null;
  return definition.added_tokens.map((token) => {
    const isControl = token.special || config.added_tokens_decoder?.[token.id]?.special === true;
    const isMarkup = isControl || MARKUP.test(token.content);
    return {
      id: token.id,
      content: token.content,
      isControl,
      isMarkup,
      isSingleWord: token.single_word,
      stripsLeft: token.lstrip,
      stripsRight: token.rstrip,
      isNormalized: hasNormalizer && !isMarkup && (token.normalized ?? true),
    };
  });
}

// The identity of what turns chats into token ids; the base hash of a model is over weights only.

/**
 * sha256 over vocabulary, merges, the steps around them, added and named tokens, and templates,
 * each as the model's files have it. What only decodes, or ends a reply, is left out.
 */
export function encodingHash(files: TokenizerFiles): string {
  const { definition, vocabulary, merges, addedTokens, namedTokens, templates } = files;
  const { model, normalizer, pre_tokenizer, post_processor } = definition;
  const hash = createHash('sha256');
  for (const part of [
    [model, normalizer, pre_tokenizer, post_processor],
    [...vocabulary.keys()],
    [...vocabulary.values()],
    merges,
    addedTokens.map(({ id, content, isControl }) => [id, content, isControl]),
    namedTokens,
    [...templates].sort(),
  ]) {
    // A line each, so that nothing moves from one part to the next unseen.
    hash.update(`${JSON.stringify(part)}\n`);
  }
  return hash.digest('hex');
}
