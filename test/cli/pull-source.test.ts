// What can be written after `attune pull`.
import { describe, expect, it } from 'vitest';
import { parseSource } from '../../src/cli/hub/source.ts';

const HUB = 'https://huggingface.co';
const parse = (text: string) => parseSource(text, HUB);
const plain = { repository: 'o/m', revision: 'main', quantization: undefined, file: undefined };

describe('a model to fetch is named by', () => {
  it.each([
    ['o/m', {}],
    ['HuggingFaceTB/SmolLM2-135M', { repository: 'HuggingFaceTB/SmolLM2-135M' }],
    ['o/m@refs/pr/1', { revision: 'refs/pr/1' }],
    ['o/m:Q4_K_M', { quantization: 'Q4_K_M' }],
    ['o/m:q8_0@v1.0', { quantization: 'q8_0', revision: 'v1.0' }],
    ['o/m/x-Q8_0.gguf', { file: 'x-Q8_0.gguf' }],
    ['o/m/Q8_0/x.gguf', { file: 'Q8_0/x.gguf' }],
    ['https://huggingface.co/o/m', {}],
    ['https://huggingface.co/o/m/', {}],
    ['huggingface.co/o/m', {}],
    ['hf.co/o/m', {}],
    ['https://www.huggingface.co/o/m/tree/v2', { revision: 'v2' }],
    ['https://huggingface.co/o/m/blob/main/x.gguf', { file: 'x.gguf' }],
    [
      'https://huggingface.co/o/m/resolve/v2/a/x.gguf?download=true',
      { revision: 'v2', file: 'a/x.gguf' },
    ],
    ['https://huggingface.co/o/m/blob/main/model.safetensors', {}],
  ])('%s', (text, expected) => {
    expect(parse(text)).toEqual({ ...plain, ...expected });
  });

  it('an address of the hub that the environment names', () => {
    expect(parseSource('http://127.0.0.1:8/o/m', 'http://127.0.0.1:8')).toEqual(plain);
  });
});

describe('a source is refused', () => {
  it.each([
    'a/b/c',
    '../m',
    'o/..',
    'o/m@',
    'o/m@../x',
    'o m/x',
    '-/m@a b',
    'o/m:',
    'o//m.gguf',
    '',
  ])('%j', (source) => {
    expect(() => parse(source)).toThrow(expect.objectContaining({ code: 'config-invalid' }));
  });

  it.each([
    ['qwen2.5:0.5b', 'ollama pull qwen2.5:0.5b'],
    ['ollama:llama3.2', 'attune start --model ollama:llama3.2'],
    ['ollama:someone/model:7b', 'ollama pull someone/model:7b'],
    ['gpt2', 'a model of the hub is OWNER/NAME'],
    ['https://example.com/o/m', 'example.com is not the hub'],
    ['https://huggingface.co/o/m/discussions/3', 'not the page of a model'],
    ['https://huggingface.co/%E0%A4%A', 'OWNER/NAME'],
  ])('%s, with what to do instead', (source, advice) => {
    expect(() => parse(source)).toThrow(advice);
  });
});
