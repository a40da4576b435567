// Loads the binding that setup.sh built and holds one gradient against finite differences.
'use strict';
const util = require('node:util');
const assert = require('node:assert/strict');

// Node 23 removed two functions that tfjs-node 4.22 calls.
util.isNullOrUndefined ??= (value) => value === null || value === undefined;
util.isArray ??= Array.isArray;
process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';

const tf = require('@tensorflow/tfjs-node-gpu');

assert.equal(tf.getBackend(), 'tensorflow', 'the backend must be the C++ library');

const hidden = tf.randomNormal([5, 8], 0, 1, 'float32', 1);
const keys = tf.randomNormal([7, 4], 0, 1, 'float32', 2);
const values = tf.randomNormal([7, 4], 0, 1, 'float32', 3);
const qProj = tf.randomNormal([4, 8], 0, 0.5, 'float32', 4);

/** Sum of squares of softmax(hidden W_qᵀ Kᵀ) V, as attention reads its query weights. */
function loss(weights) {
  const query = tf.matMul(hidden, weights, false, true); // (5, 4)
  const attention = tf.softmax(tf.matMul(query, keys, false, true)); // (5, 7)
  return tf.sum(tf.square(tf.matMul(attention, values)));
}

const gradient = tf.grad(loss)(qProj).dataSync();
const weights = qProj.dataSync();
const STEP = 1e-2;
const at = (index, shift) => {
  const moved = Float32Array.from(weights);
  moved[index] += shift;
  return tf.tidy(() => loss(tf.tensor(moved, [4, 8])).dataSync()[0]);
};
let worst = 0;
let largest = 0;
for (let i = 0; i < weights.length; i++) {
  const difference = (at(i, STEP) - at(i, -STEP)) / (2 * STEP);
  worst = Math.max(worst, Math.abs(difference - gradient[i]));
  largest = Math.max(largest, Math.abs(gradient[i]));
}
assert.ok(worst < 2e-3 * largest, `gradient off by ${worst} of ${largest}`);

const { binding, isUsingGpuDevice } = tf.backend();
const device = isUsingGpuDevice ? 'a GPU (CUDA)' : 'the CPU';
const error = (worst / largest).toExponential(1);
console.log(
  `setup:tensorflow: TensorFlow ${binding.TF_Version} answers on ${device}; ` +
    `a gradient agrees with finite differences within ${error}`,
);
