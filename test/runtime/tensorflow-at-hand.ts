// Says whether the C++ library of TensorFlow can be loaded here, for tests that need it.
import { isAttuneError } from '../../src/base/errors.ts';
import { createTensorFlowExecutor } from '../../src/runtime/tensorflow.ts';

/** Why it is not at hand; undefined when it is, or when ATTUNE_TEST_TENSORFLOW=required. */
export async function whyNoTensorFlow(): Promise<string | undefined> {
  if (process.env.ATTUNE_TEST_TENSORFLOW === 'required') return undefined;
  try {
    await (await createTensorFlowExecutor({ backend: 'tensorflow' })).close();
    return undefined;
  } catch (error) {
    if (isAttuneError(error, 'device-unavailable')) return 'needs npm run setup:tensorflow';
    throw error;
  }
}
