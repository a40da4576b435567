// `attune export --as FORM`: the deltas of nights as an adapter, or a model with them merged.
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { AttuneError } from '../../base/errors.ts';
import { percent } from '../../protocol/number-text.ts';
import { findModel, type ModelOptions, type ModelPlaces, wholeBetween } from './model-options.ts';

const FORMS = {
  peft: "a folder for PEFT, vLLM and Ollama's ADAPTER",
  'gguf-lora': "a file for llama.cpp's --lora",
  merged: 'a model folder in Hugging Face format',
  'merged-gguf': 'the base GGUF file with other W_q',
};

export interface ExportDeltaOptions extends ModelOptions {
  readonly night?: readonly string[];
  readonly delta?: readonly string[];
  readonly as?: string;
  readonly to?: string;
  readonly rank?: number;
  readonly type?: string;
}

/** The options of this kind of export. */
export function addDeltaOptions(command: Command): Command {
  const forms = Object.entries(FORMS).map(([form, what]) => `${form} (${what})`);
  return command
    .option('--night <nights...>', 'export these nights of the store instead, in order')
    .option('--delta <files...>', 'export deltas of files, in order')
    .option('--as <form>', `of nights or deltas: ${forms.join(', ')}`)
    .option('--rank <number>', 'cut the adapter to this rank', wholeBetween(1, 2 ** 16))
    .option('--type <type>', 'how merged-gguf stores W_q: f32 or f16', 'f32')
    .option('--model <model>', 'the base (default: model.path of the configuration)');
}

/** @throws config-invalid, night-unknown, delta-damaged, version-mismatch, model-unsupported */
export async function exportDelta(options: ExportDeltaOptions): Promise<void> {
  const { night, delta, as: form, to, rank, type } = options;
  const refuse = (message: string) => new AttuneError('config-invalid', message);
  if ((night === undefined) === (delta === undefined)) {
    throw refuse('Give either --night NIGHT… or --delta FILE….');
  }
  if (form === undefined || !(form in FORMS)) {
    throw refuse(`--as is one of ${Object.keys(FORMS).join(', ')}.`);
  }
  if (to === undefined) throw refuse('--to is missing: the file or folder to write.');
  if (type !== 'f32' && type !== 'f16') throw refuse(`--type is f32 or f16, not "${type}".`);
  const places = await findModel(options);
  const { readModel } = await import('../../model/model.ts');
  const model = await readModel(places.modelDir, places);
  const paths = delta ?? (await deltasOf(night ?? [], model.baseHash, places));
  if (form === 'peft' || form === 'gguf-lora') {
    const { adapterOf } = await import('../../model/adapter/adapter.ts');
    const adapter = await adapterOf(model, paths, rank);
    if (form === 'peft') {
      const { writePeft } = await import('../../model/adapter/peft.ts');
      await writePeft(to, adapter, model.dir);
    } else {
      const { writeGgufLora } = await import('../../model/adapter/gguf-lora.ts');
      await writeGgufLora(to, adapter, model);
    }
    const kept = `${percent(adapter.energyShare, 1)} of the deltas' energy in every layer`;
    const cut = adapter.energyShare === 1 ? 'nothing was cut' : `it keeps at least ${kept}`;
    process.stdout.write(`${to}: rank ${adapter.rank}, ${cut}\n`);
    return;
  }
  const { loadVersion } = await import('../../model/versions.ts');
  const version = await loadVersion(model, paths);
  if (form === 'merged')
    await (await import('../../model/export.ts')).exportModel(model, version, to);
  else {
    const { exportMergedGguf } = await import('../../model/adapter/merged-gguf.ts');
    await exportMergedGguf(model, version, { to, type: type === 'f16' ? 'F16' : 'F32' });
  }
  const { proveMove } = await import('../../train/proof.ts');
  const proof = await proveMove(model, await readModel(to, places));
  const others = proof.moved.filter((name) => !name.endsWith('.qProj')).join(', ');
  if (!proof.isOnlyQueryMoved) {
    const message = `${to}: ${others} differ from the base; do not use it`;
    throw new AttuneError('delta-damaged', message, { others });
  }
  process.stdout.write(
    `${to}: ${proof.moved.length} query projections changed, ` +
      `${proof.equal.length} other tensors are bit-equal\n`,
  );
}

/** Of nights by id or number, as the ledger of this base has sealed them. */
async function deltasOf(
  nights: readonly string[],
  base: string,
  { config }: ModelPlaces,
): Promise<string[]> {
  const [{ readLedgers }, { NIGHT_FILES }, { loadableVersion }] = await Promise.all([
    import('../../ledger/ledgers.ts'),
    import('../../record/files.ts'),
    import('../../swap/swap.ts'),
  ]);
  const folder = join(resolve(config.store.path), 'ledger');
  const ledger = (await readLedgers(folder, { files: NIGHT_FILES })).find(
    (one) => one.base === base,
  );
  const known = (await ledger?.list()) ?? [];
  const ids = nights.map((wanted) => {
    const found = known.find(({ night, number }) => night === wanted || String(number) === wanted);
    if (found !== undefined) return found.night;
    const message = `There is no night "${wanted}" of this model in ${folder}.`;
    throw new AttuneError('night-unknown', message, { night: wanted });
  });
  return ledger === undefined ? [] : (await loadableVersion(ledger, ids)).deltas;
}
