// ONNX lowering of quantised matrices: products of few bits, rows looked up, and nothing else.
import { product } from '../dimension.ts';
import { type BlocksSource, refuse, type Shape, type Tensor } from '../tensor.ts';
import type { Emitter } from './emitter.ts';
import { MICROSOFT_DOMAIN } from './messages.ts';
import * as shapes from './shape-lowering.ts';

/** Level 4 of `MatMulNBits`: the other operand is rounded to int8, block by block. */
const ROUNDED_TO_INT8 = 4;

interface Blocks extends BlocksSource {
  readonly out: number;
  readonly inner: number;
  /** Groups of one row. */
  readonly groups: number;
}

function blocksOf({ operation, shape }: Tensor): Blocks | undefined {
  if (operation.kind !== 'constant' || operation.source.from !== 'blocks') return undefined;
  const [out, inner] = shape as [number, number];
  return { ...operation.source, out, inner, groups: inner / operation.source.groupElements };
}

/** A quantised matrix can only be multiplied or looked up. @throws AttuneError graph-shape */
export function refuseBlocks({ operation, inputs }: Tensor): void {
  for (const [i, operand] of inputs.entries()) {
    if (blocksOf(operand) === undefined) continue;
    const isFactor = operation.kind === 'matMul' && operation.transposeB && i === 1;
    if (isFactor || (operation.kind === 'gather' && i === 0)) continue;
    refuse(operation.kind, 'a quantised matrix is only multiplied from the right', [operand]);
  }
}

/** `x Wᵀ`: (…, inner) → (…, out); undefined where W is not quantised. */
export function multiplyBlocks(
  x: string,
  shape: Shape,
  weight: Tensor,
  to: Emitter,
): string | undefined {
  const blocks = blocksOf(weight);
  if (blocks === undefined) return undefined;
  const { bits, out, inner, groups, groupElements, minima } = blocks;
  const codes = to.external('u8', [out, groups, (groupElements * bits) / 8], blocks.codes);
  const scales = to.external('f32', [out, groups], blocks.scales);
  const quantised = to.emit('MatMulNBits', [x, codes, scales], {
    domain: MICROSOFT_DOMAIN,
    attributes: {
      ...{ K: inner, N: out, bits, block_size: groupElements },
      accuracy_level: to.roundsActivations ? ROUNDED_TO_INT8 : 0,
    },
  });
  if (minima === undefined) return quantised;
  const leading = shape.slice(0, -1);
  const rows = product(...leading);
  const grouped = shapes.reshape(x, shape, [rows, groups, groupElements], to);
  const sums = to.emit('ReduceSum', [grouped, to.integers('i64', [-1])], {
    attributes: { keepdims: 0 },
  }); // (rows, groups)
  const ofMinima = to.emit('Gemm', [sums, to.external('f32', [out, groups], minima)], {
    attributes: { transB: 1 },
  }); // (rows, out)
  const back = shapes.reshape(ofMinima, [rows, out], [...leading, out], to);
  return to.emit('Add', [quantised, back]); // (…, out)
}

/** Rows of a quantised table by indices; undefined where it is not quantised. */
export function gatherBlocks(
  table: Tensor,
  indices: string,
  shape: Shape,
  to: Emitter,
): string | undefined {
  const blocks = blocksOf(table);
  if (blocks === undefined) return undefined;
  const { bits, out, inner, groups, groupElements, minima } = blocks;
  const codes = to.external('u8', [out, (inner * bits) / 8], blocks.codes);
  const scales = to.external('f32', [out, groups], blocks.scales);
  const rows = to.emit('GatherBlockQuantized', [codes, indices, scales], {
    domain: MICROSOFT_DOMAIN,
    attributes: { bits, block_size: groupElements, gather_axis: 0, quantize_axis: 1 },
  }); // (…, inner)
  if (minima === undefined) return rows;
  const leading = shape.slice(0, -1);
  const ofMinima = to.emit('Gather', [to.external('f32', [out, groups], minima), indices], {
    attributes: { axis: 0 },
  }); // (…, groups)
  const grouped = shapes.reshape(rows, shape, [...leading, groups, groupElements], to);
  const sum = to.emit('Add', [grouped, shapes.unsqueezeLast(ofMinima, to)]);
  return shapes.reshape(sum, [...leading, groups, groupElements], shape, to);
}
