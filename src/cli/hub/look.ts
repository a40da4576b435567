// Looks at a model of the hub before its weights are fetched: with the loader itself, on a folder
// in which each file of weights has its true size and only its head.
import { copyFile, mkdir, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AttuneError, isAttuneError } from '../../base/errors.ts';
import { type GgufTensor, ggufHeadOf } from '../../gguf/gguf-file.ts';
import { ROPE_FACTORS } from '../../model/checkpoint/gguf-checkpoint.ts';
import { inspectModel, type ModelDescription } from '../../model/local/inspect-model.ts';
import { readTokenizer } from '../../tokenizer/read-tokenizer.ts';
import type { Choice } from './choice.ts';
import { type DownloadOptions, fetchUpTo } from './download.ts';
import type { HubFile } from './hugging-face.ts';

export interface Look {
  readonly model: ModelDescription;
  /** What a person should know of it, a sentence each. */
  readonly notices: readonly string[];
}

export const isWeights = ({ path }: HubFile): boolean => /\.(safetensors|gguf)$/.test(path);

/** @throws model-unsupported, saying why it cannot run */
export async function lookAt(choice: Choice, options: DownloadOptions): Promise<Look> {
  const place = await mkdtemp(join(options.folder, '.look-'));
  try {
    for (const file of choice.files) {
      const target = join(place, file.path);
      await mkdir(dirname(target), { recursive: true });
      if (isWeights(file)) await writeHead(target, file, options);
      else await copyFile(join(options.folder, file.path), target);
    }
    const path = choice.gguf === undefined ? place : join(place, choice.gguf);
    const model = await inspectModel(path);
    const { notices } = await readTokenizer(path);
    return { model, notices };
  } catch (error) {
    throw isAttuneError(error) ? cannotRun(error, place, options.repository) : error;
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

const REFUSALS = [
  'model-not-found',
  'model-unsupported',
  'model-damaged',
  'tokenizer-invalid',
  'template-failed',
];

function cannotRun(error: AttuneError, place: string, repository: string): AttuneError {
  if (!REFUSALS.includes(error.code)) return error;
  const reason = error.message.replaceAll(`${place}/`, '').replaceAll(place, repository);
  const message = `${repository} cannot run here, so it is not fetched: ${reason}`;
  return new AttuneError('model-unsupported', message, { repository, reason }, { cause: error });
}

/** A file of the true size that holds its head, and zeros where its tensors are. */
async function writeHead(target: string, file: HubFile, options: DownloadOptions): Promise<void> {
  const read = async (length: number): Promise<Buffer> => {
    const wanted = Math.min(length, file.size);
    await fetchUpTo(wanted, target, file, { ...options, rangeBytes: HEAD_BYTES_MAX });
    return (await readFile(target)).subarray(0, wanted);
  };
  const isGguf = file.path.endsWith('.gguf');
  const factors = isGguf ? await ropeFactors(read, file, target) : await safetensorsHead(read);
  const handle = await open(target, 'r+');
  try {
    await handle.truncate(file.size);
    // The loader checks these factors; what they are does not matter here.
    const { offset, length } = factors ?? { offset: 0, length: 0 };
    await handle.write(new Float32Array(length / 4).fill(1), 0, length, offset);
  } finally {
    await handle.close();
  }
}

type Read = (length: number) => Promise<Buffer>;

const FIRST_BYTES = 2 ** 20;
/** Above any head that the readers accept. */
const HEAD_BYTES_MAX = 128 * 2 ** 20;

/** Reads the head of a GGUF file; where its rope factors lie, if it has any. */
async function ropeFactors(
  read: Read,
  { size }: HubFile,
  path: string,
): Promise<GgufTensor | undefined> {
  for (let length = FIRST_BYTES; ; length *= 4) {
    const bytes = await read(length);
    const head = ggufHeadOf(bytes, size, path);
    if (head !== undefined) return head.tensors.get(ROPE_FACTORS);
    if (bytes.length === size || length > HEAD_BYTES_MAX) return undefined;
  }
}

async function safetensorsHead(read: Read): Promise<undefined> {
  const bytes = await read(FIRST_BYTES);
  const length = bytes.length < 8 ? 0 : Number(bytes.readBigUInt64LE());
  if (length + 8 > bytes.length && length <= HEAD_BYTES_MAX) await read(8 + length);
}
