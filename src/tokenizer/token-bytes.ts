// The bytes that each token stands for, and text from them; a character is never cut in half.
import { AttuneError } from '../base/errors.ts';
import type { TokenizerFiles } from './tokenizer-file.ts';

export interface TokenBytes {
  /** UTF-8 bytes of a token; a control token's are those of its name. Empty for unknown ids. */
  bytesOf(id: number): Uint8Array;
  /** The first blank of a text is an artefact of SentencePiece and is not shown. */
  readonly stripsFirstBlank: boolean;
  /** The character that stands for a blank in token names; typed, it becomes a blank. */
  readonly metaspace: string | undefined;
  readonly vocabularySize: number;
}

/** Decodes token after token. Whole characters come out, all of them after `end`. */
export interface StreamDecoder {
  push(id: number): string;
  /** What is left; a character that was never finished is U+FFFD. */
  end(): string;
}

/** GPT-2's alphabet: printable bytes are themselves, the others follow from U+0100 on. */
const BYTE_OF_CHARACTER: readonly (number | undefined)[] = (() => {
  const bytes: number[] = [];
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const isPrintable =
      (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
    bytes[isPrintable ? byte : next++] = byte;
  }
  return bytes;
})();

const BYTE_TOKEN = /^<0x([0-9A-F]{2})>$/;
const METASPACE = '\u2581';

type Part = Readonly<Record<string, unknown>>;

function partsOf(decoder: unknown): Part[] {
  if (typeof decoder !== 'object' || decoder === null) return [];
  const part = decoder as Part;
  if (part.type !== 'Sequence') return [part];
  return Array.isArray(part.decoders) ? part.decoders.flatMap(partsOf) : [];
}

interface DecoderKind {
  readonly isByteLevel: boolean;
  readonly hasByteTokens: boolean;
  readonly metaspace: string | undefined;
  readonly stripsFirstBlank: boolean;
}

/** @throws tokenizer-invalid for decoders that are not byte-level or SentencePiece-like */
function readDecoder(decoder: unknown): DecoderKind {
  let kind: DecoderKind = {
    isByteLevel: false,
    hasByteTokens: false,
    metaspace: undefined,
    stripsFirstBlank: false,
  };
  for (const part of partsOf(decoder)) {
    const pattern = part.pattern as Part | undefined;
    if (part.type === 'ByteLevel') kind = { ...kind, isByteLevel: true };
    else if (part.type === 'ByteFallback') kind = { ...kind, hasByteTokens: true };
    else if (part.type === 'Replace' && part.content === ' ' && pattern?.String) {
      kind = { ...kind, metaspace: String(pattern.String) };
    } else if (part.type === 'Metaspace') {
      const stripsFirstBlank = part.prepend_scheme !== 'never' && part.add_prefix_space !== false;
      kind = { ...kind, metaspace: String(part.replacement ?? METASPACE), stripsFirstBlank };
    } else if (part.type === 'Strip' && part.content === ' ' && !part.stop) {
      kind = { ...kind, stripsFirstBlank: part.start === 1 };
    } else if (part.type !== 'Fuse') {
      const message =
        `The tokenizer's decoder ${String(part.type)} is not supported; byte-level and ` +
        'SentencePiece decoders are.';
      throw new AttuneError('tokenizer-invalid', message, { decoder: String(part.type) });
    }
  }
  return kind;
}

function byteLevelBytes(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = BYTE_OF_CHARACTER[token.charCodeAt(i)];
    // Not in the alphabet: the token is written as it is.
    if (byte === undefined) return Buffer.from(token, 'utf8');
    bytes[i] = byte;
  }
  return bytes;
}

function bytesOfWord(token: string, kind: DecoderKind): Uint8Array {
  if (kind.isByteLevel) return byteLevelBytes(token);
  const byte = kind.hasByteTokens ? BYTE_TOKEN.exec(token)?.[1] : undefined;
  if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16));
  const text = kind.metaspace === undefined ? token : token.replaceAll(kind.metaspace, ' ');
  return Buffer.from(text, 'utf8');
}

/**
 * A token's bytes are made when they are first asked for: a text has few of a large vocabulary.
 * @throws tokenizer-invalid
 */
export function createTokenBytes(files: TokenizerFiles): TokenBytes {
  const kind = readDecoder(files.definition.decoder);
  const words: string[] = [];
  for (const [token, id] of files.vocabulary) words[id] = token;
  const table: Uint8Array[] = [];
  for (const { id, content } of files.addedTokens) table[id] = Buffer.from(content, 'utf8');
  const nothing = new Uint8Array(0);
  return {
    bytesOf(id) {
      const word = words[id];
      table[id] ??= word === undefined ? nothing : bytesOfWord(word, kind);
      return table[id];
    },
    stripsFirstBlank: kind.stripsFirstBlank,
    metaspace: kind.metaspace,
    vocabularySize: Math.max(words.length, table.length),
  };
}

const BLANK = 32;

/** Ids to text, which needs no more than the bytes of each token. */
export interface TokenDecoder {
  /** Text of whole characters; control tokens are left out. */
  decode(ids: readonly number[]): string;
  createStreamDecoder(): StreamDecoder;
  /** One token as people see it: control tokens by name, broken characters as U+FFFD. */
  tokenText(id: number): string;
  /** The bytes of one token, of a broken character too; those of its name for a control token. */
  tokenBytes(id: number): Uint8Array;
}

/** @param controlIds tokens that leave no text; they still end a broken character */
export function createTokenDecoder(
  tokens: TokenBytes,
  controlIds: ReadonlySet<number>,
): TokenDecoder {
  const createStreamDecoder = (): StreamDecoder => streamDecoder(tokens, controlIds);
  return {
    decode(ids) {
      const decoder = createStreamDecoder();
      return ids.map((id) => decoder.push(id)).join('') + decoder.end();
    },
    createStreamDecoder,
    tokenText: (id) => Buffer.from(tokens.bytesOf(id)).toString('utf8'),
    tokenBytes: (id) => tokens.bytesOf(id),
  };
}

function streamDecoder(tokens: TokenBytes, controlIds: ReadonlySet<number>): StreamDecoder {
  const fresh = () => new TextDecoder('utf-8', { ignoreBOM: true });
  let decoder = fresh();
  let isFirst = true;
  const flush = (): string => {
    const text = decoder.decode();
    decoder = fresh();
    return text;
  };
  return {
    push(id) {
      if (controlIds.has(id)) return flush();
      let bytes = tokens.bytesOf(id);
      if (bytes.length === 0) return '';
      if (isFirst && tokens.stripsFirstBlank && bytes[0] === BLANK) bytes = bytes.subarray(1);
      isFirst = false;
      return decoder.decode(bytes, { stream: true });
    },
    end: flush,
  };
}
