// Runs node-llama-cpp on request: one JSON line in, one out.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [folder, modelPath, threads] = process.argv.slice(2);
const require = createRequire(join(folder, 'package.json'));
const { getLlama } = await import(pathToFileURL(require.resolve('node-llama-cpp')).href);

const llama = await getLlama({
  gpu: false,
  build: 'never',
  progressLogs: false,
  logLevel: 'error',
});
const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: 2304,
  batchSize: 512,
  threads: { ideal: Number(threads), min: Number(threads) },
  experimentalKvCacheKeyType: 'F32',
  experimentalKvCacheValueType: 'F32',
});
const sequence = context.getSequence();
const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
answer({ ready: true });

for await (const line of createInterface({ input: process.stdin })) {
  const { ids, tokens } = JSON.parse(line);
  await sequence.clearHistory();
  const start = performance.now();
  const cpuMs = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  };
  const cpu = [cpuMs()];
  const times = [];
  const said = [];
  for await (const token of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
    times.push(performance.now());
    cpu.push(cpuMs());
    said.push(token);
    if (said.length >= tokens) break;
  }
  answer({
    ids: said,
    tokenMs: times.slice(1).map((time, i) => time - times[i]),
    firstTokenMs: times[0] - start,
    prefillCpuMs: cpu[1] - cpu[0],
    tokenCpuMs: (cpu.at(-1) - cpu[1]) / (times.length - 1),
  });
}
process.exit(0);
