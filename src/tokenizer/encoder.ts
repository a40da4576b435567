// Text to token ids through the library's normalizer, pre-tokenizer and BPE; control tokens apart.
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { z } from 'zod';
import { AttuneError } from '../base/errors.ts';
import { type AddedToken, mergeKey, type TokenizerFiles } from './tokenizer-file.ts';

/** A piece of text between two control tokens, or one added token. */
export interface EncodedPiece {
  readonly ids: number[];
  /** Place in the text. */
  readonly start: number;
  readonly end: number;
  /** The added token that this piece is, if it is one. */
  readonly token: AddedToken | undefined;
}

export interface EncodeTextOptions {
  /** Whether an added token at this place may be read as one. Default: none that is control. */
  readonly mayUse?: (token: AddedToken, start: number, end: number) => boolean;
  /** The text begins a sequence (SentencePiece puts a blank before it). Default true. */
  readonly isSequenceStart?: boolean;
}

export interface TextEncoderParts {
  encode(text: string, options?: EncodeTextOptions): EncodedPiece[];
}

/** The parts of the library that are used, as its types do not resolve under nodenext. */
interface Library {
  readonly normalizer: ((text: string) => string) | null;
  readonly pre_tokenizer:
    | ((text: string, options: { readonly section_index: number }) => string[])
    | null;
  readonly model: ((pieces: readonly string[]) => string[]) & {
    tokens_to_ids: ReadonlyMap<string, number>;
    unk_token_id: number | undefined;
    /** Puts a node into the queue if it can be merged with the next one. */
    add_node(queue: { push(node: MergeNode): unknown }, node: MergeNode): void;
  };
}

interface MergeNode {
  readonly token: string;
  readonly next: { readonly token: string };
  /** Where in the word it is, below 1: of equal merges the first is made first. */
  readonly bias: number;
  /** The lowest is merged first. */
  score?: number;
}

/** The library checks little: what it throws, early or late, is a fault of tokenizer.json. */
function guarded<T>(action: () => T): T {
  try {
    return action();
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new AttuneError(
      'tokenizer-invalid',
      `tokenizer.json cannot be used: ${message}`,
      {},
      { cause },
    );
  }
}

function createLibrary({ definition, vocabulary, merges }: TokenizerFiles): Library {
  const settings = definition.model as { readonly unk_token?: string | null };
  // Without added tokens: which of them count where is decided here, not by the library. Without
  // vocabulary and merges: the library needs seconds to take in those of a large model.
  const model = { ...settings, type: 'BPE', vocab: {}, merges: [] };
  const bare = { ...definition, added_tokens: [], model };
  const created: unknown = guarded(() => new LibraryTokenizer(bare, {}));
  const library = created as Library;
  library.model.tokens_to_ids = vocabulary;
  library.model.unk_token_id = vocabulary.get(settings.unk_token ?? '');
  const ranks = new Map(merges.map((key, rank) => [key, rank]));
  library.model.add_node = (queue, node) => {
    const rank = ranks.get(mergeKey(node.token, node.next.token));
    if (rank === undefined) return;
    node.score = rank + node.bias;
    queue.push(node);
  };
  return library;
}

/** Finds the longest of a set of strings at the leftmost place. */
function createFinder(tokens: readonly AddedToken[]): {
  find(text: string, from: number): { token: AddedToken; at: number } | undefined;
} {
  const byContent = new Map(tokens.map((token) => [token.content, token]));
  const longestFirst = [...byContent.keys()].sort((a, b) => b.length - a.length);
  if (longestFirst.length === 0) return { find: () => undefined };
  const escaped = longestFirst.map((content) => content.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'));
  const pattern = new RegExp(escaped.join('|'), 'g');
  return {
    find(text, from) {
      pattern.lastIndex = from;
      const match = pattern.exec(text);
      const token = match === null ? undefined : byContent.get(match[0]);
      return match === null || token === undefined ? undefined : { token, at: match.index };
    },
  };
}

function isWholeWord(text: string, start: number, end: number): boolean {
  const word = /[\p{L}\p{N}_]/u;
  return !word.test(text.slice(start - 1, start)) && !word.test(text.slice(end, end + 1));
}

interface Section {
  readonly start: number;
  readonly end: number;
  readonly token: AddedToken | undefined;
}

/** Splits at added tokens that may be used; those that strip take the white space beside them. */
function splitAtTokens(
  text: string,
  finder: ReturnType<typeof createFinder>,
  mayUse: NonNullable<EncodeTextOptions['mayUse']>,
): Section[] {
  const sections: Section[] = [];
  let begin = 0;
  let from = 0;
  for (;;) {
    const found = finder.find(text, from);
    if (found === undefined) break;
    const { token, at } = found;
    let start = at;
    let end = at + token.content.length;
    if (!mayUse(token, start, end) || (token.isSingleWord && !isWholeWord(text, start, end))) {
      from = at + 1;
      continue;
    }
    if (token.stripsLeft) start = begin + text.slice(begin, start).trimEnd().length;
    if (token.stripsRight) end += text.slice(end).length - text.slice(end).trimStart().length;
    if (start > begin) sections.push({ start: begin, end: start, token: undefined });
    sections.push({ start, end, token });
    begin = end;
    from = end;
  }
  if (begin < text.length) sections.push({ start: begin, end: text.length, token: undefined });
  return sections;
}

/** @throws tokenizer-invalid when the library refuses the definition */
export function createTextEncoder(files: TokenizerFiles): TextEncoderParts {
  const library = createLibrary(files);
  const { normalizer, pre_tokenizer: preTokenizer, model } = library;
  const rawFinder = createFinder(files.addedTokens.filter((token) => !token.isNormalized));
  const normalized = files.addedTokens.filter((token) => token.isNormalized);
  const normalizedFinder = createFinder(normalized);
  const controls = files.addedTokens.filter((token) => token.isControl);
  const controlIds = new Set(controls.map((token) => token.id));
  const controlFinder = createFinder(controls.filter(({ content }) => content.length > 1));
  const splitsMetaspace = metaspaceSplit(files.definition.pre_tokenizer);
  const noControl = (token: AddedToken): boolean => !token.isControl;

  const normalize = (text: string): string => (normalizer === null ? text : normalizer(text));

  function encodePlain(text: string, sectionIndex: number): number[] {
    if (text.length === 0) return [];
    const pieces =
      preTokenizer === null ? [text] : preTokenizer(text, { section_index: sectionIndex });
    const words = splitsMetaspace === undefined ? pieces : pieces.flatMap(splitsMetaspace);
    return model(words).flatMap((token) => model.tokens_to_ids.get(token) ?? []);
  }

  /** Normalized text, in which normalized added tokens are looked for. */
  function encodeNormalized(text: string, sectionIndex: number): number[] {
    const seen = normalize(text);
    if (normalized.length === 0) return encodePlain(seen, sectionIndex);
    return splitAtTokens(seen, normalizedFinder, noControl).flatMap(({ start, end, token }) =>
      token === undefined ? encodePlain(seen.slice(start, end), sectionIndex) : [token.id],
    );
  }

  /** Text is never a control token, whatever it spells. */
  function encodeSection(text: string, sectionIndex: number): number[] {
    const ids = encodeNormalized(text, sectionIndex);
    if (!ids.some((id) => controlIds.has(id))) return ids;
    // Each is cut behind its first character. Where none is spelled, an unknown character became
    // the control token <unk>: that is what the vocabulary offers.
    const pieces: number[][] = [];
    for (let from = 0; from < text.length; ) {
      const to = (controlFinder.find(text, from)?.at ?? text.length - 1) + 1;
      pieces.push(encodeNormalized(text.slice(from, to), from === 0 ? sectionIndex : 1));
      from = to;
    }
    return pieces.flat();
  }

  return {
    encode(text, { mayUse = noControl, isSequenceStart = true } = {}) {
      return splitAtTokens(text, rawFinder, mayUse).map(({ start, end, token }) => {
        const index = start === 0 && isSequenceStart ? 0 : 1;
        const section = text.slice(start, end);
        const ids = token === undefined ? guarded(() => encodeSection(section, index)) : [token.id];
        return { ids, start, end, token };
      });
    },
  };
}

/** The library does not split at metaspaces; tokenizers that ask for it are served here. */
function metaspaceSplit(preTokenizer: unknown): ((piece: string) => string[]) | undefined {
  const part = preTokenizer as { type?: string; split?: boolean; replacement?: string } | null;
  if (part?.type !== 'Metaspace' || part.split === false) return undefined;
  const replacement = part.replacement ?? '\u2581';
  return (piece) =>
    piece
      .split(replacement)
      .map((word, index) => (index === 0 ? word : replacement + word))
      .filter((word) => word.length > 0);
}

// Text without a chat template to ids: what a tokenizer puts before it, and control tokens by name.

const templateProcessing = z.object({
  type: z.literal('TemplateProcessing'),
  single: z.array(z.looseObject({ SpecialToken: z.object({ id: z.string() }).optional() })),
  special_tokens: z.record(z.string(), z.object({ ids: z.array(z.int().min(0)) })),
});
const processorSequence = z.object({
  type: z.literal('Sequence'),
  processors: z.array(z.unknown()),
});

/** The tokens that the post-processor writes before a text: BOS, for many. */
export function prefixIds(postProcessor: unknown): number[] {
  const sequence = processorSequence.safeParse(postProcessor);
  if (sequence.success) {
    const templates = sequence.data.processors.map((one) => templateProcessing.safeParse(one));
    return templates.flatMap((one) => (one.success ? prefixIds(one.data) : []));
  }
  const parsed = templateProcessing.safeParse(postProcessor);
  if (!parsed.success) return [];
  const { single, special_tokens: special } = parsed.data;
  const text = single.findIndex((item) => item.SpecialToken === undefined);
  return single
    .slice(0, Math.max(0, text))
    .flatMap((item) => special[item.SpecialToken?.id ?? '']?.ids ?? []);
}

/** A prompt in which the names of control tokens are those tokens; BOS comes first, once. */
export function createRawEncoder(
  { definition }: Pick<TokenizerFiles, 'definition'>,
  encoder: TextEncoderParts,
): (text: string) => number[] {
  const prefix = prefixIds(definition.post_processor);
  return (text) => {
    const ids = encoder.encode(text, { mayUse: () => true }).flatMap((piece) => piece.ids);
    return prefix.every((id, at) => ids[at] === id) ? ids : [...prefix, ...ids];
  };
}
