// The deltas of a version as a file that a server loads, written once beside the cache.
import { join } from 'node:path';
import { systemFileOps } from '../base/file-ops.ts';
import { adapterOf } from '../model/adapter/adapter.ts';
import { writeGgufLora } from '../model/adapter/gguf-lora.ts';
import { exportMergedGguf } from '../model/adapter/merged-gguf.ts';
import { writePeft } from '../model/adapter/peft.ts';
import { readModel } from '../model/model.ts';
import { loadVersion } from '../model/versions.ts';

export type AdapterForm = 'peft' | 'gguf-lora' | 'merged-gguf';

export interface AdapterFile {
  /** Absolute; of `peft` a folder. */
  readonly path: string;
  /** 0 where the weights are merged. */
  readonly rank: number;
}

export interface ModelPlace {
  readonly modelDir: string;
  readonly cacheDir: string;
}

/**
 * @param deltas of one version, in order
 * @param name of the file, without its ending
 * @throws model-unsupported, delta-damaged, version-mismatch, disk-full
 */
export async function writeAdapter(
  form: AdapterForm,
  { deltas, name }: { readonly deltas: readonly string[]; readonly name: string },
  place: ModelPlace,
): Promise<AdapterFile> {
  const folder = join(place.cacheDir, 'adapters');
  await systemFileOps.makeFolder(folder);
  const path = join(folder, form === 'peft' ? name : `${name}.${form}.gguf`);
  const model = await readModel(place.modelDir, place);
  if (form === 'merged-gguf') {
    const version = await loadVersion(model, deltas);
    await exportMergedGguf(model, version, { to: path, type: 'F16' });
    return { path, rank: 0 };
  }
  const adapter = await adapterOf(model, deltas);
  if (form === 'peft') await writePeft(path, adapter, model.dir);
  else await writeGgufLora(path, adapter, model);
  return { path, rank: adapter.rank };
}
