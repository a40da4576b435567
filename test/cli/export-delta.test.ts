import { appendFileSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { registerExport } from '../../src/cli/conversation/export.ts';
import { openLedger } from '../../src/ledger/ledger.ts';
import { nightId } from '../../src/ledger/manifest.ts';
import { readPeft } from '../../src/model/adapter/peft.ts';
import { writeDelta } from '../../src/model/delta.ts';
import { readModel } from '../../src/model/model.ts';
import { NIGHT_FILES } from '../../src/record/files.ts';
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

  it('takes a night of the store by its number, as the ledger has sealed it', async () => {
    const { baseHash: base } = await readModel(model, { cacheDir: join(folder, 'cache') });
    const ledger = await openLedger(join(folder, 'store', 'ledger', base), {
      ...{ base, files: NIGHT_FILES },
    });
    const [day, at] = ['2026-11-30', '2026-11-30T03:00:00.000Z'];
    const { path } = await ledger.building(nightId(1, day));
    const file = join(path, 'delta.safetensors');
    const loraA = new Float32Array(64).fill(0.5);
    const factors = { shape: [32, 32] as const, loraA, loraB: loraA };
    const hash = await writeDelta(file, {
      ...{ baseHash: base, tensors: { 'layers.1.qProj': factors } },
    });
    const manifest = await ledger.commit({
      ...{ night: nightId(1, day), number: 1, day, base, parent: null, inForce: [], seed: 1 },
      ...{ config: '0'.repeat(64), software: {}, data: [], startedAt: at, endedAt: at },
      delta: { file: 'delta.safetensors', hash, relativeNorm: 0.01, steps: 1 },
      gate: { passed: true, reasons: [] },
    });
    const night = ['export', '--model', model, '--night', '1', '--as', 'peft', '--to'];
    const peft = join(folder, 'night-peft');
    expect(await attune(...night, peft)).toContain('rank 2, nothing was cut');
    expect((await readPeft(peft))['layers.1.qProj']).toEqual(factors);
    appendFileSync(join(ledger.folderOf(manifest.night).path, 'delta.safetensors'), 'x');
    await expect(attune(...night, peft)).rejects.toMatchObject({ code: 'swap-refused' });
  });

  it('refuses a night that is not there', async () => {
    const argv = ['export', '--model', model, '--night', '7', '--as', 'peft', '--to', 'x'];
    await expect(attune(...argv)).rejects.toThrow(/no night "7" of this model/);
  });
});
