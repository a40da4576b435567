// Collects the nodes, constants and host-computed inputs of one ONNX graph; emits no node twice.
import { relative, sep } from 'node:path';
import { at } from '../../base/at.ts';
import { type Bindings, type Dimension, evaluate } from '../dimension.ts';
import type { FileRange } from '../tensor.ts';
import type { Attribute, ElementType, NodeMessage, TensorMessage } from './messages.ts';

/** A size known when symbols are bound: a dimension, or `whole` less some others. */
export type Size = Dimension | { readonly whole: Dimension; readonly less: readonly Dimension[] };

/**
 * A small integer tensor that depends on symbolic dimensions only: the runner computes it from
 * the shapes it feeds, so the graph holds no shape arithmetic (which devices would refuse).
 */
export interface DerivedInput {
  readonly name: string;
  readonly type: 'i32' | 'i64';
  readonly rank: 0 | 1;
  /** Its values, in order. */
  derive(bindings: Bindings): readonly number[];
}

export interface EmitOptions {
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly outputs?: number;
  readonly domain?: string;
}

export type FloatType = 'f32' | 'f64';

export interface EmitterSettings {
  readonly floatType: FloatType;
  /** Paths of external data are relative to it. */
  readonly folder: string | undefined;
  /** Products with quantised matrices may round the other operand to 8 bits. */
  readonly roundsActivations: boolean;
}

export class Emitter {
  readonly initializers: TensorMessage[] = [];
  readonly derived = new Map<string, DerivedInput>();
  readonly floatType: FloatType;
  readonly roundsActivations: boolean;
  readonly #folder: string;
  /** Prefix of the names of nodes that follow. */
  scope = '';
  readonly #nodes: NodeMessage[] = [];
  readonly #memo = new Map<string, readonly string[]>();
  readonly #produced = new Set<string>();
  readonly #renamed = new Map<string, string>();
  readonly #copies: (readonly [value: string, name: string])[] = [];

  constructor({ floatType, folder = '', roundsActivations }: EmitterSettings) {
    this.floatType = floatType;
    this.roundsActivations = roundsActivations;
    this.#folder = folder;
  }

  /** Adds a node, unless an equal one exists. @returns the name of its first output. */
  emit(opType: string, inputs: readonly string[], options: EmitOptions = {}): string {
    return at(this.emitAll(opType, inputs, options), 0);
  }

  /** As `emit`. @returns the names of all outputs. */
  emitAll(opType: string, inputs: readonly string[], options: EmitOptions): readonly string[] {
    const { attributes = {}, outputs = 1, domain } = options;
    const key = JSON.stringify([opType, inputs, attributes, outputs]);
    const known = this.#memo.get(key);
    if (known !== undefined) return known;
    const name = `${this.scope}/${opType}_${this.#nodes.length}`;
    const names = Array.from({ length: outputs }, (_, i) => (i === 0 ? name : `${name}:${i}`));
    const base = { opType, name, inputs, outputs: names, attributes };
    this.#nodes.push(domain === undefined ? base : { ...base, domain });
    for (const each of names) this.#produced.add(each);
    this.#memo.set(key, names);
    return names;
  }

  /** Makes a value a graph output: its node writes under that name, others get a copy. */
  output(value: string, name: string): void {
    const isOwn = this.#produced.has(value) && !this.#renamed.has(value);
    if (isOwn) this.#renamed.set(value, name);
    else this.#copies.push([value, name]);
  }

  /** All nodes in order, under their final names. */
  finish(): NodeMessage[] {
    const final = (name: string): string => this.#renamed.get(name) ?? name;
    const nodes = this.#nodes.map((node) => ({
      ...node,
      inputs: node.inputs.map(final),
      outputs: node.outputs.map(final),
    }));
    for (const [value, name] of this.#copies) {
      const base = { opType: 'Identity', name: `${name}/Identity`, attributes: {} };
      nodes.push({ ...base, inputs: [final(value)], outputs: [name] });
    }
    return nodes;
  }

  initializer(tensor: TensorMessage): string {
    this.initializers.push(tensor);
    return tensor.name;
  }

  /** An initializer that is a part of a file, shared by place and dims. */
  external(
    type: ElementType,
    dims: readonly number[],
    { path, offset, length }: FileRange,
  ): string {
    const location = relative(this.#folder, path).split(sep).join('/');
    const name = `#${location}:${offset}[${dims}]`;
    const content = { location, offset, length };
    return this.#once(name, () => this.initializer({ name, type, dims, content }));
  }

  /** Inline integers, shared by content. `dims` [] is a scalar. */
  integers(
    type: 'i32' | 'i64',
    values: readonly number[],
    dims: readonly number[] = [values.length],
  ): string {
    const name = `#${type}[${dims.length === 0 ? '' : dims}]=${values}`;
    return this.#once(name, () => {
      const raw =
        type === 'i32' ? Int32Array.from(values) : BigInt64Array.from(values, (v) => BigInt(v));
      this.initializer({ name, type, dims, content: { raw: new Uint8Array(raw.buffer) } });
    });
  }

  /** An inline float scalar. */
  float(value: number): string {
    const name = `#float=${value}`;
    return this.#once(name, () => {
      const raw = this.floatType === 'f64' ? Float64Array.of(value) : Float32Array.of(value);
      const content = { raw: new Uint8Array(raw.buffer) };
      this.initializer({ name, type: this.floatType, dims: [], content });
    });
  }

  /** An i64 vector of sizes: a constant when all are literal, else computed by the runner. */
  sizes(sizes: readonly Size[]): string {
    const derive = (bindings: Bindings): number[] => sizes.map((size) => sizeIn(size, bindings));
    if (sizes.every(isLiteral)) return this.integers('i64', derive(new Map()));
    const name = `#sizes[${sizes.map(sizeText).join(', ')}]`;
    return this.#derive({ name, type: 'i64', rank: 1, derive });
  }

  /** The i32 scalar of one size. */
  scalarSize(size: Dimension): string {
    if (typeof size === 'number') return this.integers('i32', [size], []);
    const derive = (bindings: Bindings): number[] => [evaluate(size, bindings)];
    return this.#derive({ name: `#size[${size}]`, type: 'i32', rank: 0, derive });
  }

  /** The i32 vector start, start + 1, … of `size` entries. */
  range(start: Dimension, size: Dimension): string {
    const derive = (bindings: Bindings): number[] => {
      const first = evaluate(start, bindings);
      return Array.from({ length: evaluate(size, bindings) }, (_, i) => first + i);
    };
    if (typeof start === 'number' && typeof size === 'number') {
      return this.integers('i32', derive(new Map()));
    }
    return this.#derive({ name: `#range[${start}, ${size}]`, type: 'i32', rank: 1, derive });
  }

  #derive(input: DerivedInput): string {
    this.derived.set(input.name, input);
    return input.name;
  }

  #once(name: string, make: () => void): string {
    if (!this.#memo.has(name)) {
      this.#memo.set(name, [name]);
      make();
    }
    return name;
  }
}

function isLiteral(size: Size): boolean {
  if (typeof size !== 'object') return typeof size === 'number';
  return [size.whole, ...size.less].every((dimension) => typeof dimension === 'number');
}

function sizeIn(size: Size, bindings: Bindings): number {
  if (typeof size !== 'object') return evaluate(size, bindings);
  return size.less.reduce<number>(
    (rest, dimension) => rest - evaluate(dimension, bindings),
    evaluate(size.whole, bindings),
  );
}

function sizeText(size: Size): string {
  return typeof size === 'object' ? [size.whole, ...size.less].join(' - ') : `${size}`;
}
