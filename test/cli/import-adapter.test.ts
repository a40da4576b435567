import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { registerImportAdapter } from '../../src/cli/model/import-adapter.ts';
import { readPeft } from '../../src/model/adapter/peft.ts';
import { readDelta } from '../../src/model/delta.ts';

// A model is read.
vi.setConfig({ testTimeout: 60_000 });

const fixture = (path: string): string =>
  fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'attune-cli-import-'));
  vi.stubEnv('ATTUNE_STORE', join(folder, 'store'));
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});
afterEach(() => vi.restoreAllMocks());

async function look(model: string, path: string, ...rest: string[]): Promise<string> {
  let printed = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
  const program = new Command().exitOverride();
  registerImportAdapter(program);
  const argv = ['import-adapter', path, '--model', fixture(model), '--no-gate', ...rest];
  await program.parseAsync(argv, { from: 'user' });
  return printed;
}

describe('attune import-adapter', () => {
  it('says what an adapter of PEFT moves, and writes it as a delta', async () => {
    const to = join(folder, 'delta.safetensors');
    const said = await look('transformers/llama', fixture('adapter/llama'), '--to', to);
    expect(said).toContain('moves W_q of 2 layers, rank 3, and nothing else');
    expect((await readDelta(to)).tensors).toEqual(await readPeft(fixture('adapter/llama')));
  });

  it('says it of one for llama.cpp, on a GGUF base', async () => {
    const said = await look('gguf/llama.gguf', fixture('adapter/llama.gguf'));
    expect(said).toContain('moves W_q of 2 layers, rank 3, and nothing else');
  });

  it.each([
    ['that moves others, by their names', 'adapter/other', 'model-unsupported', /k_proj/],
    ['of a model of another shape', 'adapter/qwen3', 'delta-damaged', /has the shape/],
    ['that is not there', 'adapter/none', 'model-not-found', /none/],
  ])('refuses one %s', async (_, path, code, message) => {
    const refused = look('transformers/llama', fixture(path));
    await expect(refused).rejects.toMatchObject({ code });
    await expect(refused).rejects.toThrow(message);
  });
});
