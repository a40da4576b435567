// Chosen rows of sequences and of attention, taken inside the graph; it knows no model.
import { product } from '../../graph/dimension.ts';
import { gather, range, sizeOf } from '../../graph/indexing.ts';
import { add, multiply, reshape, transpose } from '../../graph/operations.ts';
import type { Tensor } from '../../graph/tensor.ts';

/** (batch, length, width), i32 (batch, rows): indices into length → (batch, rows, width). */
export function rowsOf(x: Tensor, rows: Tensor): Tensor {
  const [batch = 0, length = 0, width = 0] = x.shape;
  const firstRows = multiply(range(batch), sizeOf(length)); // (batch)
  const flatRows = add(rows, reshape(firstRows, [batch, 1])); // (batch, rows)
  return gather(reshape(x, [product(batch, length), width]), flatRows); // (batch, rows, width)
}

/** (batch, heads, length, keys) → (batch, heads, rows, keys), or as it is without a choice. */
export function rowsOfAttention(attention: Tensor, rows: Tensor | undefined): Tensor {
  if (rows === undefined) return attention;
  const [batch = 0, heads = 0, length = 0, keys = 0] = attention.shape;
  const byRow = transpose(attention, [0, 2, 1, 3]); // (batch, length, heads, keys)
  const width = product(heads, keys);
  const flat = reshape(byRow, [batch, length, width]); // (batch, length, heads * keys)
  const chosen = rowsOf(flat, rows); // (batch, rows, heads * keys)
  const split = reshape(chosen, [...rows.shape, heads, keys]); // (batch, rows, heads, keys)
  return transpose(split, [0, 2, 1, 3]); // (batch, heads, rows, keys)
}
