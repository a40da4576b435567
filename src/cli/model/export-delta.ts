// `attune export --delta FILE… --merged DIR`: a model folder with the deltas merged, and the proof.
import type { Command } from 'commander';
import { AttuneError } from '../../base/errors.ts';
import { findModel, type ModelOptions } from './model-options.ts';

export interface ExportDeltaOptions extends ModelOptions {
  readonly delta?: readonly string[];
  readonly merged?: string;
}

/** The options that this kind of export adds to the command. */
export function addDeltaOptions(command: Command): Command {
  return command
    .option('--delta <file...>', 'instead of talks: merge these deltas into the model, in order …')
    .option('--merged <dir>', '… and write a Hugging Face folder here')
    .option('--model <dir>', 'model folder (default: model.path of the configuration)');
}

/** Writes the folder, reads it back and compares every tensor. @throws delta-damaged */
export async function exportDelta(options: ExportDeltaOptions): Promise<void> {
  if (options.delta === undefined || options.merged === undefined) {
    const message = 'a merged export needs both --delta and --merged';
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
    `${options.merged}: ${proof.moved.length} query projections moved, ` +
      `${proof.equal.length} other tensors bit-equal\n`,
  );
}
