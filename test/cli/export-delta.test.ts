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

describe('attune export of deltas', () => {
  let delta: string;
  beforeAll(async () => {
    const { baseHash, weights } = await readModel(model, { cacheDir: join(folder, 'cache') });
    const trained = [...weights].filter(([name]) => name.endsWith('.qProj'));
    const moved = trained.map(([name, { shape }]) => {
      const data = new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(0.01);
      return [name, { shape, data }];
    });
    delta = join(folder, 'night.safetensors');
    await writeDelta(delta, { baseHash, tensors: Object.fromEntries(moved) });
  });
  const parts = (...rest: string[]) => ['export', '--model', model, '--delta', delta, ...rest];

  it('merges them, with the proof that nothing else changed', async () => {
    const merged = join(folder, 'merged');
    const proof = await attune(...parts('--as', 'merged', '--to', merged));
    expect(proof).toContain('2 query projections changed');
    expect(existsSync(join(merged, 'tokenizer.json'))).toBe(true);
  });

  it('writes an adapter, and says what a lower rank keeps of it', async () => {
    const peft = join(folder, 'peft');
    expect(await attune(...parts('--as', 'peft', '--to', peft))).toContain(
      'rank 32, nothing was cut',
    );
    expect(existsSync(join(peft, 'adapter_config.json'))).toBe(true);
    const said = await attune(...parts('--as', 'peft', '--to', peft, '--rank', '1'));
    expect(said).toContain('rank 1, it keeps at least 100.0 %');
    const lora = join(folder, 'lora.gguf');
    await attune(...parts('--as', 'gguf-lora', '--to', lora));
    expect(readFileSync(lora).subarray(0, 4).toString()).toBe('GGUF');
  });

  it.each([
    ['no form', ['--to', 'x'], /--as is one of peft/],
    ['another form', ['--as', 'onnx', '--to', 'x'], /--as is one of peft/],
    ['no place', ['--as', 'peft'], /--to is missing/],
    ['another type', ['--as', 'merged', '--to', 'x', '--type', 'q4'], /f32 or f16/],
    ['nights as well', ['--as', 'peft', '--to', 'x', '--night', '1'], /either --night/],
  ])('refuses %s', async (_, rest, message) => {
    const refused = attune(...parts(...rest));
    await expect(refused).rejects.toMatchObject({ code: 'config-invalid' });
    await expect(refused).rejects.toThrow(message);
  });

  it('refuses a night that is not there', async () => {
    const argv = ['export', '--model', model, '--night', '7', '--as', 'peft', '--to', 'x'];
    await expect(attune(...argv)).rejects.toThrow(/no night "7" of this model/);
  });
});
