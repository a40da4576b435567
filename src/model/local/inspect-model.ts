// What a model is and whether it can run here, from its head alone: no weight is read or hashed.
import { typeNamed } from '../../gguf/block-type.ts';
import { bytesPerElement, packedFormOf } from '../../gguf/packed.ts';
import type { ModelConfig } from '../config.ts';
import { readModelHead } from '../model.ts';

export interface ModelDescription {
  readonly config: ModelConfig;
  readonly parameters: number;
  /** The element type of most of its bytes: `Q4_K`, `BF16`. */
  readonly quantization: string;
  readonly storedBytes: number;
  /** Resident while it speaks on a CPU: its weights in the form that serves. Caches come on top. */
  readonly memoryBytes: number;
  /** A model without one continues text and cannot chat. */
  readonly hasChatTemplate: boolean;
}

/** @throws model-not-found, model-unsupported, model-damaged: why it cannot run */
export async function inspectModel(path: string): Promise<ModelDescription> {
  const { config, stored, hasChatTemplate } = await readModelHead(path);
  const bytesOf = new Map<string, number>();
  let storedBytes = 0;
  let parameters = 0;
  let memoryBytes = 0;
  for (const { dtype, length, shape } of stored.values()) {
    bytesOf.set(dtype, (bytesOf.get(dtype) ?? 0) + length);
    storedBytes += length;
    const elements = shape.reduce((product, size) => product * size, 1);
    parameters += elements;
    const packed = shape.length === 2 ? packedFormOf(typeNamed(dtype)) : undefined;
    memoryBytes += elements * (packed === undefined ? 4 : bytesPerElement(packed));
  }
  const [most] = [...bytesOf].sort(([, a], [, b]) => b - a);
  return {
    config,
    parameters,
    quantization: most?.[0] ?? 'F32',
    storedBytes,
    memoryBytes,
    hasChatTemplate,
  };
}
