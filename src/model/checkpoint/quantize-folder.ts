// Quantises the matrices of a folder that has none, once for each store, and remembers the choice.
import { join } from 'node:path';
import { z } from 'zod';
import { readJsonBounded, writeJsonAtomic } from '../../base/atomic-file.ts';
import { AttuneError } from '../../base/errors.ts';
import { systemFileOps } from '../../base/file-ops.ts';
import { sha256Json } from '../../base/hash.ts';
import { typeNamed } from '../../gguf/block-type.ts';
import { packedFormOf } from '../../gguf/packed.ts';
import { type QuantisedType, quantizeBlocks } from '../../gguf/quantize.ts';
import { readSafetensors, readTensor, type StoredTensor } from './safetensors.ts';
import { writeSafetensors } from './safetensors-writer.ts';
import { knownHash } from './weights-cache.ts';

/** Bits of a matrix; `auto`: as was decided in this store, and else none. */
export type Quantize = 4 | 8 | 'none' | 'auto';

const choiceSchema = z.strictObject({
  schemaVersion: z.literal(1),
  quantize: z.literal([4, 8, 'none']),
});

/** By our names, in the order of use. */
type Stored = ReadonlyMap<string, StoredTensor>;

const GROUP = 32;

/**
 * The tensors that run. A choice is written down beside the weights at the first start that makes
 * it, since nights belong to what ran: another one is refused. At 4 bits the embedding and the head
 * have 8. A checkpoint that is quantised already is left as it is.
 * @throws config-invalid (another choice than before), model-damaged, disk-full, store-failed
 */
export async function asDecided(
  stored: Stored,
  { cacheDir, quantize }: { readonly cacheDir: string; readonly quantize: Quantize },
): Promise<Stored> {
  if ([...stored.values()].some(({ dtype }) => packedFormOf(typeNamed(dtype)))) return stored;
  await systemFileOps.makeFolder(cacheDir);
  const folder = { path: await systemFileOps.realPath(cacheDir), ops: systemFileOps };
  const source = await knownHash([...stored.values()], folder);
  const record = join(folder.path, `quantize-${source}.json`);
  const known = await readJsonBounded(record, choiceSchema);
  const choice = quantize === 'auto' ? (known?.quantize ?? 'none') : quantize;
  if (known !== undefined && choice !== known.quantize) {
    const message =
      `model.quantize is ${choice}, and this store began with ${known.quantize} for this model; its ` +
      `nights belong to that. Set it back, or delete ${record}: the model is then another base.`;
    throw new AttuneError('config-invalid', message, { quantize: choice, decided: known.quantize });
  }
  if (known === undefined && quantize !== 'auto') {
    await writeJsonAtomic(record, { schemaVersion: 1, quantize });
  }
  if (choice === 'none') return stored;
  return quantised(stored, choice, join(folder.path, `quantized-${choice}-${source}.safetensors`));
}

async function quantised(stored: Stored, bits: 4 | 8, path: string): Promise<Stored> {
  const planned = [...stored].flatMap(([name, tensor]) => {
    const [out = 0, inner = 0] = tensor.shape;
    if (tensor.shape.length !== 2 || inner % GROUP !== 0) return [];
    const isOuter = name === 'embedTokens' || name === 'lmHead';
    const type: QuantisedType = bits === 8 || isOuter ? 'Q8_0' : 'Q4_0';
    const rowBytes = (inner / GROUP) * (typeNamed(type)?.blockBytes ?? 0);
    return [{ name, tensor, type, shape: [out, rowBytes] }];
  });
  const identity = sha256Json(planned.map(({ name, type, shape }) => [name, type, shape]));
  // A file that was cut, or of another plan, is made again.
  const before = await readSafetensors(path).catch(() => undefined);
  if (before?.metadata.identity !== identity) {
    const written = planned.map(({ name, tensor, type, shape }) => ({
      ...{ name, dtype: 'U8' as const, shape },
      pieces: piecesOf(tensor, type),
    }));
    await writeSafetensors(path, written, { metadata: { identity } });
  }
  const { tensors: made } = await readSafetensors(path);
  const tensors = new Map(stored);
  for (const { name, tensor, type } of planned) {
    const { path: real, offset, length } = made.get(name) as StoredTensor;
    tensors.set(name, { ...tensor, path: real, offset, length, dtype: type });
  }
  return tensors;
}

async function* piecesOf(tensor: StoredTensor, type: QuantisedType): AsyncGenerator<Uint8Array> {
  yield quantizeBlocks(type, Float32Array.from(await readTensor(tensor)));
}
