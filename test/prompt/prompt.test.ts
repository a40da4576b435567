import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parsePrompt, readPrompts } from '../../src/prompt/prompt.ts';

const refused = expect.objectContaining({ code: 'prompt-invalid' });

describe('a prompt', () => {
  it('fills its slots, each as often as it stands there', () => {
    const prompt = parsePrompt('p', 'Hello {{name}}, {{ name }}!\nTone: {{tone-word}}\n');
    expect(prompt.slots).toEqual(['name', 'tone-word']);
    expect(prompt.fill({ name: 'Ada', 'tone-word': 'calm' })).toBe('Hello Ada, Ada!\nTone: calm');
  });

  it('never fills what a value contains, and takes $ for itself', () => {
    const prompt = parsePrompt('p', '{{a}} {{b}}');
    expect(prompt.fill({ a: '{{b}}', b: '$& $1' })).toBe('{{b}} $& $1');
  });

  it('keeps braces that are meant as text', () => {
    expect(parsePrompt('p', 'write \\{{name}} and {one}').fill({})).toBe(
      'write {{name}} and {one}',
    );
  });

  it('reads front matter apart from the text', () => {
    const prompt = parsePrompt('p', '---\ntemperature: 0.8\nkinds: [listen]\n---\n\nText {{x}}\n');
    expect(prompt.frontMatter).toEqual({ temperature: 0.8, kinds: ['listen'] });
    expect(prompt.fill({ x: 'y' })).toBe('Text y');
    expect(parsePrompt('p', '---\n---\nText').fill({})).toContain('Text');
  });

  it('refuses missing and unknown slots by name', () => {
    const prompt = parsePrompt('dream/listen', '{{a}} {{b}}');
    expect(() => prompt.fill({ a: 'x' })).toThrow('dream/listen: no value for the slots b');
    expect(() => prompt.fill({ a: '', b: '', c: '' })).toThrow('it has no slots c');
    expect(prompt.fill({ a: '', b: '' })).toBe(' ');
  });

  it.each([
    '{{',
    'a }} b',
    '{{1x}}',
    '{{a b}}',
    '{{}}',
    '---\nx: [\n---\n',
    '---\n- a\n---\n',
    '---\nno end',
  ])('refuses %j', (text) => expect(() => parsePrompt('p', text)).toThrow(refused));

  it('has a hash that changes with every character', () => {
    expect(parsePrompt('p', 'a').hash).toBe(parsePrompt('q', 'a').hash);
    expect(parsePrompt('p', 'a').hash).not.toBe(parsePrompt('p', 'a ').hash);
  });
});

describe('a folder of prompts', () => {
  it('holds the Markdown files below it by their path', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'attune-prompt-'));
    await mkdir(join(folder, 'dream'));
    await writeFile(join(folder, 'dream', 'listen.md'), 'x {{y}}');
    await writeFile(join(folder, 'guide.md'), 'g');
    await writeFile(join(folder, 'README.md'), '{{ not a prompt');
    await writeFile(join(folder, 'notes.txt'), '{{');
    const prompts = await readPrompts(folder);
    expect(prompts.names).toEqual(['dream/listen', 'guide']);
    expect(prompts.get('dream/listen').fill({ y: 'z' })).toBe('x z');
    expect(() => prompts.get('dream/none')).toThrow(refused);
    const before = prompts.hash;
    await writeFile(join(folder, 'guide.md'), 'h');
    expect((await readPrompts(folder)).hash).not.toBe(before);
  });

  it('is missed by name, and refuses a file that is too large', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'attune-prompt-'));
    await expect(readPrompts(join(folder, 'none'))).rejects.toEqual(refused);
    await writeFile(join(folder, 'large.md'), 'x'.repeat(300_000));
    await expect(readPrompts(folder)).rejects.toMatchObject({ code: 'file-too-large' });
  });
});
