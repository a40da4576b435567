// Constants of graphs as TensorFlow.js tensors, read once from their files and shared by programs.
import { type FileHandle, open } from 'node:fs/promises';
import * as tf from '@tensorflow/tfjs-core';
import { AttuneError } from '../base/errors.ts';
import { widenBfloat16, widenFloat16 } from '../base/half-precision.ts';
import type { ConstantSource, DataType, FileSource, StoredType, Tensor } from '../graph/tensor.ts';
import type { HostData } from './executor.ts';
import { type BackendName, useBackend } from './tensorflow-backend.ts';
import { TF_TYPES } from './tensorflow-kernels.ts';

/** Largest read at once; Node refuses 2 GiB and more. */
const READ_BYTES_MAX = 2 ** 30;

const BYTES: Record<StoredType, number> = { f32: 4, i32: 4, bool: 1, f16: 2, bf16: 2 };

type Plain = Exclude<ConstantSource, { from: 'blocks' }>;

interface Entry {
  readonly tensor: Promise<tf.Tensor>;
  users: number;
}

/** A constant in use; `release` once. */
export interface LoadedConstant {
  readonly tensor: tf.Tensor;
  release(): void;
}

/** Holds each constant once, however many programs use it. */
export class ConstantPool {
  readonly #backend: BackendName;
  readonly #entries = new Map<string | Tensor, Entry>();

  constructor(backend: BackendName) {
    this.#backend = backend;
  }

  /** @throws graph-unsupported, runtime-failed when the file is absent or too short */
  async load(node: Tensor): Promise<LoadedConstant> {
    if (node.operation.kind !== 'constant') throw new Error(`no constant: ${node.operation.kind}`);
    const { source, name } = node.operation;
    if (source.from === 'blocks') {
      const message = `constant ${name} is quantised; TensorFlow.js needs it widened to f32`;
      throw new AttuneError('graph-unsupported', message, { constant: name });
    }
    const shape = node.shape as readonly number[];
    const key =
      source.from === 'inline'
        ? node
        : [source.path, source.offset, source.storedAs, node.dtype, ...shape].join('|');
    const entry = this.#entries.get(key) ?? { tensor: this.#read(source, name, node), users: 0 };
    this.#entries.set(key, entry);
    entry.users += 1;
    try {
      const tensor = await entry.tensor;
      return { tensor, release: () => this.#release(key, entry, tensor) };
    } catch (error) {
      this.#entries.delete(key);
      throw error;
    }
  }

  async #read(source: Plain, name: string, { dtype, shape }: Tensor): Promise<tf.Tensor> {
    const data =
      source.from === 'inline' ? source.data.slice() : await readFile(source, name, dtype);
    useBackend(this.#backend);
    return tf.tensor(data, shape as number[], TF_TYPES[dtype]);
  }

  #release(key: string | Tensor, entry: Entry, tensor: tf.Tensor): void {
    entry.users -= 1;
    if (entry.users > 0) return;
    this.#entries.delete(key);
    tensor.dispose();
  }
}

async function readFile(source: FileSource, name: string, dtype: DataType): Promise<HostData> {
  const { path, storedAs } = source;
  const isWidened = dtype === 'f32' && (storedAs === 'f16' || storedAs === 'bf16');
  if (storedAs !== dtype && !isWidened) {
    const message = `constant ${name}: stored as ${storedAs}, wanted as ${dtype}`;
    throw new AttuneError('graph-unsupported', message, { constant: name, storedAs, dtype });
  }
  if (source.length % BYTES[storedAs] !== 0) {
    const message = `constant ${name}: ${source.length} bytes are no whole number of ${storedAs}`;
    throw new AttuneError('runtime-failed', message, { constant: name, path });
  }
  const bytes = await readRange(source, name);
  if (dtype === 'bool') return bytes;
  if (dtype === 'i32') return new Int32Array(bytes.buffer);
  if (storedAs === 'f16') return widenFloat16(new Uint16Array(bytes.buffer));
  if (storedAs === 'bf16') return widenBfloat16(new Uint16Array(bytes.buffer));
  return new Float32Array(bytes.buffer);
}

/** Exactly the bytes of `source`, in a buffer of their own. */
async function readRange(
  { path, offset, length }: FileSource,
  name: string,
): Promise<Uint8Array<ArrayBuffer>> {
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const size = Math.min(length - done, READ_BYTES_MAX);
      const { bytesRead } = await file.read(bytes, done, size, offset + done);
      if (bytesRead === 0) throw new Error(`the file ends at byte ${offset + done}`);
      done += bytesRead;
    }
    return bytes;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const message = `constant ${name}: cannot read ${length} bytes at ${offset} of ${path}: ${why}`;
    throw new AttuneError('runtime-failed', message, { constant: name, path }, { cause: error });
  } finally {
    await file?.close();
  }
}
