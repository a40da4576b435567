// Checks what a run is fed against the graph's inputs and finds the size of every symbol.
import { AttuneError } from '../base/errors.ts';
import { evaluate, symbolsOf } from '../graph/dimension.ts';
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

/**
 * Sizes of the symbols, from the shapes fed. Feeds beyond `inputs` are not looked at.
 * @throws runtime-failed when an input is missing, or its type, rank or a size does not fit
 */
export function bindSymbols(
  inputs: ReadonlyMap<string, Tensor>,
  feeds: Feeds,
): ReadonlyMap<string, number> {
  const bindings = new Map<string, number>();
  for (const [name, input] of inputs) {
    const fed = feeds[name];
    if (fed === undefined) refuseFeed(name, input, 'is missing');
    if (fed.dtype !== input.dtype) refuseFeed(name, input, `is ${fed.dtype}`);
    if (fed.shape.length !== input.shape.length) refuseFeed(name, input, `is (${fed.shape})`);
    input.shape.forEach((dimension, axis) => {
      const isSymbol = typeof dimension === 'string' && symbolsOf(dimension)[0] === dimension;
      if (isSymbol && !bindings.has(dimension)) bindings.set(dimension, fed.shape[axis] as number);
    });
  }
  for (const [name, input] of inputs) {
    const { shape } = feeds[name] as HostTensor;
    const isFit = input.shape.every((dimension, axis) => fits(dimension, shape[axis], bindings));
    if (!isFit) refuseFeed(name, input, `is (${shape.join(', ')})`, bindings);
  }
  return bindings;
}

function fits(
  dimension: number | string,
  size: number | undefined,
  bindings: ReadonlyMap<string, number>,
): boolean {
  const isKnown = symbolsOf(dimension).every((symbol) => bindings.has(symbol));
  return !isKnown || evaluate(dimension, bindings) === size;
}

function refuseFeed(
  name: string,
  input: Tensor,
  what: string,
  bindings: ReadonlyMap<string, number> = new Map(),
): never {
  const sizes = [...bindings].map(([symbol, size]) => `${symbol} = ${size}`).join(', ');
  const known = sizes === '' ? '' : ` with ${sizes}`;
  const message = `input ${name} ${what}; the graph wants ${describe(input)}${known}`;
  throw new AttuneError('runtime-failed', message, { input: name });
}
