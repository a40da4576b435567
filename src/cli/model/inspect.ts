// `attune inspect`: describes a model folder; with --check, reads and verifies every weight.
import type { Command } from 'commander';
import type { ModelCheck } from '../../model/check.ts';
import type { Model } from '../../model/model.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { bytesText } from '../hub/progress-bar.ts';
import { addModelOptions, findModel, type ModelOptions } from './model-options.ts';

interface InspectOptions extends ModelOptions {
  readonly check?: boolean;
  readonly json?: boolean;
}

export function registerInspect(program: Command): void {
  addModelOptions(program.command('inspect'))
    .description('describe a model folder without running the model')
    .option('--check', 'verify every weight against its recorded hash')
    .option('--json', 'print JSON')
    .action(async (options: InspectOptions) => {
      process.stdout.write(await inspect(options));
    });
}

/** @throws model-not-found, model-unsupported, model-damaged */
async function inspect(options: InspectOptions): Promise<string> {
  const { modelDir, cacheDir, config } = await findModel(options);
  const [{ readModel }, { checkModel }, { loadTokenizer }] = await Promise.all([
    import('../../model/model.ts'),
    import('../../model/check.ts'),
    import('../../tokenizer/tokenizer.ts'),
  ]);
  const model = await readModel(modelDir, { cacheDir, windowTokens: config.engine.windowTokens });
  const tokenizer = await loadTokenizer(modelDir).catch((error: Error) => error);
  const check = options.check === true ? await checkModel(model) : undefined;
  const facts = factsOf(model, tokenizer, check);
  if (options.json === true) return `${JSON.stringify(facts, null, 2)}\n`;
  const width = Math.max(...Object.keys(facts).map((name) => name.length));
  return Object.entries(facts)
    .map(([name, value]) => `${name.padEnd(width)}  ${value}\n`)
    .join('');
}

function factsOf(
  model: Model,
  tokenizer: Tokenizer | Error,
  check: ModelCheck | undefined,
): Readonly<Record<string, string | number | boolean>> {
  const { config } = model;
  const { numHiddenLayers, numKeyValueHeads, headDim, rope } = config;
  const cacheBytes = 2 * 4 * numHiddenLayers * numKeyValueHeads * headDim;
  const stored = new Set([...model.weights.values()].map((weight) => weight.stored.dtype));
  return {
    model: model.id,
    folder: model.dir,
    family: config.family,
    parameters: model.parameters,
    layers: numHiddenLayers,
    hiddenSize: config.hiddenSize,
    heads: `${config.numAttentionHeads}, key-value ${numKeyValueHeads}, each ${headDim}`,
    vocabulary: config.vocabSize,
    windowTokens: model.windowTokens,
    rope: `theta ${rope.ropeTheta}, scaling ${rope.scaling.type}`,
    tiedEmbeddings: config.tieWordEmbeddings,
    storedAs: [...stored].join(', '),
    cachePerToken: bytesText(cacheBytes),
    baseHash: model.baseHash,
    unusedTensors: model.unusedTensors.join(', ') || 'none',
    ...tokenizerFacts(tokenizer),
    notices: noticesOf(model, tokenizer).join(' ') || 'none',
    ...(check === undefined
      ? {}
      : {
          checked: [
            `${check.tensors} tensors, ${bytesText(check.bytes)}:`,
            'all match their recorded hash, all values are finite',
          ].join(' '),
          widenedCopy: check.isWidened,
        }),
  };
}

function noticesOf(model: Model, tokenizer: Tokenizer | Error): readonly string[] {
  return tokenizer instanceof Error ? model.notices : [...model.notices, ...tokenizer.notices];
}

function tokenizerFacts(tokenizer: Tokenizer | Error): Record<string, string> {
  if (tokenizer instanceof Error) return { tokenizer: `not usable: ${tokenizer.message}` };
  const stops = tokenizer.stopIds.map((id) => `${id} ${tokenizer.tokenText(id)}`).join(', ');
  return {
    tokenizer: `${tokenizer.vocabularySize} tokens`,
    chatTemplate: tokenizer.hasChatTemplate ? 'yes' : 'none',
    stopTokens: stops || 'none',
  };
}
