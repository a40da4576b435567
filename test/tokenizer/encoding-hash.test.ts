import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { readTokenizer } from '../../src/tokenizer/read-tokenizer.ts';
import { createTokenizer, loadTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { ggufBytes, type Metadata } from '../gguf/gguf-bytes.ts';

const COMPANION = resolve(import.meta.dirname, '../../models/companion');
const folders: string[] = [];
let dir: string;
let before: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'attune-encoding-'));
  folders.push(dir);
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) {
    await cp(join(COMPANION, file), join(dir, file));
  }
  before = (await loadTokenizer(COMPANION)).encoding;
});
afterAll(() => Promise.all(folders.map((one) => rm(one, { recursive: true, force: true }))));

/** What the tests change of a tokenizer.json. */
interface Definition {
  readonly model: { readonly vocab: Record<string, number>; readonly merges: unknown[] };
  readonly added_tokens: { id: number; content: string }[];
  normalizer: unknown;
}

/** The hash after a change to a file of the folder. */
async function change<T>(file: string, edit: (content: T) => void): Promise<string> {
  const path = join(dir, file);
  const content = JSON.parse(await readFile(path, 'utf8'));
  edit(content);
  await writeFile(path, JSON.stringify(content));
  return (await loadTokenizer(dir)).encoding;
}

describe('the hash of tokenizer and template, of a folder', () => {
  it('is the same for a copy, also written in other white space', async () => {
    expect((await loadTokenizer(dir)).encoding).toBe(before);
    expect(await change('tokenizer.json', () => undefined)).toBe(before);
  });

  it.each([
    [
      'two tokens have each other’s id',
      ({ model: { vocab } }) => {
        const [a, b] = Object.keys(vocab) as [string, string];
        Object.assign(vocab, { [a]: vocab[b], [b]: vocab[a] });
      },
    ],
    [
      'two merges have changed places',
      ({ model: { merges } }) => {
        [merges[0], merges[1]] = [merges[1], merges[0]];
      },
    ],
    [
      'a token is added',
      ({ added_tokens: added }) => {
        added.push({ id: 4095, content: '<|new|>' });
      },
    ],
    [
      'text is brought into another form first',
      (definition) => {
        definition.normalizer = { type: 'NFC' };
      },
    ],
  ] as [string, (definition: Definition) => void][])('is another where %s', async (_, edit) => {
    expect(await change('tokenizer.json', edit)).not.toBe(before);
  });

  it('is another under another template or another name of a token in it', async () => {
    const named = await change('tokenizer_config.json', (config: Record<string, unknown>) => {
      config.pad_token = config.eos_token;
      config.bos_token = config.eos_token;
    });
    await writeFile(join(dir, 'chat_template.jinja'), '{{ messages[0].content }}');
    const { encoding } = await loadTokenizer(dir);
    expect(new Set([before, named, encoding]).size).toBe(3);
  });

  it('does not depend on what ends a reply or turns ids into text', async () => {
    const files = await readTokenizer(dir);
    const definition = { ...files.definition, decoder: null };
    expect(createTokenizer(dir, { ...files, definition, stopIds: [7] }).encoding).toBe(before);
  });
});

describe('the hash of tokenizer and template, of a GGUF file', () => {
  const METADATA = {
    'general.architecture': 'llama',
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.tokens': ['a', 'b', 'ab', '<|end|>'],
    'tokenizer.ggml.token_type': [1, 1, 1, 3],
    'tokenizer.ggml.merges': ['a b'],
    'tokenizer.chat_template': '{{ messages[0].content }}',
  };
  const hashOf = async (metadata: Metadata): Promise<string> => {
    const path = join(dir, 'model.gguf');
    await writeFile(path, ggufBytes({ metadata: { ...METADATA, ...metadata } }));
    return (await loadTokenizer(path)).encoding;
  };

  it('is that of what encodes, and of nothing else in the file', async () => {
    const same = await hashOf({});
    expect(await hashOf({ 'general.name': 'renamed' })).toBe(same);
    const others = [await hashOf({ 'tokenizer.chat_template': '{{ messages[0].role }}' })];
    others.push(await hashOf({ 'tokenizer.ggml.tokens': ['b', 'a', 'ab', '<|end|>'] }));
    others.push(await hashOf({ 'tokenizer.ggml.token_type': [1, 1, 1, 4] }));
    others.push(await hashOf({ 'tokenizer.ggml.pre': 'smollm' }));
    expect(new Set([same, ...others]).size).toBe(5);
  });
});
