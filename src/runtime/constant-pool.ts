// Constants of graphs on a device: read once from their files, shared by all programs.
import { type FileHandle, open } from 'node:fs/promises';
import { AttuneError } from '../base/errors.ts';
import { widenBfloat16, widenFloat16 } from '../base/half-precision.ts';
import type { ConstantSource, DataType, FileSource, StoredType, Tensor } from '../graph/tensor.ts';
import type { HostData, HostTensor } from './executor.ts';

/** Largest read at once; Node refuses 2 GiB and more. */
const READ_BYTES_MAX = 2 ** 30;

const BYTES: Record<StoredType, number> = { f32: 4, i32: 4, bool: 1, f16: 2, bf16: 2 };

type Plain = Exclude<ConstantSource, { from: 'blocks' }>;

interface Entry<Placed> {
  readonly placed: Promise<Placed>;
  users: number;
}

/** A constant in use; `release` once. */
export interface LoadedConstant<Placed> {
  readonly placed: Placed;
  release(): void;
}

/** How an executor holds a tensor where it computes. */
export interface Placing<Placed> {
  /** The data are its own: nobody else reads or writes them. */
  readonly place: (tensor: HostTensor) => Promise<Placed>;
  readonly dispose: (placed: Placed) => void;
}

/** Holds each constant once, however many programs use it. */
export class ConstantPool<Placed> {
  readonly #placing: Placing<Placed>;
  readonly #entries = new Map<string | Tensor, Entry<Placed>>();

  constructor(placing: Placing<Placed>) {
    this.#placing = placing;
  }

  /** @throws graph-unsupported, runtime-failed when the file is absent or too short */
  async load(node: Tensor): Promise<LoadedConstant<Placed>> {
    if (node.operation.kind !== 'constant') throw new Error(`no constant: ${node.operation.kind}`);
    const { source, name } = node.operation;
    if (source.from === 'blocks') {
      const message = `constant ${name} is quantised; only the CPU of ONNX Runtime reads it so`;
      throw new AttuneError('graph-unsupported', message, { constant: name });
    }
    const shape = node.shape as readonly number[];
    const key =
      source.from === 'inline'
        ? node
        : [source.path, source.offset, source.storedAs, node.dtype, ...shape].join('|');
    const entry = this.#entries.get(key) ?? { placed: this.#place(source, name, node), users: 0 };
    this.#entries.set(key, entry);
    entry.users += 1;
    try {
      const placed = await entry.placed;
      return { placed, release: () => this.#release(key, entry, placed) };
    } catch (error) {
      this.#entries.delete(key);
      throw error;
    }
  }

  /** Of many: all of them, or none is held. */
  async loadAll(nodes: readonly Tensor[]): Promise<Map<Tensor, LoadedConstant<Placed>>> {
    const loaded = new Map<Tensor, LoadedConstant<Placed>>();
    try {
      for (const node of nodes) loaded.set(node, await this.load(node));
    } catch (error) {
      for (const constant of loaded.values()) constant.release();
      throw error;
    }
    return loaded;
  }

  async #place(source: Plain, name: string, { dtype, shape }: Tensor): Promise<Placed> {
    const data =
      source.from === 'inline' ? source.data.slice() : await readFile(source, name, dtype);
    return this.#placing.place({ dtype, shape: shape as number[], data });
  }

  #release(key: string | Tensor, entry: Entry<Placed>, placed: Placed): void {
    entry.users -= 1;
    if (entry.users > 0) return;
    this.#entries.delete(key);
    this.#placing.dispose(placed);
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
