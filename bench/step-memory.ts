// What memory a W_q step takes at one context length, alone in a process; prints one line.
import { readModel } from '../src/model/model.ts';
import { createOnnxExecutor } from '../src/runtime/onnx.ts';
import { createStep } from './learn.ts';
import { peakBytes, privateBytes } from './machine.ts';

const [modelDir = '', cacheDir = '', context = '0'] = process.argv.slice(2);
const model = await readModel(modelDir, { cacheDir });
const executor = await createOnnxExecutor({ device: 'cpu', threads: 1 });
const step = await createStep(executor, model, false);
const { numHiddenLayers, numKeyValueHeads, headDim } = model.config;
const cacheBytes = 2 * numHiddenLayers * numKeyValueHeads * headDim * Number(context) * 4;
const before = privateBytes();
const peak = await peakBytes(async () => {
  for (let i = 0; i < 4; i++) await step.run(Number(context));
});
const stepBytes = privateBytes() - before - cacheBytes;
console.log(JSON.stringify({ cacheBytes, stepBytes, peakBytes: peak }));
await step.close();
