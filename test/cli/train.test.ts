import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { registerExport } from '../../src/cli/conversation/export.ts';
import { registerTrain } from '../../src/cli/model/train.ts';
import { readDelta } from '../../src/model/delta.ts';
import { writeRandomModel } from '../model/random-model.ts';

// A model is trained and measured.
vi.setConfig({ testTimeout: 60_000 });

const TOKENIZER = fileURLToPath(new URL('../fixtures/tokenizer/chatml', import.meta.url));
const SHAPE = {
  hiddenSize: 32,
  intermediateSize: 48,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  windowTokens: 256,
};

let folder: string;
let model: string;
let examples: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'attune-cli-train-'));
  model = join(folder, 'model');
  const { model: vocabulary, added_tokens } = JSON.parse(
    readFileSync(join(TOKENIZER, 'tokenizer.json'), 'utf8'),
  );
  const vocabularySize = Object.keys(vocabulary.vocab).length + added_tokens.length;
  await writeRandomModel(model, { ...SHAPE, vocabularySize });
  cpSync(TOKENIZER, model, { recursive: true });
  examples = join(folder, 'examples.jsonl');
  writeFileSync(examples, ['tea', 'jam', 'ink', 'oak'].map(exampleLine).join('\n'));
  vi.stubEnv('ATTUNE_STORE', join(folder, 'store'));
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});
afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = 0;
});

function exampleLine(word: string, index: number): string {
  return JSON.stringify({
    id: word,
    kind: index === 3 ? 'ordinary' : 'listen',
    messages: [
      { role: 'user', content: 'Hello.' },
      { role: 'assistant', content: `You could paint the ${word}.` },
      { role: 'user', content: `Just pass the ${word}.` },
    ],
    spans: [
      { feature: 'own-idea', message: 1, quote: `paint the ${word}` },
      { feature: 'direction', message: 2, quote: `pass the ${word}` },
    ],
    chosen: `Here is the ${word}.`,
    rejected: 'Paint it blue.',
    source: { origin: 'suite', cluster: word, domain: 'kitchen' },
  });
}

/** Runs a command as the shell would; what it prints comes back. */
async function attune(...argv: string[]): Promise<string> {
  let printed = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation(() => true);
  const program = new Command().exitOverride();
  for (const register of [registerTrain, registerExport]) register(program);
  await program.parseAsync(argv, { from: 'user' });
  return printed;
}

const TRAIN = ['--set', 'train.epochsMax=4', 'train.klPerStep=0.02', 'train.batchSize=2'];

describe('attune train and export', () => {
  it('write a delta, its manifest and steps, and merge it with the proof', {
    timeout: 240_000,
  }, async () => {
    const out = join(folder, 'night.safetensors');
    const said = await attune(
      'train',
      '--model',
      model,
      '--examples',
      examples,
      '--out',
      out,
      ...TRAIN,
    );
    expect(said).toMatch(/8 steps, W_q moved \d/);
    const delta = await readDelta(out);
    expect(Object.keys(delta.tensors).sort()).toEqual(['layers.0.qProj', 'layers.1.qProj']);
    const manifest = JSON.parse(readFileSync(`${out}.json`, 'utf8'));
    expect(manifest).toMatchObject({
      delta: delta.hash,
      arm: 'real',
      seed: 1,
      sources: 4,
      steps: 8,
    });
    const steps = readFileSync(`${out}.steps.jsonl`, 'utf8').trim().split('\n');
    expect(steps.map((line) => JSON.parse(line).step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    const kls = steps.map((line) => JSON.parse(line).teacherKl as number);
    expect(Math.min(...kls.slice(-2))).toBeLessThan(Math.max(...kls.slice(0, 2)));

    const merged = join(folder, 'merged');
    const proof = await attune('export', '--model', model, '--delta', out, '--merged', merged);
    expect(proof).toContain('2 query projections changed');
    expect(existsSync(join(merged, 'tokenizer.json'))).toBe(true);
  });

  it('refuse a bad line with its number, an unknown value and half an export', async () => {
    const bad = join(folder, 'bad.jsonl');
    writeFileSync(bad, `${exampleLine('tea', 0)}\n{"id": 7}`);
    const out = join(folder, 'never.safetensors');
    await expect(
      attune('train', '--model', model, '--examples', bad, '--out', out),
    ).rejects.toMatchObject({ code: 'scenario-invalid', message: expect.stringContaining(':2:') });
    await expect(
      attune(
        ...['train', '--model', model, '--examples', examples, '--out', out],
        ...['--set', 'train.learnRate=1'],
      ),
    ).rejects.toMatchObject({ code: 'config-invalid' });
    await expect(attune('export', '--model', model, '--delta', out)).rejects.toMatchObject({
      code: 'config-invalid',
    });
    expect(existsSync(out)).toBe(false);
  });
});
