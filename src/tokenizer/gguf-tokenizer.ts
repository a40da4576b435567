// The tokenizer and chat template in the metadata of a GGUF file, as a tokenizer.json has them.
import type { GgufFile, GgufValue } from '../gguf/gguf-file.ts';
import { ggufStopIds, ggufVocabularySize } from './generation-config.ts';
import { invalid } from './model-file.ts';
import {
  type AddedToken,
  mergeKey,
  type TokenizerFiles,
  withinVocabulary,
} from './tokenizer-file.ts';

type Metadata = GgufFile['metadata'];

/** Source: ggml-org/llama.cpp, llama_token_type. */
const TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

const GPT2 = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
const BYTES = { ...GPT2, use_regex: false };
const DIGITS = { type: 'Digits', individual_digits: true };
const split = (pattern: string) => ({
  type: 'Sequence',
  pretokenizers: [
    { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
    BYTES,
  ],
});

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const WORDS = '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+';
const REST = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const TEKKEN =
  `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*|` +
  '\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

interface PreTokenizer {
  readonly part: object;
  /** A word that is a token is not built of merges. */
  readonly ignoresMerges?: boolean;
  /** The text is brought into its composed form (NFC) first. */
  readonly isComposed?: boolean;
  /** A prompt begins with BOS unless the file says otherwise. */
  readonly addsBos?: boolean;
}

const LLAMA3: PreTokenizer = {
  part: split(`${CONTRACTIONS}|${WORDS}|\\p{N}{1,3}|${REST}`),
  ignoresMerges: true,
  addsBos: true,
};
const QWEN2: PreTokenizer = {
  part: split(`${CONTRACTIONS}|${WORDS}|\\p{N}|${REST}`),
  isComposed: true,
};
const DIGITS_GPT2: PreTokenizer = { part: { type: 'Sequence', pretokenizers: [DIGITS, GPT2] } };

/**
 * By `tokenizer.ggml.pre`.
 * Source: ggml-org/llama.cpp, llama-vocab.cpp, llm_tokenizer_bpe and the names before it; the same
 * patterns stand in the tokenizer.json of the models.
 */
const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizer>> = {
  default: { part: GPT2 },
  'gpt-2': { part: GPT2 },
  'llama-bpe': LLAMA3,
  llama3: LLAMA3,
  'llama-v3': LLAMA3,
  falcon3: LLAMA3,
  pixtral: LLAMA3,
  dbrx: { part: LLAMA3.part },
  'smaug-bpe': { part: LLAMA3.part },
  qwen2: QWEN2,
  'deepseek-r1-qwen': QWEN2,
  megrez: QWEN2,
  smollm: DIGITS_GPT2,
  starcoder: DIGITS_GPT2,
  refact: DIGITS_GPT2,
  'command-r': DIGITS_GPT2,
  codeshell: DIGITS_GPT2,
  exaone: DIGITS_GPT2,
  tekken: { part: split(TEKKEN), ignoresMerges: true, addsBos: true },
};

const ID_KEYS = ['bos', 'eos', 'unknown', 'padding'] as const;
const NAME_OF = { bos: 'bos', eos: 'eos', unknown: 'unk', padding: 'pad' } as const;
const MARKUP = /^(?:<.*>|\[.*\])$/s;
const BLANK = '\u2581';

/** @throws tokenizer-invalid naming the key, or the tokenizer that is not implemented */
export function tokenizerFilesOf(file: GgufFile): TokenizerFiles {
  const { path, metadata } = file;
  const tokens = list(metadata, 'tokenizer.ggml.tokens', path, 'string');
  const types = optionalList(metadata, 'tokenizer.ggml.token_type', path, 'number');
  if (types !== undefined && types.length !== tokens.length) {
    throw invalid(
      path,
      `tokenizer.ggml.token_type has ${types.length} of ${tokens.length} entries`,
    );
  }
  const typeAt = (id: number): number => types?.[id] ?? TYPE.normal;
  const model = metadata.get('tokenizer.ggml.model');
  const named = namedTokens(metadata, tokens, path);
  const parts = { path, metadata, tokens, typeAt, unknown: named.unk_token };
  const definition =
    model === 'gpt2' ? byteLevel(parts) : model === 'llama' ? sentencePiece(parts) : undefined;
  if (definition === undefined) {
    throw invalid(path, `the tokenizer "${String(model)}" is not implemented; gpt2 and llama are.`);
  }
  const files = {
    definition: { ...definition, post_processor: beginning(metadata, named, definition.addsBos) },
    vocabulary: vocabulary(tokens),
    merges: definition.merges,
    addedTokens: tokens.flatMap((content, id) => added(content, id, typeAt(id))),
    namedTokens: named,
    templates: templatesOf(metadata),
    stopIds: ggufStopIds(metadata),
    notices: [],
  };
  return withinVocabulary(path, files, ggufVocabularySize(file));
}

interface Parts {
  readonly path: string;
  readonly metadata: Metadata;
  readonly tokens: readonly string[];
  readonly typeAt: (id: number) => number;
  readonly unknown: string | undefined;
}

interface Definition {
  readonly model: object;
  readonly normalizer: object | null;
  readonly pre_tokenizer: object | null;
  readonly decoder: object;
  readonly merges: readonly string[];
  readonly addsBos: boolean;
}

/** GPT-2's byte-level BPE with the words of `tokenizer.ggml.pre`. */
function byteLevel({ path, metadata }: Parts): Definition {
  const name = metadata.get('tokenizer.ggml.pre') ?? 'default';
  const pre = PRE_TOKENIZERS[String(name)];
  if (pre === undefined) {
    const known = Object.keys(PRE_TOKENIZERS).join(', ');
    throw invalid(path, `the pre-tokenizer "${String(name)}" is not implemented; known: ${known}.`);
  }
  return {
    model: { type: 'BPE', ignore_merges: pre.ignoresMerges === true },
    merges: list(metadata, 'tokenizer.ggml.merges', path, 'string'),
    normalizer: pre.isComposed === true ? { type: 'NFC' } : null,
    pre_tokenizer: pre.part,
    decoder: GPT2,
    addsBos: pre.addsBos === true,
  };
}

/** SentencePiece's BPE: its scores become an order of merges, as Hugging Face converts it. */
function sentencePiece({ path, metadata, tokens, typeAt, unknown }: Parts): Definition {
  const scores = list(metadata, 'tokenizer.ggml.scores', path, 'number');
  if (scores.length !== tokens.length) {
    throw invalid(path, `tokenizer.ggml.scores has ${scores.length} of ${tokens.length} entries.`);
  }
  const hasBlank = metadata.get('tokenizer.ggml.add_space_prefix') !== false;
  const isWord = (id: number): boolean =>
    typeAt(id) === TYPE.normal || typeAt(id) === TYPE.userDefined;
  const prepend = hasBlank ? [{ type: 'Prepend', prepend: BLANK }] : [];
  const strip = hasBlank ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : [];
  return {
    model: {
      type: 'BPE',
      byte_fallback: tokens.some((_, id) => typeAt(id) === TYPE.byte),
      fuse_unk: true,
      ...(unknown === undefined ? {} : { unk_token: unknown }),
    },
    merges: mergesOf(tokens, scores, isWord),
    normalizer: {
      type: 'Sequence',
      normalizers: [...prepend, { type: 'Replace', pattern: { String: ' ' }, content: BLANK }],
    },
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: BLANK }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...strip,
      ],
    },
    addsBos: true,
  };
}

/**
 * Every way to make a token of two others, the likeliest token first.
 * Source: transformers 5.18, convert_slow_tokenizer.py, generate_merges.
 */
function mergesOf(
  tokens: readonly string[],
  scores: readonly number[],
  isWord: (id: number) => boolean,
): string[] {
  const idOf = new Map(tokens.map((token, id) => [token, id]));
  const found: { left: string; right: string; score: number; ids: [number, number] }[] = [];
  for (const [id, token] of tokens.entries()) {
    if (!isWord(id)) continue;
    for (let cut = 1; cut < token.length; cut++) {
      const [left, right] = [token.slice(0, cut), token.slice(cut)];
      const ids = [idOf.get(left), idOf.get(right)] as const;
      if (ids[0] === undefined || ids[1] === undefined) continue;
      if (!isWord(ids[0]) || !isWord(ids[1])) continue;
      found.push({ left, right, score: scores[id] as number, ids: [ids[0], ids[1]] });
    }
  }
  found.sort(
    (a, b) =>
      b.score - a.score ||
      b.left.length - a.left.length ||
      b.right.length - a.right.length ||
      a.ids[0] - b.ids[0] ||
      a.ids[1] - b.ids[1],
  );
  return found.map(({ left, right }) => mergeKey(left, right));
}

/** A token that is there twice keeps its first id; the later one can only be decoded. */
function vocabulary(tokens: readonly string[]): Map<string, number> {
  const ids = new Map<string, number>();
  for (const [id, token] of tokens.entries()) if (!ids.has(token)) ids.set(token, id);
  return ids;
}

function added(content: string, id: number, type: number): AddedToken[] {
  const isControl = type === TYPE.control;
  if (!isControl && type !== TYPE.userDefined && type !== TYPE.unknown) return [];
  if (content === '') return [];
  return [
    {
      id,
      content,
      isControl: isControl || type === TYPE.unknown,
      isMarkup: isControl || MARKUP.test(content),
      isSingleWord: false,
      stripsLeft: false,
      stripsRight: false,
      isNormalized: false,
    },
  ];
}

function namedTokens(
  metadata: Metadata,
  tokens: readonly string[],
  path: string,
): Record<string, string> {
  const named: Record<string, string> = {};
  for (const key of ID_KEYS) {
    const id = metadata.get(`tokenizer.ggml.${key}_token_id`);
    if (id === undefined) continue;
    const token = typeof id === 'number' ? tokens[id] : undefined;
    if (token === undefined) {
      throw invalid(path, `tokenizer.ggml.${key}_token_id: ${String(id)} is not a token.`);
    }
    named[`${NAME_OF[key]}_token`] = token;
  }
  return named;
}

/** What stands before a prompt that is not a chat: BOS, for many. */
function beginning(
  metadata: Metadata,
  named: Readonly<Record<string, string>>,
  addsBos: boolean,
): object | null {
  const isAsked = metadata.get('tokenizer.ggml.add_bos_token') ?? addsBos;
  const bos = named.bos_token;
  if (isAsked !== true || bos === undefined) return null;
  const id = metadata.get('tokenizer.ggml.bos_token_id');
  return {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: bos, type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    special_tokens: { [bos]: { id: bos, ids: [id], tokens: [bos] } },
  };
}

/** `tokenizer.chat_template`, and `tokenizer.chat_template.NAME` for further ones. */
export function templatesOf(metadata: Metadata): Map<string, string> {
  const templates = new Map<string, string>();
  for (const [key, value] of metadata) {
    const [, name] = /^tokenizer\.chat_template(?:\.(.+))?$/.exec(key) ?? [];
    if (!key.startsWith('tokenizer.chat_template') || typeof value !== 'string') continue;
    if (value.trim() === '') continue;
    templates.set(name ?? 'default', value);
  }
  return templates;
}

type Kind = { readonly string: string; readonly number: number };

function optionalList<K extends keyof Kind>(
  metadata: Metadata,
  key: string,
  path: string,
  kind: K,
): Kind[K][] | undefined {
  const value: GgufValue | undefined = metadata.get(key);
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || value.some((one) => typeof one !== kind)) {
    throw invalid(path, `${key} is not a list of ${kind}s.`);
  }
  return value as Kind[K][];
}

function list<K extends keyof Kind>(
  metadata: Metadata,
  key: string,
  path: string,
  kind: K,
): Kind[K][] {
  const value = optionalList(metadata, key, path, kind);
  if (value === undefined) throw invalid(path, `it has no ${key}.`);
  return value;
}
