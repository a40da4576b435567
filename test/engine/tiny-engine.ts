// A real engine on a tiny Llama with random weights, for tests of the engine.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type {
  DecodedToken,
  Engine,
  GenerateRequest,
  GenerateResult,
} from '../../src/engine/engine.ts';
import { createEngine, type EngineOptions } from '../../src/engine/in-process-engine.ts';
import { type Model, readModel } from '../../src/model/model.ts';
import { GREEDY } from '../../src/protocol/sampling.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import { type RandomModelShape, writeRandomModel } from '../model/random-model.ts';

export const TINY: RandomModelShape = {
  hiddenSize: 64,
  intermediateSize: 160,
  layers: 3,
  heads: 4,
  kvHeads: 2,
  vocabularySize: 97,
  windowTokens: 256,
};

const folders: string[] = [];
const engines: Engine[] = [];
afterAll(async () => {
  for (const engine of engines) await engine.close();
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'attune-engine-'));
  folders.push(folder);
  return folder;
}

/** A model folder; the same shape and seed give the same weights. */
export async function tinyModel(shape: Partial<RandomModelShape> = {}, seed = 1): Promise<string> {
  return writeRandomModel(join(await temporaryFolder(), 'tiny'), { ...TINY, ...shape }, seed);
}

export async function openModel(modelDir: string): Promise<Model> {
  return readModel(modelDir, { cacheDir: await temporaryFolder() });
}

export async function openEngine(
  modelDir: string,
  options: Partial<EngineOptions> = {},
): Promise<Engine> {
  const executor = await createOnnxExecutor({ device: 'cpu', threads: 2 });
  const cacheDir = await temporaryFolder();
  const engine = await createEngine({ modelDir, cacheDir, executor, ...options });
  engines.push(engine);
  return engine;
}

export function request(
  ids: readonly number[],
  more: Partial<GenerateRequest> = {},
): GenerateRequest {
  return { ids, replyTokensMax: 12, sampling: { ...GREEDY, seed: 1 }, stopIds: [], ...more };
}

export interface Replied extends GenerateResult {
  readonly tokens: readonly DecodedToken[];
}

export async function generate(
  engine: Engine,
  asked: GenerateRequest,
  signal?: AbortSignal,
): Promise<Replied> {
  const tokens: DecodedToken[] = [];
  const result = await engine.generate(asked, (token) => tokens.push(token), signal);
  return { ...result, tokens };
}

/** Ids that look like nothing in particular; the same arguments give the same ones. */
export function someIds(count: number, salt = 1): number[] {
  return Array.from({ length: count }, (_, i) => (i * i * 7 + i * salt * 13 + salt * 29) % 97);
}
