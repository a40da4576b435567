// Looks at a model of the hub before its weights are fetched: with the loader itself, on a folder
// in which each file of weights has its true size and only its head.
import { copyFile, mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AttuneError, isAttuneError } from '../../base/errors.ts';
import { type GgufTensor, ggufHeadOf } from '../../gguf/gguf-file.ts';
import { ROPE_FACTORS } from '../../model/checkpoint/gguf-checkpoint.ts';
import { inspectModel, type ModelDescription } from '../../model/local/inspect-model.ts';
import { readTokenizer } from '../../tokenizer/read-tokenizer.ts';
import type { Choice } from './choice.ts';
import type { Hub, HubFile } from './hugging-face.ts';

export interface LookOptions {
  readonly hub: Hub;
  readonly repository: string;
  readonly commit: string;
  /** The folder that the files are for; what is no weights is there already. */
  readonly folder: string;
}

export interface Look {
  readonly model: ModelDescription;
  /** What a person should know of it, a sentence each. */
  readonly notices: readonly string[];
}

export const isWeights = ({ path }: HubFile): boolean => /\.(safetensors|gguf)$/.test(path);

/** @throws model-unsupported, saying why it cannot run */
export async function lookAt(choice: Choice, options: LookOptions): Promise<Look> {
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
async function writeHead(target: string, file: HubFile, options: LookOptions): Promise<void> {
  const read = async (length: number): Promise<Buffer> => {
    const wanted = Math.min(length, file.size);
    if (wanted === 0) return Buffer.alloc(0);
    return options.hub.beginningOf({ ...options, path: file.path }, wanted);
  };
  const isGguf = file.path.endsWith('.gguf');
  const head = await (isGguf ? ggufHead(read, file, target) : safetensorsHead(read));
  const handle = await open(target, 'wx');
  try {
    await handle.writeFile(head.bytes);
    await handle.truncate(file.size);
    // The loader checks these factors; what they are does not matter here.
    const { offset, length } = head.ropeFactors ?? { offset: 0, length: 0 };
    await handle.write(new Float32Array(length / 4).fill(1), 0, length, offset);
  } finally {
    await handle.close();
  }
}

type Read = (length: number) => Promise<Buffer>;

interface Head {
  readonly bytes: Buffer;
  readonly ropeFactors?: GgufTensor | undefined;
}

const FIRST_BYTES = 2 ** 20;
/** Above any head that the readers accept. */
const HEAD_BYTES_MAX = 128 * 2 ** 20;

async function ggufHead(read: Read, { size }: HubFile, path: string): Promise<Head> {
  for (let length = FIRST_BYTES; ; length *= 4) {
    const bytes = await read(length);
    const head = ggufHeadOf(bytes, size, path);
    if (head !== undefined) return { bytes, ropeFactors: head.tensors.get(ROPE_FACTORS) };
    if (bytes.length === size || length > HEAD_BYTES_MAX) return { bytes };
  }
}

async function safetensorsHead(read: Read): Promise<Head> {
  const bytes = await read(FIRST_BYTES);
  const length = bytes.length < 8 ? 0 : Number(bytes.readBigUInt64LE());
  const isEnough = length + 8 <= bytes.length || length > HEAD_BYTES_MAX;
  return { bytes: isEnough ? bytes : await read(8 + length) };
}
