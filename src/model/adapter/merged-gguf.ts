// A GGUF model in which a version's W_q have taken the place of the base's; all else byte for byte.
import { basename, dirname, join } from 'node:path';
import { systemFileOps } from '../../base/file-ops.ts';
import { partName, partOf } from '../../gguf/file-name.ts';
import { copyGguf, type Exchange } from '../../gguf/gguf-writer.ts';
import { readParts } from '../checkpoint/gguf-checkpoint.ts';
import { unsupported } from '../checkpoint/refusal.ts';
import { halvesPaired } from '../checkpoint/weights-cache.ts';
import type { Model } from '../model.ts';
import type { WeightsVersion } from '../versions.ts';

/**
 * Writes `to`; of a model in several files as many, with the names of the base's beside `to`.
 * @throws model-unsupported (the base is a folder), disk-full, store-failed
 */
export async function exportMergedGguf(
  model: Model,
  version: WeightsVersion,
  { to, type }: { readonly to: string; readonly type: Exchange['type'] },
): Promise<void> {
  if ((await systemFileOps.stat(model.dir))?.isFile !== true) {
    const reason =
      "it is a folder; export --as merged, and convert that with llama.cpp's convert_hf_to_gguf.py";
    throw unsupported(model.dir, reason);
  }
  const values = new Map<string, Float32Array>();
  for (const [name, { shape, data }] of Object.entries(version.weights)) {
    const { pairedHeads: heads } = model.weights.get(name)?.stored ?? {};
    const rows = shape[0] as number;
    const stored = data as Float32Array;
    const ordered =
      heads === undefined ? stored : halvesPaired(stored, { rows, heads, isBack: true });
    values.set(`blk.${/\d+/.exec(name)?.[0]}.attn_q.weight`, ordered);
  }
  const files = await readParts(model.dir);
  const split = partOf(basename(model.dir));
  await systemFileOps.makeFolder(dirname(to));
  for (const [i, file] of files.entries()) {
    const own = split === undefined ? basename(to) : partName(split.stem, i + 1, split.count);
    await copyGguf(file, join(dirname(to), own), { values, type });
  }
}
