// Tokenizers from GGUF metadata: the ids of the tokenizer.json that they were made from.
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { ggufBytes, type Metadata } from '../gguf/gguf-bytes.ts';
import { fc } from '../property.ts';

// Vocabularies of 100,000 tokens are read.
vi.setConfig({ testTimeout: 60_000 });

const WEIGHTS = resolve(import.meta.dirname, '../../../shared/data/weights');
const COMPANION = resolve(import.meta.dirname, '../../models/companion');
const isMissing = !existsSync(WEIGHTS);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-gguf-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let count = 0;
async function load(metadata: Metadata): Promise<Tokenizer> {
  const path = join(folder, `${count++}.gguf`);
  await writeFile(path, ggufBytes({ metadata: { 'general.architecture': 'llama', ...metadata } }));
  return loadTokenizer(path);
}

interface Definition {
  readonly model: { vocab: Record<string, number>; merges: (string | [string, string])[] };
  readonly added_tokens: { id: number; content: string; special: boolean }[];
}

/** What llama.cpp's converter writes of a byte-level BPE tokenizer.json. */
async function byteLevelMetadata(dir: string, pre: string): Promise<Metadata> {
  const definition: Definition = JSON.parse(await readFile(join(dir, 'tokenizer.json'), 'utf8'));
  const { vocab, merges } = definition.model;
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(vocab)) tokens[id] = token;
  for (const { id, content } of definition.added_tokens) tokens[id] = content;
  const types = tokens.map((_, id) => {
    const added = definition.added_tokens.find((one) => one.id === id);
    return added === undefined ? 1 : added.special ? 3 : 4;
  });
  return {
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': pre,
    'tokenizer.ggml.tokens': tokens,
    'tokenizer.ggml.token_type': types,
    'tokenizer.ggml.merges': merges.map((one) => (typeof one === 'string' ? one : one.join(' '))),
  };
}

/** The pieces of a SentencePiece model: protobuf field 1, in it 1 (text), 2 (score), 3 (type). */
function sentencePieces(bytes: Buffer): { text: string; score: number; type: number }[] {
  const pieces: { text: string; score: number; type: number }[] = [];
  let at = 0;
  const varint = (): number => {
    for (let value = 0, shift = 0; ; shift += 7) {
      const byte = bytes[at++] as number;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    if ((tag & 7) !== 2) throw new Error(`field ${tag}`);
    const end = varint() + at;
    if (tag >> 3 !== 1) {
      at = end;
      continue;
    }
    const piece = { text: '', score: 0, type: 1 };
    while (at < end) {
      const inner = varint();
      if (inner === 10) {
        const length = varint();
        piece.text = bytes.toString('utf8', at, at + length);
        at += length;
      } else if (inner === 21) {
        piece.score = bytes.readFloatLE(at);
        at += 4;
      } else piece.type = varint();
    }
    pieces.push(piece);
  }
  return pieces;
}

async function texts(): Promise<string[]> {
  const file = join(WEIGHTS, 'tokenizer_vectors', 'ggml-vocab-llama-spm.gguf.inp');
  const vectors = (await readFile(file, 'utf8')).split('\n__ggml_vocab_test__\n');
  const random = fc.sample(fc.string({ unit: 'grapheme', maxLength: 40 }), 300);
  return [...vectors, ...random, '  two  blanks ', 'a\n\n\n b\t\tc', '12345 6,789', "I'm it'll"];
}

async function expectSame(ours: Tokenizer, theirs: Tokenizer): Promise<void> {
  for (const text of await texts()) {
    const ids = theirs.encode(text);
    expect(ours.encode(text), JSON.stringify(text)).toEqual(ids);
    expect(ours.encodePrompt(text)).toEqual(theirs.encodePrompt(text));
    expect(ours.decode(ids)).toBe(theirs.decode(ids));
  }
}

describe.skipIf(isMissing)('a tokenizer from metadata (needs ../shared/data/weights)', () => {
  it('gives the ids of GPT-2 on the vectors and on random text', async () => {
    const dir = join(WEIGHTS, 'gpt2_lora_kto');
    await expectSame(await load(await byteLevelMetadata(dir, 'gpt-2')), await loadTokenizer(dir));
  });

  it('gives the ids of Mistral, whose merges are made of scores', async () => {
    const dir = join(WEIGHTS, 'mistral_tokenizer');
    const pieces = sentencePieces(await readFile(join(dir, 'tokenizer.model')));
    const ours = await load({
      'tokenizer.ggml.model': 'llama',
      'tokenizer.ggml.tokens': pieces.map(({ text }) => text),
      'tokenizer.ggml.scores': pieces.map(({ score }) => score - 1e-9),
      'tokenizer.ggml.token_type': pieces.map(({ type }) => type),
      'tokenizer.ggml.bos_token_id': 1,
      'tokenizer.ggml.eos_token_id': 2,
      'tokenizer.ggml.unknown_token_id': 0,
    });
    await expectSame(ours, await loadTokenizer(dir));
  });
});

it('gives the ids of the companion, control tokens too', async () => {
  const metadata = await byteLevelMetadata(COMPANION, 'gpt-2');
  const ours = await load(metadata);
  const theirs = await loadTokenizer(COMPANION);
  for (const text of ['Call Mira at nine.', ' two  blanks\n', 'naïve café ☕']) {
    expect(ours.encode(text)).toEqual(theirs.encode(text));
  }
  expect([...ours.controlIds].sort()).toEqual([...theirs.controlIds].sort());
});

/** A tiny byte-level vocabulary with control tokens. */
const TINY: Metadata = {
  'tokenizer.ggml.model': 'gpt2',
  'tokenizer.ggml.pre': 'gpt-2',
  'tokenizer.ggml.tokens': ['a', 'b', 'ab', '<|im_start|>', '<|im_end|>', '<|endoftext|>'],
  'tokenizer.ggml.token_type': [1, 1, 1, 3, 3, 3],
  'tokenizer.ggml.merges': ['a b'],
  'tokenizer.ggml.bos_token_id': 3,
  'tokenizer.ggml.eos_token_id': 5,
};

describe('the metadata', () => {
  it('name every token that ends a reply, not only one', async () => {
    const { stopIds } = await load({ ...TINY, 'tokenizer.ggml.eot_token_id': 4 });
    expect(stopIds.toSorted()).toEqual([4, 5]);
    expect((await load(TINY)).stopIds.toSorted()).toEqual([4, 5]);
  });

  it('carry the chat template, and further ones by name', async () => {
    const ours = await load({
      ...TINY,
      'tokenizer.chat_template': '{% for m in messages %}{{ m.content }}{% endfor %}',
      'tokenizer.chat_template.tool_use': 'b',
    });
    expect(ours.renderChat([{ role: 'user', content: 'ab' }]).ids).toEqual([2]);
    expect(ours.hasChatTemplate).toBe(true);
  });

  it('begin a plain prompt with BOS where the file asks for it', async () => {
    expect(
      (await load({ ...TINY, 'tokenizer.ggml.add_bos_token': true })).encodePrompt('ab'),
    ).toEqual([3, 2]);
    expect((await load(TINY)).encodePrompt('ab')).toEqual([2]);
  });

  it.each([
    ['a tokenizer of another kind', { 'tokenizer.ggml.model': 'bert' }, '"bert"'],
    ['an unknown pre-tokenizer', { 'tokenizer.ggml.pre': 'jais' }, '"jais"'],
    ['types of another length', { 'tokenizer.ggml.token_type': [1] }, '1 of 6'],
    ['an end that is not a token', { 'tokenizer.ggml.eos_token_id': 99 }, '99'],
    ['merges that are numbers', { 'tokenizer.ggml.merges': [1, 2] }, 'merges'],
    ['scores that are missing', { 'tokenizer.ggml.model': 'llama' }, 'scores'],
  ])('with %s are refused by name', async (_, more, reason) => {
    const error = await load({ ...TINY, ...more }).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'tokenizer-invalid' });
    expect(String(error)).toContain(reason);
  });
});

it('an empty template is none, and a model without an end token is told of', async () => {
  const byteLevel = { 'tokenizer.ggml.model': 'gpt2', 'tokenizer.ggml.merges': ['a b'] };
  const tokens = { 'tokenizer.ggml.tokens': ['a', 'b', 'ab'], 'tokenizer.chat_template': ' \n' };
  const plain = await load({ ...byteLevel, ...tokens });
  expect(plain.hasChatTemplate).toBe(false);
  expect(plain.notices.join()).toMatch(/no chat template.*no token that ends a reply/);
  const whole = { 'tokenizer.chat_template': 'x', 'tokenizer.ggml.eos_token_id': 1 };
  expect((await load({ ...byteLevel, ...tokens, ...whole })).notices).toEqual([]);
});
