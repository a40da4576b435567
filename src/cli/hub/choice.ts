// Which files of a repository make up the model that was asked for.
import { basename } from 'node:path';
import { AttuneError } from '../../base/errors.ts';
import { isModelName, partOf, quantizationIn } from '../../gguf/file-name.ts';
import type { HubFile } from './hugging-face.ts';
import { bytesText } from './progress-bar.ts';
import type { Source } from './source.ts';

export interface Choice {
  /** The smallest first. */
  readonly files: readonly HubFile[];
  /** What the chosen files are called in `--model`. */
  readonly name: string;
  /** The GGUF file, or its first part; undefined for a model folder. */
  readonly gguf: string | undefined;
  /** What else there is; undefined where nothing was chosen for the person. */
  readonly notice: string | undefined;
}

/** The files of a model folder; other formats of the same weights are left out. */
const WANTED = [
  /^config\.json$/,
  /^generation_config\.json$/,
  /^model(-\d{5}-of-\d{5})?\.safetensors$/,
  /^model\.safetensors\.index\.json$/,
  /^(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json$/,
  /^chat_template\.jinja$/,
  /^additional_chat_templates\/[\w.-]+\.jinja$/,
  /^merges\.txt$/,
  /^LICENSE/i,
];
const ESSENTIAL = ['config.json', 'tokenizer.json'];

/**
 * What is taken where no quantisation was asked for: the smallest that loses next to nothing first,
 * then what is nearest to it. All of them are read here.
 */
const PREFERRED = 'Q4_K_M Q4_K_S Q5_K_M Q5_K_S Q6_K Q8_0 Q5_0 Q5_1 Q4_1 Q4_0 BF16 F16 F32'.split(
  ' ',
);

/** @throws model-unsupported, saying what there is */
export function chooseFiles(all: readonly HubFile[], source: Source): Choice {
  const models = all.filter(({ path }) => isModelName(path));
  const isFolder = source.file === undefined && source.quantization === undefined;
  if (isFolder && (models.length === 0 || isModelFolder(all))) return folderOf(all, source);
  const chosen =
    source.file === undefined ? byQuantization(models, source) : byName(models, source);
  return { ...ggufOf(chosen, all, source), notice: isFolder ? noticeOf(models, all) : undefined };
}

const isModelFolder = (all: readonly HubFile[]): boolean =>
  all.some(({ path }) => path === 'config.json') &&
  all.some(({ path }) => /^model.*\.safetensors$/.test(path));

/** Weights last: what is wrong with a model shows before they are fetched. */
function folderOf(all: readonly HubFile[], { repository }: Source): Choice {
  const files = all.filter(({ path }) => WANTED.some((pattern) => pattern.test(path)));
  const names = new Set(files.map(({ path }) => path));
  const missing = ESSENTIAL.filter((name) => !names.has(name));
  if (!files.some(({ path }) => path.endsWith('.safetensors'))) missing.push('*.safetensors');
  if (missing.length > 0) {
    const message =
      `${repository} has no ${missing.join(' and no ')}, and no GGUF file; ` +
      'Attune reads folders with safetensors weights, and GGUF files.';
    throw new AttuneError('model-unsupported', message, { repository, missing: missing.join() });
  }
  const ordered = files.toSorted((a, b) => a.size - b.size);
  return { files: ordered, name: repository, gguf: undefined, notice: undefined };
}

function byName(models: readonly HubFile[], { repository, file = '' }: Source): HubFile {
  const first = partOf(file);
  const found = models.find(
    ({ path }) => path === file || (first !== undefined && partOf(path)?.stem === first.stem),
  );
  if (found !== undefined) return found;
  const message = `${repository} has no model ${file}; it has ${listOf(models)}.`;
  throw new AttuneError('model-unsupported', message, { repository, file });
}

function byQuantization(models: readonly HubFile[], source: Source): HubFile {
  const { repository, quantization } = source;
  const wanted = quantization === undefined ? PREFERRED : [quantization.toUpperCase()];
  const found = wanted
    .map((name) => models.find(({ path }) => quantizationIn(path) === name))
    .find((file) => file !== undefined);
  if (found !== undefined) return found;
  const [only, ...others] = models;
  if (only !== undefined && others.length === 0 && quantization === undefined) return only;
  const what = quantization ?? `quantisation that is read (${PREFERRED.join(', ')})`;
  const message = `${repository} has no ${what}; it has ${listOf(models)}.`;
  throw new AttuneError('model-unsupported', message, {
    repository,
    quantization: quantization ?? '',
  });
}

/** A GGUF file with its further parts, all of which must be there. */
function ggufOf(chosen: HubFile, all: readonly HubFile[], { repository }: Source) {
  const files = partsOf(chosen, all);
  const { count = 1 } = partOf(chosen.path) ?? {};
  if (files.length !== count) {
    const message = `${repository} lists ${files.length} of the ${count} parts of ${chosen.path}.`;
    throw new AttuneError('model-unsupported', message, { repository, file: chosen.path });
  }
  const quantization = quantizationIn(chosen.path);
  const same = all.filter(
    ({ path }) => isModelName(path) && quantizationIn(path) === quantization,
  ).length;
  const isClear = quantization !== undefined && same === 1;
  const name = `${repository}${isClear ? `:${quantization}` : `/${chosen.path}`}`;
  return { files, name, gguf: chosen.path };
}

function partsOf({ path }: HubFile, all: readonly HubFile[]): HubFile[] {
  const { stem, count } = partOf(path) ?? {};
  return all.filter((file) => {
    const own = partOf(file.path);
    return file.path === path || (own !== undefined && own.stem === stem && own.count === count);
  });
}

function noticeOf(models: readonly HubFile[], all: readonly HubFile[]): string | undefined {
  if (models.length === 1) return undefined;
  const sizes = models.map((model) => {
    const bytes = partsOf(model, all).reduce((sum, { size }) => sum + size, 0);
    return `${quantizationIn(model.path) ?? basename(model.path)} (${bytesText(bytes)})`;
  });
  return `There are ${sizes.join(', ')}; ask for another one with :QUANT.`;
}

const LISTED_MAX = 12;

function listOf(models: readonly HubFile[]): string {
  const names = models.map(({ path }) => quantizationIn(path) ?? path);
  const more = names.length > LISTED_MAX ? ` and ${names.length - LISTED_MAX} more` : '';
  return (names.slice(0, LISTED_MAX).join(', ') || 'no GGUF file') + more;
}
