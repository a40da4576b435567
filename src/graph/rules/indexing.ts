// Derivatives of operations that move, join, cut, repeat and look up elements.
import { at } from '../../base/at.ts';
import { type Dimension, sum } from '../dimension.ts';
import { addPicked, gather, pad, pick, scatterAdd } from '../indexing.ts';
import { reshape, transpose } from '../operations.ts';
import type { Tensor } from '../tensor.ts';
import { type Partial, type Rule, sliceEarly, sumTo, zeros } from './rule.ts';

const sizeAt = (x: Tensor, axis: number): Dimension => at(x.shape, axis);

export const reshapeRule: Rule<'reshape'> = ({ operands: [x], cotangent }) => [
  () => reshape(cotangent, (x as Tensor).shape),
];

export const transposeRule: Rule<'transpose'> = ({ operation: { permutation }, cotangent }) => [
  () =>
    transpose(
      cotangent,
      permutation.map((_, axis) => permutation.indexOf(axis)),
    ),
];

export const concatRule: Rule<'concat'> = ({ operation: { axis }, operands, cotangent }) => {
  let start: Dimension = 0;
  return operands.map((part): Partial => {
    const [from, size] = [start, sizeAt(part, axis)];
    start = sum(start, size);
    return () => sliceEarly(cotangent, axis, from, size);
  });
};

export const sliceRule: Rule<'slice'> = ({ operation, operands: [x], cotangent }) => {
  const { axis, start } = operation;
  return [() => pad(cotangent, axis, start, sizeAt(x as Tensor, axis))];
};

export const padRule: Rule<'pad'> = ({ operation: { axis, start }, operands: [x], cotangent }) => [
  () => sliceEarly(cotangent, axis, start, sizeAt(x as Tensor, axis)),
];

export const broadcastRule: Rule<'broadcast'> = ({ operands: [x], cotangent }) => [
  () => sumTo(cotangent, (x as Tensor).shape),
];

export const gatherRule: Rule<'gather'> = ({ operands, cotangent }) => {
  const [table, indices] = operands as [Tensor, Tensor];
  return [() => scatterAdd(cotangent, indices, sizeAt(table, 0)), undefined];
};

export const scatterAddRule: Rule<'scatterAdd'> = ({ operands: [, indices], cotangent }) => [
  () => gather(cotangent, indices as Tensor),
  undefined,
];

export const pickRule: Rule<'pick'> = ({ operands, cotangent }) => {
  const [values, indices] = operands as [Tensor, Tensor];
  return [() => addPicked(zeros(values.shape), cotangent, indices), undefined];
};

export const addPickedRule: Rule<'addPicked'> = ({ operands: [, , indices], cotangent }) => [
  () => cotangent,
  () => pick(cotangent, indices as Tensor),
  undefined,
];
