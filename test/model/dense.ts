// A delta's matrix in full, whatever form it is kept in.
import { addDelta, type DeltaTensor, sizeOf } from '../../src/model/delta.ts';

export async function denseOf(tensor: DeltaTensor | undefined): Promise<Float64Array> {
  const sum = new Float64Array(sizeOf(tensor?.shape ?? [0]));
  if (tensor !== undefined) await addDelta(sum, tensor);
  return sum;
}
