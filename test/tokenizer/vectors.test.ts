// llama.cpp's tokenizer vectors and real tokenizers; they lie outside the repository.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';

// Vocabularies of 50,000 tokens are read.
vi.setConfig({ testTimeout: 60_000 });

const WEIGHTS = resolve(import.meta.dirname, '../../../shared/data/weights');
const isMissing = !existsSync(WEIGHTS);

async function readVectors(name: string): Promise<{ text: string; ids: number[] }[]> {
  const file = join(WEIGHTS, 'tokenizer_vectors', `ggml-vocab-${name}.gguf`);
  const texts = (await readFile(`${file}.inp`, 'utf8')).split('\n__ggml_vocab_test__\n');
  const lines = (await readFile(`${file}.out`, 'utf8')).split('\n').slice(0, texts.length);
  return texts.map((text, index) => ({
    text,
    ids: (lines[index] ?? '').trim().split(/\s+/).filter(Boolean).map(Number),
  }));
}

describe('the vectors of llama.cpp', () => {
  it.skipIf(isMissing)(
    'for gpt-2 pass, all 47, with the GPT-2 tokenizer (needs ../shared/data/weights)',
    async () => {
      const tokenizer = await loadTokenizer(join(WEIGHTS, 'gpt2_lora_kto'));
      const vectors = await readVectors('gpt-2');
      expect(vectors).toHaveLength(47);
      for (const { text, ids } of vectors) {
        expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
        expect(tokenizer.decode(ids)).toBe(text);
      }
    },
  );

  // The vocabularies are not with the data: they run where someone puts them into folders so named.
  for (const name of ['llama-spm', 'phi-3', 'qwen2', 'llama-bpe']) {
    const folder = join(WEIGHTS, `vocabulary-${name}`);
    it.skipIf(isMissing || !existsSync(folder))(`for ${name} pass (needs ${folder})`, async () => {
      const tokenizer = await loadTokenizer(folder);
      const vectors = await readVectors(name);
      expect(vectors.length).toBeGreaterThan(40);
      for (const { text, ids } of vectors) {
        expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
      }
    });
  }
});

describe('the mistral tokenizer', () => {
  it.skipIf(isMissing)(
    'renders its own template and finds the contents (needs ../shared/data/weights)',
    async () => {
      const tokenizer = await loadTokenizer(join(WEIGHTS, 'mistral_tokenizer'));
      const messages = [
        { role: 'system', content: 'Be kind.' },
        { role: 'user', content: 'Just the plan, 🦙 please </s>' },
        { role: 'assistant', content: 'Here it is.' },
      ];
      const rendered = tokenizer.renderChat(messages);
      expect(rendered.text).toBe(
        '<s>Be kind. [INST] Just the plan, 🦙 please </s> [/INST]Here it is.</s>',
      );
      expect(rendered.ids.filter((id) => id === tokenizer.idOf('<s>'))).toHaveLength(1);
      expect(rendered.ids.filter((id) => tokenizer.stopIds.includes(id))).toHaveLength(1);
      const [from, to] = rendered.spanToTokens(1, 5, 14);
      expect(tokenizer.decode(rendered.ids.slice(from, to))).toBe('the plan,');
      const { contentStart, end } = rendered.messages[2] ?? {};
      expect(tokenizer.decode(rendered.ids.slice(contentStart, end))).toContain('Here it is.');
    },
  );

  it.skipIf(isMissing)(
    'says with a code that its template needs a system message (needs ../shared/data/weights)',
    async () => {
      const tokenizer = await loadTokenizer(join(WEIGHTS, 'mistral_tokenizer'));
      const render = () => tokenizer.renderChat([{ role: 'user', content: 'hi' }]);
      expect(render).toThrow(expect.objectContaining({ code: 'template-failed' }));
    },
  );

  it.skipIf(isMissing)(
    'encodes SentencePiece texts byte for byte (needs ../shared/data/weights)',
    async () => {
      const tokenizer = await loadTokenizer(join(WEIGHTS, 'mistral_tokenizer'));
      for (const text of ['Hello world', ' x', '  two', '東京🦙', 'a\nb', '\u0000', '<0x41>']) {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }
      expect(tokenizer.encodePrompt('Hello')).toEqual([1, ...tokenizer.encode('Hello')]);
    },
  );
});

describe('the companion', () => {
  const folder = resolve(import.meta.dirname, '../../models/companion');
  const isAbsent = !existsSync(join(folder, 'tokenizer.json'));

  it.skipIf(isAbsent)('renders a chat and stops (needs models/companion)', async () => {
    const tokenizer = await loadTokenizer(folder);
    const { prompt, replyIds } = tokenizer.renderReply([{ role: 'user', content: 'Hello' }], 'Hi!');
    expect(tokenizer.decode(prompt.ids)).toContain('Hello');
    expect(tokenizer.stopIds).toContain(replyIds.at(-1));
  });
});
