// One small case for each operation of the graph, with the result worked out by hand in TypeScript.
import { ARITHMETIC_CASES } from './cases/arithmetic.ts';
import { INDEXING_CASES } from './cases/indexing.ts';
import { LOGIC_CASES } from './cases/logic.ts';
import type { OperationCase } from './cases/operation-case.ts';

export const OPERATION_CASES: readonly OperationCase[] = [
  ...ARITHMETIC_CASES,
  ...LOGIC_CASES,
  ...INDEXING_CASES,
];
