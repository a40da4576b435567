// `attune export --delta FILE… --merged DIR`: a model folder with the deltas merged, and checked.
import type { Command } from 'commander';
import { AttuneError } from '../../base/errors.ts';
import { findModel, type ModelOptions } from './model-options.ts';

export interface ExportDeltaOptions extends ModelOptions {
  readonly delta?: readonly string[];
  readonly merged?: string;
}

/** The options of this kind of export. */
export function addDeltaOptions(command: Command): Command {
  return command
    .option('--delta <file...>', 'export a model instead: merge these deltas into it, in order')
    .option('--merged <dir>', 'folder for the merged model, in Hugging Face format (needs --delta)')
    .option('--model <dir>', 'model folder (default: model.path of the configuration)');
}

/** Writes the folder, reads it back and compares every tensor. @throws delta-damaged */
export async function exportDelta(options: ExportDeltaOptions): Promise<void> {
  if (options.delta === undefined || options.merged === undefined) {
    const message = '--delta and --merged must be given together';
    throw new AttuneError('config-invalid', message);
  }
  const { modelDir, cacheDir } = await findModel(options);
  const [{ readModel }, { loadVersion }, { exportModel }, { proveMove }] = await Promise.all([
    import('../../model/model.ts'),
    import('../../model/versions.ts'),
    import('../../model/export.ts'),
    import('../../train/proof.ts'),
  ]);
  const model = await readModel(modelDir, { cacheDir });
  const version = await loadVersion(model, options.delta);
  await exportModel(model, version, options.merged);
  const written = await readModel(options.merged, { cacheDir });
  const proof = await proveMove(model, written);
  if (!proof.isOnlyQueryMoved) {
    const others = proof.moved.filter((name) => !name.endsWith('.qProj')).join(', ');
    const message = `${options.merged}: ${others} differ from the base; do not use this folder`;
    throw new AttuneError('delta-damaged', message, { others });
  }
  process.stdout.write(
    `${options.merged}: ${proof.moved.length} query projections changed, ` +
      `${proof.equal.length} other tensors are bit-equal\n`,
  );
}
