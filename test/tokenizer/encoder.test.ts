// The encoder gives the ids that the library gives when it takes in vocabulary and merges itself.
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { describe, expect, it, vi } from 'vitest';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { fc } from '../property.ts';

// Vocabularies of 100,000 tokens are read.
vi.setConfig({ testTimeout: 60_000 });

const FOLDER = join(import.meta.dirname, '../fixtures/tokenizer');
const WEIGHTS = resolve(import.meta.dirname, '../../../shared/data/weights');

interface Ids {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
}

async function libraryOf(dir: string): Promise<(text: string) => number[]> {
  const definition = JSON.parse(await readFile(join(dir, 'tokenizer.json'), 'utf8'));
  const library = new LibraryTokenizer({ ...definition, added_tokens: [] }, {}) as unknown as Ids;
  return (text) => library.encode(text, { add_special_tokens: false }).ids;
}

const TEXTS = [
  'Hello world',
  '  two  blanks',
  "it's 12,345 東京 🦙!",
  'a\n\n\tb',
  'ﬁ é e\u0301',
  '',
];

async function expectSameIds(dir: string): Promise<void> {
  const tokenizer = await loadTokenizer(dir);
  const expected = await libraryOf(dir);
  // What spells a control token is text here, and markup for the library.
  const texts = fc
    .string({ unit: 'grapheme', maxLength: 60 })
    .filter((text) => !/[<[|]/.test(text));
  fc.assert(
    fc.property(texts, (text) => {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(expected(text));
    }),
    { numRuns: 200, examples: TEXTS.map((text) => [text]) },
  );
}

describe('the ids are those of the library', () => {
  it.each(['chatml', 'headers', 'inst', 'thinking'])('with the tokenizer %s', (name) =>
    expectSameIds(join(FOLDER, name)),
  );

  it.skipIf(!existsSync(WEIGHTS)).each(['gpt2_lora_kto', 'mistral_tokenizer'])(
    'with the tokenizer of %s (needs ../shared/data/weights)',
    (name) => expectSameIds(join(WEIGHTS, name)),
  );

  it('where merges are pairs of tokens that have blanks in them', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'attune-blanks-'));
    try {
      await cp(join(FOLDER, 'chatml'), dir, { recursive: true });
      const vocab = { a: 0, ' ': 1, b: 2, 'a ': 3, ' b': 4, 'a b': 5, 'b ': 6 };
      const merges = [
        ['a', ' '],
        [' ', 'b'],
        ['a ', 'b'],
        ['b', ' '],
      ];
      const model = { type: 'BPE', vocab, merges };
      const parts = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };
      await writeFile(join(dir, 'tokenizer.json'), JSON.stringify({ ...parts, model }));
      const [tokenizer, expected] = [await loadTokenizer(dir), await libraryOf(dir)];
      for (const text of ['a b', 'b a b', ' b b', 'a  b']) {
        expect(tokenizer.encode(text)).toEqual(expected(text));
      }
      expect(tokenizer.encode('a b')).toEqual([5]);
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
