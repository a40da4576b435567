// `attune pull` takes what runs here, and stops before the weights of what does not.
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pull } from '../../src/cli/hub/pull.ts';
import { listLocalModels, modelFolders } from '../../src/model/local/local-model.ts';
import { resolveModel } from '../../src/model/local/resolve-model.ts';
import { CONFIG, folderFiles, ggufModel } from './hub-models.ts';
import { type HubServer, startHub } from './hub-server.ts';

let home: string;
let hub: HubServer;
let said: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'attune-choice-'));
  said = '';
});
afterEach(() => rm(home, { recursive: true, force: true }));

async function run(
  files: Readonly<Record<string, Buffer>>,
  source = 'o/m',
  more: Partial<Parameters<typeof pull>[0]> = {},
): Promise<string> {
  hub = await startHub(files);
  return pull({
    source,
    storePath: home,
    environment: { HF_ENDPOINT: hub.endpoint, HF_HOME: home },
    output: { write: (text) => (said += text) },
    stallMs: 2000,
    attemptsMax: 2,
    ...more,
  });
}

const folder = () => join(home, 'models/o/m');
const fetched = async () =>
  (await readdir(folder())).filter((name) => /\.(gguf|safetensors)$/.test(name)).sort();
/** Bytes that were asked for of files of weights. */
const asked = () =>
  hub.requests.filter(({ url }) => /\.(gguf|safetensors)$/.test(url)).map(({ url }) => url);

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const model = ggufModel();
const QUANTIZED = {
  'README.md': Buffer.from('x'),
  'x-IQ2_XS.gguf': model,
  'x-Q2_K.gguf': model,
  'x-Q4_K_M.gguf': model,
  'x-Q8_0.gguf': model,
  'mmproj-x-F16.gguf': model,
};

describe('of a repository of GGUF files', () => {
  it('the usual quantisation is taken, with a list of the others', async () => {
    expect(await run(QUANTIZED)).toBe('o/m:Q4_K_M');
    expect(await fetched()).toEqual(['x-Q4_K_M.gguf']);
    expect(said).toContain('Taking o/m:Q4_K_M. There are IQ2_XS (');
    expect(said).not.toContain('mmproj');
  });

  it('the quantisation that was asked for is taken, and is found under its name', async () => {
    const name = await run(QUANTIZED, 'o/m:q8_0');
    expect(await fetched()).toEqual(['x-Q8_0.gguf']);
    const folders = modelFolders(home, home, {});
    const path = await resolveModel(name, { bases: [home], folders });
    expect(path).toBe(join(folder(), 'x-Q8_0.gguf'));
  });

  it('a file is taken by its name', async () => {
    expect(await run({ 'a.gguf': model, 'b.gguf': model }, 'o/m/b.gguf')).toBe('o/m/b.gguf');
    expect(await fetched()).toEqual(['b.gguf']);
  });

  it('all parts of a split file are taken, in a folder as on the hub', async () => {
    const split = (no: number) => ({ 'split.count': 2, 'split.no': no });
    const second = ggufModel({ metadata: split(1), tensors: [] });
    const files = {
      'Q8_0/x-Q8_0-00001-of-00002.gguf': ggufModel({ metadata: split(0) }),
      'Q8_0/x-Q8_0-00002-of-00002.gguf': second,
      'x-Q5_0.gguf': model,
    };
    expect(await run(files, 'o/m:Q8_0')).toBe('o/m:Q8_0');
    expect(
      (await readdir(join(folder(), 'Q8_0'))).filter((one) => one.endsWith('.gguf')),
    ).toHaveLength(2);
    const [found] = await listLocalModels(modelFolders(home, home, {}));
    expect(found?.aliases).toContain('o/m:Q8_0');
  });

  it.each([
    ['o/m:Q3_K_M', QUANTIZED, 'no Q3_K_M; it has IQ2_XS, Q2_K, Q4_K_M, Q8_0'],
    ['o/m/y.gguf', QUANTIZED, 'no model y.gguf'],
    ['o/m/mmproj-x-F16.gguf', QUANTIZED, 'no model mmproj-x-F16.gguf'],
    ['o/m', { 'x-Q2_K.gguf': model, 'x-IQ1_S.gguf': model }, 'no quantisation that is read'],
    ['o/m', { 'x-Q8_0-00001-of-00002.gguf': model }, 'lists 1 of the 2 parts'],
    ['o/m:Q8_0', folderFiles(), 'no Q8_0; it has no GGUF file'],
  ])('%s is refused where there is none, with what there is', async (source, files, reason) => {
    await expect(run(files, source)).rejects.toMatchObject({
      code: 'model-unsupported',
      message: expect.stringContaining(reason),
    });
    expect(asked()).toEqual([]);
  });

  it('a folder of safetensors is taken where both are there', async () => {
    expect(await run({ ...folderFiles(), 'x-Q8_0.gguf': model })).toBe('o/m');
    expect(await fetched()).toEqual(['model.safetensors']);
  });

  it('factors of the rotation need not be in the head', async () => {
    await run({ 'x-Q8_0.gguf': ggufModel({ ropeFactors: true }) });
    expect(await fetched()).toEqual(['x-Q8_0.gguf']);
  });
});

describe('before its weights are fetched, a model is refused', () => {
  const config = (changes: object) => ({
    ...folderFiles(),
    'config.json': json({ ...CONFIG, ...changes }),
  });
  const foreign = { 'general.architecture': 'gemma3' };
  const quantized = { quantization_config: { quant_method: 'gptq' } };
  const wide = { 'tokenizer.ggml.pre': 'unheard-of' };
  it.each<[string, Record<string, Buffer>, string]>([
    ['of another architecture', config({ model_type: 'gemma3_text' }), 'gemma3_text'],
    ['that is quantised as safetensors', config(quantized), 'quantized'],
    ['whose tensors are others', config({ num_hidden_layers: 2 }), 'model.layers.1'],
    [
      'whose tokenizer is not read',
      { ...folderFiles(), 'tokenizer.json': json({ model: { type: 'Unigram' } }) },
      'Unigram',
    ],
    [
      'that is a GGUF file of another architecture',
      { 'x.gguf': ggufModel({ metadata: foreign }) },
      'gemma3',
    ],
    ['with blocks that are not read', { 'x.gguf': ggufModel({ type: 'IQ4_NL' }) }, 'IQ4_NL'],
    [
      'with a pre-tokenizer that is not known',
      { 'x.gguf': ggufModel({ metadata: wide }) },
      'unheard-of',
    ],
    ['that is no GGUF file', { 'x.gguf': Buffer.alloc(500, 'no') }, 'does not begin with GGUF'],
  ])('%s', async (_, files, reason) => {
    await expect(run(files)).rejects.toMatchObject({
      code: 'model-unsupported',
      message: expect.stringContaining(reason),
    });
    const error = await run(files).catch((caught: unknown) => String(caught));
    expect(error).toContain('o/m cannot run here, so it is not fetched');
    expect(error).not.toContain(home);
    expect(await fetched()).toEqual([]);
    expect((await readdir(folder())).some((name) => /\.part$|^\.look/.test(name))).toBe(false);
  });

  it('that takes more memory than the machine has', async () => {
    await expect(run(QUANTIZED, 'o/m', { memory: 4_000 })).rejects.toThrow(
      /takes 8\.\d kB of memory .* this machine has 4\.0 kB/,
    );
    expect(await fetched()).toEqual([]);
  });
});

it('a model without a chat template is said to be one', async () => {
  await run({ 'x-Q8_0.gguf': ggufModel({ metadata: { 'tokenizer.chat_template': [] } }) });
  expect(said).toContain('no chat template');
});

it('templates in a folder of their own are fetched, those of a processor are not', async () => {
  const extra = { 'additional_chat_templates/rag.jinja': Buffer.from('rag') };
  await run({ ...folderFiles(), ...extra, 'chat_template.json': json({}) });
  expect(await readdir(join(folder(), 'additional_chat_templates'))).toEqual(['rag.jinja']);
  expect(existsSync(join(folder(), 'chat_template.json'))).toBe(false);
});

describe('the hub is asked', () => {
  const authorizations = () => new Set(hub.requests.map(({ authorization }) => authorization));

  it('with the token of a login, which that of the environment takes the place of', async () => {
    await writeFile(join(home, 'token'), 'from-login\n');
    await run(QUANTIZED);
    expect(authorizations()).toEqual(new Set(['Bearer from-login']));
    const HF_TOKEN_PATH = join(home, 'other');
    await writeFile(HF_TOKEN_PATH, 'from-path');
    hub = await startHub(QUANTIZED);
    const given = { HF_ENDPOINT: hub.endpoint, HF_HOME: home, HF_TOKEN_PATH };
    const shared = { source: 'o/m', storePath: home, output: { write: () => 0 } };
    await pull({ ...shared, environment: given });
    expect(authorizations()).toEqual(new Set(['Bearer from-path']));
    hub.requests.length = 0;
    await pull({ ...shared, environment: { ...given, HF_TOKEN: 'given' } });
    expect(authorizations()).toEqual(new Set(['Bearer given']));
  });

  it('again when it is busy, after the time that it asks for', async () => {
    hub = await startHub(QUANTIZED);
    hub.faults = { refuseList: { status: 429, times: 1, retryAfter: '0' } };
    const environment = { HF_ENDPOINT: hub.endpoint, HF_HOME: home };
    const shared = { source: 'o/m', storePath: home, output: { write: () => 0 }, environment };
    await pull({ ...shared, attemptsMax: 2 });
    expect(hub.requests.filter(({ url }) => url.includes('/revision/'))).toHaveLength(2);
    hub.faults = { refuseList: { status: 503, times: 9, retryAfter: '3600' } };
    await expect(pull({ ...shared, attemptsMax: 2 })).rejects.toThrow('wait 3600 seconds');
  });

  it('directly, with a word on it, where only the environment names a proxy', async () => {
    hub = await startHub(QUANTIZED);
    const environment = { HF_ENDPOINT: hub.endpoint, HF_HOME: home, HTTPS_PROXY: 'http://p:1' };
    const output = { write: (text: string) => (said += text) };
    await pull({ source: 'o/m', storePath: home, environment, output });
    expect(said).toContain('HTTPS_PROXY is set');
  });
});
