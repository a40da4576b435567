// What is said beside a demonstration model: the best one that is here, or one to fetch.
import { describe, expect, it } from 'vitest';
import type { ListedModel } from '../../src/cli/model/models.ts';
import { suggestionText } from '../../src/cli/start.ts';
import { suggestionFrom } from '../../src/cli/suggestion.ts';

const GB = 1e9;

function model(name: string, parameters: number, changes: Partial<ListedModel> = {}): ListedModel {
  const facts = {
    parameters,
    quantization: 'Q8_0',
    storedBytes: parameters,
    memoryBytes: 4 * parameters,
    hasChatTemplate: true,
  };
  return {
    name,
    aliases: [],
    path: `/${name}`,
    source: 'Ollama',
    facts,
    refusal: null,
    ...changes,
  };
}

describe('the model to start instead of a demonstration', () => {
  it('is the largest one that runs here and leaves room in memory', () => {
    const models = [model('o/large', 2.5 * GB), model('o/fits', GB), model('o/small', 0.1 * GB)];
    expect(suggestionFrom(models, 12 * GB)).toEqual({
      model: 'o/fits',
      command: 'npx attune start --model o/fits',
    });
  });

  it('is none that does not run, cannot chat or is a demonstration itself', () => {
    const base = model('o/base', GB);
    const models = [
      model('o/refused', GB, { refusal: 'the architecture', facts: null }),
      { ...base, facts: base.facts === null ? null : { ...base.facts, hasChatTemplate: false } },
      model('o/companion', 8e6),
    ];
    const command = 'npx attune pull Qwen/Qwen2.5-1.5B-Instruct';
    expect(suggestionFrom(models, 16 * GB)).toEqual({ model: null, command });
  });

  it('to fetch is one for the memory of the machine', () => {
    expect(suggestionFrom([], 4 * GB).command).toBe('npx attune pull Qwen/Qwen2.5-0.5B-Instruct');
  });

  it('is named in quotes where its path has blanks', () => {
    const { command } = suggestionFrom([model('/a b/x.gguf', GB)], 16 * GB);
    expect(command).toBe('npx attune start --model "/a b/x.gguf"');
  });

  it('is told in the terminal with the line that starts it', () => {
    const text = suggestionText(suggestionFrom([model('o/m', GB)], 16 * GB));
    expect(text).toContain('This model is a demonstration.');
    expect(text).toContain('on this machine: o/m\n  npx attune start --model o/m\n');
    expect(suggestionText(suggestionFrom([], 16 * GB))).toContain('npx attune pull');
  });
});
