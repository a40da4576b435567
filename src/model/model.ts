// A model folder read and checked: config, and where in which file a graph reads each weight.
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { READABLE_TYPES } from '../gguf/block-type.ts';
import { readTemplates } from '../tokenizer/tokenizer-file.ts';
import { hintOf, readCheckpoint } from './checkpoint/checkpoint.ts';
import { modelId, notFound, readJson, realPath } from './checkpoint/folder.ts';
import { readGgufCheckpoint } from './checkpoint/gguf-checkpoint.ts';
import { asDecided, type Quantize } from './checkpoint/quantize-folder.ts';
import { damaged, unsupported } from './checkpoint/refusal.ts';
import { haveSameBytes, READ, type StoredTensor } from './checkpoint/safetensors.ts';
import {
  placeWeights,
  valuesOf,
  type WeightSource,
  type WeightsForm,
} from './checkpoint/weights-cache.ts';
import { type ModelConfig, parseConfig, QUANTIZED } from './config.ts';
import { sizeOf } from './delta.ts';
import { ollamaName } from './local/local-model.ts';
import { describeWeights, type WeightDescription } from './weight-names.ts';

export interface Weight {
  /** Ours: `layers.0.qProj`. */
  readonly name: string;
  readonly shape: readonly number[];
  /** Where its f32 values or its blocks lie; all weights of a model lie in one folder. */
  readonly source: WeightSource;
  /** As the checkpoint has it. */
  readonly stored: StoredTensor;
}

export interface Model {
  /** `owner/name`, `ollama:name:tag`, or the name of the folder or file. */
  readonly id: string;
  /** Real path of the folder, or where the GGUF file or a link to it is. */
  readonly dir: string;
  readonly config: ModelConfig;
  /** 64 hex digits: names, types, shapes and bytes of the weights, however they are sharded. */
  readonly baseHash: string;
  /** Tokens that prompt and reply may have together. */
  readonly windowTokens: number;
  readonly parameters: number;
  /** Some matrices are kept as they were quantised: for serving, without a gradient. */
  readonly isQuantised: boolean;
  /** By our names, in the order of use. */
  readonly weights: ReadonlyMap<string, Weight>;
  /** Tensors of the checkpoint that such a model does not have; they are ignored. */
  readonly unusedTensors: readonly string[];
  /** What a person should know of how the model is used here, a sentence each. */
  readonly notices: readonly string[];
}

export interface ReadModelOptions {
  /** Where hashes and widened or packed weights are kept; made when missing. */
  readonly cacheDir: string;
  /** In which form weights are placed; `f32` by default. */
  readonly form?: WeightsForm;
  /** Bits that the matrices of a folder are quantised to; `auto` (the default): as was decided. */
  readonly quantize?: Quantize | undefined;
  /** Prompt and reply together; 0 (the default) = what the model was made for, within reason. */
  readonly windowTokens?: number;
  /** Weights of the cache are read whole, not only when their file was touched. */
  readonly readsCache?: boolean;
}

/**
 * The window where none is asked for. Some models are made for a million tokens; their caches would
 * not fit, and the rotary tables alone would have hundreds of megabytes.
 */
const WINDOW_TOKENS_DEFAULT_MAX = 32_768;

const CONFIG_BYTES_MAX = 4 * 2 ** 20;

/**
 * Reads a Hugging Face folder or a GGUF file. Every weight is proved to be there in its shape;
 * values are not looked at, but hashed where no record of the hash is at hand.
 * @throws model-not-found, model-unsupported, model-damaged, disk-full, store-failed,
 *   config-invalid (quantised otherwise before)
 */
export async function readModel(dir: string, options: ReadModelOptions): Promise<Model> {
  const {
    cacheDir,
    form = 'f32',
    quantize = 'auto',
    windowTokens = 0,
    readsCache = false,
  } = options;
  const { path, config, stored: found, unusedTensors } = await readModelHead(dir);
  const stored = await asDecided(found, { cacheDir, quantize });
  const window = windowOf(config, windowTokens);
  const placed = await placeWeights([...stored.values()], cacheDir, { form, readsAll: readsCache });
  const weights = [...stored].map(([name, tensor]): [string, Weight] => {
    const source = placed.sources.get(tensor.name) as WeightSource;
    return [name, { name, shape: tensor.shape, source, stored: tensor }];
  });
  return {
    id: (await ollamaName(path)) ?? modelId(path),
    dir: path,
    config,
    baseHash: placed.baseHash,
    windowTokens: window.tokens,
    notices: window.notices,
    parameters: weights.reduce((total, [, { shape }]) => total + sizeOf(shape), 0),
    isQuantised: weights.some(([, { source }]) => source.from === 'blocks'),
    weights: new Map(weights),
    unusedTensors,
  };
}

export interface ModelHead {
  /** Real path of the folder, or where the GGUF file or a link to it is. */
  readonly path: string;
  readonly config: ModelConfig;
  /** Where each weight is stored, by our names in the order of use. */
  readonly stored: ReadonlyMap<string, StoredTensor>;
  readonly unusedTensors: readonly string[];
  readonly hasChatTemplate: boolean;
}

/**
 * What can be said of a model without reading a weight. Every weight is proved to be there.
 * @throws model-not-found, model-unsupported, model-damaged
 */
export async function readModelHead(path: string): Promise<ModelHead> {
  const real = await realPath(path);
  const isFolder = (await stat(real)).isDirectory();
  // Parts of a split file are found beside its name: Hugging Face's cache has links of that name.
  const place = isFolder ? real : resolve(path);
  const source = await withOwnHead(await (isFolder ? readFolder(real) : readGgufCheckpoint(place)));
  const { config, tensors, hasChatTemplate } = source;
  const stored = new Map(
    describeWeights(config).map((weight) => [weight.name, find(weight, tensors, place)]),
  );
  const used = new Set([...stored.values()].map(({ name }) => name));
  const unusedTensors = [...tensors.keys()].filter((name) => !used.has(name));
  return { path: place, config, stored, unusedTensors, hasChatTemplate };
}

interface Source {
  readonly config: ModelConfig;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly hasChatTemplate: boolean;
}

async function readFolder(dir: string): Promise<Source> {
  const where = join(dir, 'config.json');
  const json = await readJson(where, CONFIG_BYTES_MAX);
  if (json === undefined) throw notFound(`${dir} has no config.json; ${await hintOf(dir)}`, dir);
  const config = parseConfig(json, where);
  const tensors = await readCheckpoint(dir);
  return { config, tensors, hasChatTemplate: (await readTemplates(dir)).size > 0 };
}

/**
 * A head of its own is used where it differs from the embedding, whatever config.json says.
 * Source: transformers 5.18, modeling_utils.py, tie_weights.
 */
async function withOwnHead(source: Source): Promise<Source> {
  const { config, tensors } = source;
  const embedding = tensors.get('model.embed_tokens.weight');
  const head = tensors.get('lm_head.weight');
  if (!config.tieWordEmbeddings || embedding === undefined || head === undefined) {
    return source;
  }
  const isTied = await haveSameBytes(embedding, head);
  return { ...source, config: { ...config, tieWordEmbeddings: isTied } };
}

/** The f32 values of a weight, piece by piece. */
export function piecesOf({
  name,
  shape,
  source,
  stored,
}: Weight): AsyncGenerator<Float32Array<ArrayBuffer>> {
  return valuesOf(source.from === 'file' ? { name, shape, dtype: 'F32', ...source } : stored);
}

/** One weight as f32; the caller owns it. */
export async function readWeight(weight: Weight): Promise<Float32Array> {
  const values = new Float32Array(sizeOf(weight.shape));
  let filled = 0;
  for await (const piece of piecesOf(weight)) {
    values.set(piece, filled);
    filled += piece.length;
  }
  return values;
}

function find(
  { checkpointName, shape }: WeightDescription,
  tensors: ReadonlyMap<string, StoredTensor>,
  dir: string,
): StoredTensor {
  const stored = tensors.get(checkpointName);
  if (stored === undefined) {
    // GPTQ and AWQ pack a matrix under this name; an older one has no word of it in config.json.
    if (tensors.has(checkpointName.replace(/weight$/, 'qweight')))
      throw unsupported(dir, QUANTIZED);
    throw damaged(dir, checkpointName, 'the checkpoint does not have it');
  }
  if (stored.shape.join() !== shape.join()) {
    const [found, asked] = [stored.shape.join(', '), shape.join(', ')];
    const reason = `its shape is (${found}); config.json asks for (${asked})`;
    throw damaged(stored.path, checkpointName, reason);
  }
  if (READABLE_TYPES.includes(stored.dtype)) return stored;
  throw unsupported(stored.path, `${checkpointName} is stored as ${stored.dtype}; ${READ}`);
}

/** A sliding window changes nothing until more tokens than it holds are there. */
function windowOf(
  { maxPositionEmbeddings, slidingWindow }: ModelConfig,
  asked: number,
): { tokens: number; notices: string[] } {
  const window = Math.min(asked || WINDOW_TOKENS_DEFAULT_MAX, maxPositionEmbeddings);
  if (slidingWindow === null || slidingWindow >= window) return { tokens: window, notices: [] };
  const notice =
    `This model's attention slides over ${slidingWindow} tokens. Sliding is not implemented: the ` +
    `window is ${slidingWindow} tokens, whatever more engine.windowTokens asks for.`;
  return { tokens: slidingWindow, notices: [notice] };
}
