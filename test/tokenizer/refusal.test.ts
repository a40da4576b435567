import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { isAttuneError } from '../../src/base/errors.ts';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { fc } from '../property.ts';

// Many damaged files are read.
vi.setConfig({ testTimeout: 60_000 });

const FIXTURES = join(import.meta.dirname, '../fixtures/tokenizer');

type Definition = Record<string, unknown> & { model: Record<string, unknown> };

let root: string;
let sound: Definition;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'attune-tokenizer-'));
  sound = JSON.parse(await readFile(join(FIXTURES, 'inst', 'tokenizer.json'), 'utf8'));
});

let folders = 0;
async function folderWith(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = join(root, `${folders++}`);
  await cp(join(FIXTURES, 'inst'), folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
}

async function refusal(files: Readonly<Record<string, string>>): Promise<string> {
  try {
    await loadTokenizer(await folderWith(files));
  } catch (error) {
    if (isAttuneError(error, 'tokenizer-invalid')) return error.message;
    throw error;
  }
  throw new Error('nothing was refused');
}

const json = (value: unknown) => ({ 'tokenizer.json': JSON.stringify(value) });

describe('tokenizer.json', () => {
  it('is missed by name', async () => {
    await expect(loadTokenizer(join(root, 'nowhere'))).rejects.toMatchObject({
      code: 'tokenizer-invalid',
    });
    await expect(loadTokenizer(join(root, 'nowhere'))).rejects.toThrow(
      'there is no tokenizer.json',
    );
  });

  it.each<[string, (definition: Definition) => unknown, string]>([
    ['another model', (d) => ({ ...d, model: { ...d.model, type: 'Unigram' } }), 'Unigram'],
    ['no model', ({ model: _model, ...d }) => d, 'model'],
    ['a vocabulary that is a list', (d) => ({ ...d, model: { ...d.model, vocab: [] } }), 'vocab'],
    ['an id twice', (d) => ({ ...d, model: { ...d.model, vocab: { a: 1, b: 1 } } }), '"b"'],
    ['a fraction as id', (d) => ({ ...d, model: { ...d.model, vocab: { a: 0.5 } } }), '"a"'],
    ['a huge id', (d) => ({ ...d, model: { ...d.model, vocab: { a: 1e12 } } }), '"a"'],
    ['no merges', (d) => ({ ...d, model: { ...d.model, merges: null } }), 'merges'],
    [
      'a merge of three',
      (d) => ({ ...d, model: { ...d.model, merges: [['a', 'b', 'c']] } }),
      'pair',
    ],
    ['a merge without blank', (d) => ({ ...d, model: { ...d.model, merges: ['ab'] } }), 'pair'],
    ['suffixes', (d) => ({ ...d, model: { ...d.model, end_of_word_suffix: '</w>' } }), 'suffix'],
    ['an unknown <unk>', (d) => ({ ...d, model: { ...d.model, unk_token: '?!' } }), 'unk_token'],
    ['an unknown decoder', (d) => ({ ...d, decoder: { type: 'WordPiece' } }), 'WordPiece'],
    ['an unknown normalizer', (d) => ({ ...d, normalizer: { type: 'Magic' } }), 'Magic'],
    ['a split without pattern', (d) => ({ ...d, pre_tokenizer: { type: 'Split' } }), 'pattern'],
    [
      'a broken pattern',
      (d) => ({ ...d, pre_tokenizer: { type: 'Split', pattern: { Regex: '(' } } }),
      '',
    ],
    [
      'added tokens without text',
      (d) => ({ ...d, added_tokens: [{ id: 1, content: '' }] }),
      'content',
    ],
  ])('is refused with %s', async (_name, change, words) => {
    expect(await refusal(json(change(structuredClone(sound))))).toContain(words);
  });

  it('is refused when it is no JSON, no UTF-8, or cut short', async () => {
    for (const text of ['', '{', '[]', 'null', '"x"', JSON.stringify(sound).slice(0, 1000)]) {
      await refusal({ 'tokenizer.json': text });
    }
  });

  it('is answered by a tokenizer or a coded error, whatever was changed in it', async () => {
    const paths = pathsOf(sound).filter((path) => path[1] !== 'vocab' && path[1] !== 'merges');
    const value = fc.oneof(fc.jsonValue(), fc.constantFrom(null, -1, 1e9, '(', [], {}));
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths), value, async (path, changed) => {
        const definition = structuredClone(sound);
        set(definition, path, changed);
        const folder = await folderWith(json(definition));
        try {
          const tokenizer = await loadTokenizer(folder);
          tokenizer.decode(tokenizer.encode('Hello <s> wörld 🦙'));
        } catch (error) {
          expect(isAttuneError(error) ? error.code : error).toBe('tokenizer-invalid');
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('tokenizer_config.json and templates', () => {
  it('are refused when they are not what they should be', async () => {
    expect(await refusal({ 'tokenizer_config.json': '{' })).toContain('tokenizer_config.json');
    expect(await refusal({ 'tokenizer_config.json': '{"eos_token": 3}' })).toContain('eos_token');
    expect(await refusal({ 'generation_config.json': '{"eos_token_id": "x"}' })).toContain('eos');
  });

  it('say that a template is no Jinja, and where one fails', async () => {
    const broken = await folderWith({ 'chat_template.jinja': '{% for %}' });
    await expect(loadTokenizer(broken)).rejects.toMatchObject({ code: 'template-failed' });
    for (const template of [
      '{{ messages[0].content | nothing }}',
      '{{ undefined_function() }}',
      '{% for x in range(10000000000) %}a{% endfor %}',
      '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}',
    ]) {
      const tokenizer = await loadTokenizer(await folderWith({ 'chat_template.jinja': template }));
      try {
        tokenizer.renderChat([{ role: 'user', content: 'x' }]);
        throw new Error(`nothing was refused: ${template}`);
      } catch (error) {
        expect(isAttuneError(error) ? error.code : error).toBe('template-failed');
      }
    }
  });

  it('refuse contents that the template changes or writes twice', async () => {
    for (const template of [
      '{{ messages[0].content | upper }}',
      '{{ messages[0].content }}{{ messages[0].content }}',
      '{{ messages[0].content[1:] }}',
    ]) {
      const tokenizer = await loadTokenizer(await folderWith({ 'chat_template.jinja': template }));
      try {
        tokenizer.renderChat([{ role: 'user', content: 'word' }]);
        throw new Error(`nothing was refused: ${template}`);
      } catch (error) {
        expect(isAttuneError(error) ? error.code : error).toBe('span-unaligned');
      }
    }
  });

  it('may take words out of a system text, unless it could spell a control token', async () => {
    const template =
      "{{ messages[0].content.replace('/no_think', '').rstrip() or 'I think.' }}" +
      '{{ messages[1].content }}';
    const tokenizer = await loadTokenizer(await folderWith({ 'chat_template.jinja': template }));
    const render = (system: string) =>
      tokenizer.renderChat([
        { role: 'system', content: system },
        { role: 'user', content: 'words' },
      ]);
    for (const [system, text] of [
      ['Be kind. /no_think', 'Be kind.words'],
      ['/no_think', 'I think.words'],
    ] as const) {
      const rendered = render(system);
      expect(rendered.text).toBe(text);
      const [from, to] = rendered.spanToTokens(1, 0, 5);
      expect(tokenizer.decode(rendered.ids.slice(from, to))).toContain('words');
      expect(rendered.messages[0]?.isWritten).toBe(false);
    }
    expect(render('Be kind.').messages[0]?.isWritten).toBe(true);
    expect(() => render('</s> /no_think')).toThrow('rewritten');
  });

  it('say so when the model was not made for chat', async () => {
    const folder = join(root, 'base-model');
    await cp(join(FIXTURES, 'inst', 'tokenizer.json'), join(folder, 'tokenizer.json'), {});
    await writeFile(join(folder, 'chat_template.jinja'), '\n');
    const tokenizer = await loadTokenizer(folder);
    expect(tokenizer.hasChatTemplate).toBe(false);
    expect(tokenizer.notices.join()).toMatch(/no chat template.*base model/);
    expect(() => tokenizer.renderChat([])).toThrow('made for chat');
    expect(tokenizer.encode('Hello').length).toBeGreaterThan(0);
  });

  it('write the date that they are given', async () => {
    const template = "{{ strftime_now('%d %b %Y') }} {{ messages[0].content }}";
    const tokenizer = await loadTokenizer(await folderWith({ 'chat_template.jinja': template }));
    const at = new Date(2024, 6, 4, 12).getTime();
    const messages = [{ role: 'user', content: 'hi' }];
    expect(tokenizer.renderChat(messages, { at }).text).toBe('04 Jul 2024 hi');
  });

  it('leave a message out when the template does, and say so', async () => {
    const template = '{% for m in messages if m.role == "user" %}{{ m.content }}</s>{% endfor %}';
    const tokenizer = await loadTokenizer(await folderWith({ 'chat_template.jinja': template }));
    const { messages } = tokenizer.renderChat([
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: 'quiet' },
    ]);
    expect(messages.map(({ isWritten }) => isWritten)).toEqual([true, false]);
  });

  it('end a reply with every token that ends a turn in the template', async () => {
    const added = { id: 9, content: '<|im_end|>', special: true };
    const folder = await folderWith({
      ...json({ ...sound, added_tokens: [...(sound.added_tokens as object[]), added] }),
      'chat_template.jinja': '{{ messages[0].content }}<|im_end|>',
    });
    expect((await loadTokenizer(folder)).stopIds).toEqual([2, 9]);
  });

  it('take stop tokens from generation_config.json and from the end-of-sequence token', async () => {
    const folder = await folderWith({ 'generation_config.json': '{"eos_token_id": [7, 2]}' });
    expect((await loadTokenizer(folder)).stopIds).toEqual([7, 2]);
    expect((await loadTokenizer(join(FIXTURES, 'inst'))).stopIds).toEqual([2]);
  });
});

describe('a tokenizer with more tokens than the model', () => {
  const folderOf = (size: number, added: readonly object[] = []): Promise<string> =>
    folderWith({
      ...json({ ...sound, added_tokens: [...(sound.added_tokens as object[]), ...added] }),
      'config.json': JSON.stringify({ vocab_size: size }),
    });

  it('reads a token that was added beyond as plain text, and says so', async () => {
    const { vocab } = sound.model as { vocab: Record<string, number> };
    const size = Math.max(...Object.values(vocab)) + 1;
    const call = { id: size + 3, content: '<call>', special: false };
    const tokenizer = await loadTokenizer(await folderOf(size, [call]));
    expect(Math.max(...tokenizer.encode('say <call> again'))).toBeLessThan(size);
    expect(tokenizer.decode(tokenizer.encode('say <call> again'))).toContain('<call>');
    expect(tokenizer.notices).toEqual([expect.stringContaining('<call>')]);
    expect((await loadTokenizer(await folderOf(size))).notices).toEqual([]);
  });

  it('is refused when a word of its own is beyond', async () => {
    await expect(loadTokenizer(await folderOf(20))).rejects.toMatchObject({
      code: 'tokenizer-invalid',
      message: expect.stringContaining('the model knows 20 tokens'),
    });
  });
});

type Path = readonly string[];

function pathsOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path];
  const below = Object.entries(value).slice(0, 40);
  return [path, ...below.flatMap(([key, inner]) => pathsOf(inner, [...path, key]))].filter(
    (one) => one.length > 0,
  );
}

function set(target: unknown, path: Path, value: unknown): void {
  let place = target as Record<string, unknown>;
  for (const key of path.slice(0, -1)) place = place[key] as Record<string, unknown>;
  place[path.at(-1) ?? ''] = value;
}
