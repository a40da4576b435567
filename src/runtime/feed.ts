// Checks what a run is fed against the graph's inputs and finds the size of every symbol.
import { AttuneError } from '../base/errors.ts';
import { type Bindings, evaluate, symbolsOf } from '../graph/dimension.ts';
import { describe, type Tensor } from '../graph/tensor.ts';
import type { HostTensor, Value } from './executor.ts';

export type Feeds = Readonly<Record<string, Value | HostTensor>>;

/** Inputs of a graph by name. */
export function inputsOf(nodes: readonly Tensor[]): Map<string, Tensor> {
  const inputs = new Map<string, Tensor>();
  for (const node of nodes) {
    if (node.operation.kind === 'input') inputs.set(node.operation.name, node);
  }
  return inputs;
}

/** One axis of an input: a literal size, a symbol (which the first feed binds), or a formula. */
type Axis =
  | { readonly size: number }
  | { readonly symbol: string }
  | { readonly formula: string; readonly symbols: readonly string[] };

/** What every run asks of the same inputs, found out once. */
const axesOfInputs = new WeakMap<ReadonlyMap<string, Tensor>, readonly (readonly Axis[])[]>();

function axesOf(inputs: ReadonlyMap<string, Tensor>): readonly (readonly Axis[])[] {
  const known = axesOfInputs.get(inputs);
  if (known !== undefined) return known;
  const axes = [...inputs.values()].map(({ shape }) =>
    shape.map((dimension): Axis => {
      if (typeof dimension === 'number') return { size: dimension };
      const symbols = symbolsOf(dimension);
      return symbols[0] === dimension ? { symbol: dimension } : { formula: dimension, symbols };
    }),
  );
  axesOfInputs.set(inputs, axes);
  return axes;
}

/**
 * Sizes of the symbols, from the shapes fed.
 * @param inputs must not change between runs
 * @throws runtime-failed when an input is missing or unknown, or its type, rank or a size does not
 *   fit
 */
export function bindSymbols(inputs: ReadonlyMap<string, Tensor>, feeds: Feeds): Bindings {
  for (const name of Object.keys(feeds)) {
    if (inputs.has(name)) continue;
    throw new AttuneError('runtime-failed', `the graph has no input ${name}`, { input: name });
  }
  const bindings = new Map<string, number>();
  const axes = axesOf(inputs);
  let at = 0;
  for (const [name, input] of inputs) {
    const fed = feeds[name];
    if (fed === undefined) refuseFeed(name, input, 'is missing');
    if (fed.dtype !== input.dtype) refuseFeed(name, input, `is ${fed.dtype}`);
    const expected = axes[at++] as readonly Axis[];
    if (fed.shape.length !== expected.length) refuseFeed(name, input, `is (${fed.shape})`);
    for (const [i, axis] of expected.entries()) {
      if (!('symbol' in axis) || bindings.has(axis.symbol)) continue;
      bindings.set(axis.symbol, fed.shape[i] as number);
    }
  }
  at = 0;
  for (const [name, input] of inputs) {
    const { shape } = feeds[name] as HostTensor;
    const expected = axes[at++] as readonly Axis[];
    if (expected.every((axis, i) => fits(axis, shape[i] as number, bindings))) continue;
    refuseFeed(name, input, `is (${shape.join(', ')})`, bindings);
  }
  return bindings;
}

function fits(axis: Axis, size: number, bindings: Bindings): boolean {
  if ('size' in axis) return axis.size === size;
  if ('symbol' in axis) return bindings.get(axis.symbol) === size;
  const isKnown = axis.symbols.every((symbol) => bindings.has(symbol));
  return !isKnown || evaluate(axis.formula, bindings) === size;
}

function refuseFeed(
  name: string,
  input: Tensor,
  what: string,
  bindings: Bindings = new Map(),
): never {
  const sizes = [...bindings].map(([symbol, size]) => `${symbol} = ${size}`).join(', ');
  const known = sizes === '' ? '' : ` with ${sizes}`;
  const message = `input ${name} ${what}; the graph wants ${describe(input)}${known}`;
  throw new AttuneError('runtime-failed', message, { input: name });
}
