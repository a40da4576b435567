// How long each value vector is once the output projection has been applied; a graph, no runtime.
import { product } from '../graph/dimension.ts';
import {
  matMul,
  maximum,
  multiply,
  reduceSum,
  reshape,
  scalar,
  sqrt,
  transpose,
} from '../graph/operations.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { ModelConfig } from './config.ts';

/**
 * How long each value is once W_o has been applied to it: `‖W_o,h v‖` for every head h. With
 * attention it tells what a key contributes. Computed as `sqrt(vᵀ (W_o,hᵀ W_o,h) v)`, so nothing
 * of size keys × hiddenSize is made. Source: Kobayashi et al., arXiv 2004.10102, eq. 4.
 * @param value (batch, numKeyValueHeads, keys, headDim)
 * @param oProj (hiddenSize, numAttentionHeads * headDim)
 * @returns (batch, numAttentionHeads, keys)
 */
export function valueNorms(value: Tensor, oProj: Tensor, config: ModelConfig): Tensor {
  const { numAttentionHeads: heads, numKeyValueHeads: kvHeads, headDim, hiddenSize } = config;
  // In the shapes: n kvHeads, g heads of one of them, d headDim, r rows: batch * keys.
  const [batch = 0, , keys = 0] = value.shape;
  const group = heads / kvHeads;
  const rows = product(batch, keys);
  const split = reshape(oProj, [hiddenSize, heads, headDim]); // (hiddenSize, heads, d)
  const byHead = transpose(split, [1, 0, 2]); // (heads, hiddenSize, d)
  const gram = matMul(byHead, byHead, { transposeA: true }); // (heads, d, d)
  const byGroup = transpose(reshape(gram, [kvHeads, group, headDim, headDim]), [0, 2, 1, 3]);
  const gramOfGroup = reshape(byGroup, [kvHeads, headDim, group * headDim]); // (n, d, g * d)
  const flat = reshape(transpose(value, [1, 0, 2, 3]), [kvHeads, rows, headDim]); // (n, r, d)
  const images = matMul(flat, gramOfGroup); // (n, r, g * d)
  const perHead = reshape(images, [kvHeads, rows, group, headDim]); // (n, r, g, d)
  const products = multiply(perHead, reshape(flat, [kvHeads, rows, 1, headDim])); // (n, r, g, d)
  const squares = reduceSum(products, [3]); // (n, r, g)
  const norms = reshape(sqrt(maximum(squares, scalar(0))), [kvHeads, batch, keys, group]);
  return reshape(transpose(norms, [1, 0, 3, 2]), [batch, heads, keys]); // (batch, heads, keys)
}
