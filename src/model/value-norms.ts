// How long each value vector is once the output projection has been applied; a graph, no runtime.
import { type Dimension, product } from '../graph/dimension.ts';
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
  const group = heads / kvHeads;
  const [batch, , keys] = value.shape as [Dimension, Dimension, Dimension];
  const perHead = transpose(reshape(oProj, [hiddenSize, heads, headDim]), [1, 0, 2]); // (heads, hidden, d)
  const gram = matMul(perHead, perHead, { transposeA: true }); // (heads, d, d)
  const gramOfGroup = reshape(
    transpose(reshape(gram, [kvHeads, group, headDim, headDim]), [0, 2, 1, 3]), // (kvHeads, d, group, d)
    [kvHeads, headDim, group * headDim],
  );
  const rows = product(batch, keys);
  const flat = reshape(transpose(value, [1, 0, 2, 3]), [kvHeads, rows, headDim]); // (kvHeads, b·keys, d)
  const images = reshape(matMul(flat, gramOfGroup), [kvHeads, rows, group, headDim]);
  const products = multiply(images, reshape(flat, [kvHeads, rows, 1, headDim]));
  const squares = reduceSum(products, [3]); // (kvHeads, b·keys, group)
  const norms = sqrt(maximum(squares, scalar(0)));
  const byBatch = transpose(reshape(norms, [kvHeads, batch, keys, group]), [1, 0, 3, 2]);
  return reshape(byBatch, [batch, heads, keys]); // (batch, heads, keys)
}
