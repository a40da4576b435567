import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { registerExport } from '../../src/cli/conversation/export.ts';
import { writeDelta } from '../../src/model/delta.ts';
import { readModel } from '../../src/model/model.ts';
import { writeRandomModel } from '../model/random-model.ts';

// A model is written and read.
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

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'attune-cli-export-'));
  model = join(folder, 'model');
  const { model: vocabulary, added_tokens } = JSON.parse(
    readFileSync(join(TOKENIZER, 'tokenizer.json'), 'utf8'),
  );
  const vocabularySize = Object.keys(vocabulary.vocab).length + added_tokens.length;
  await writeRandomModel(model, { ...SHAPE, vocabularySize });
  cpSync(TOKENIZER, model, { recursive: true });
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

/** Runs a command as the shell would; what it prints comes back. */
async function attune(...argv: string[]): Promise<string> {
  let printed = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation(() => true);
  const program = new Command().exitOverride();
  registerExport(program);
  await program.parseAsync(argv, { from: 'user' });
  return printed;
}

describe('attune export of a model', () => {
  it('merges a delta, with the proof that nothing else changed', async () => {
    const { baseHash, weights } = await readModel(model, { cacheDir: join(folder, 'cache') });
    const trained = [...weights].filter(([name]) => name.endsWith('.qProj'));
    const moved = trained.map(([name, { shape }]) => {
      const data = new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(0.01);
      return [name, { shape, data }];
    });
    const delta = join(folder, 'night.safetensors');
    await writeDelta(delta, { baseHash, tensors: Object.fromEntries(moved) });

    const merged = join(folder, 'merged');
    const proof = await attune('export', '--model', model, '--delta', delta, '--merged', merged);
    expect(proof).toContain('2 query projections changed');
    expect(existsSync(join(merged, 'tokenizer.json'))).toBe(true);
  });

  it('refuses half of what it needs', async () => {
    const half = attune('export', '--model', model, '--delta', join(folder, 'none.safetensors'));
    await expect(half).rejects.toMatchObject({ code: 'config-invalid' });
  });
});
