// Whole nights on WebGPU: the verdict of the CPU, and a card that fails in the middle of a step.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { readLosses } from '../../src/morning/samples.ts';
import { whyNoWebGpu } from '../runtime/swiftshader.ts';
import { flagTwo, type Loop, openLoop } from '../system/open-loop.ts';

const FAILING = new URL('../fixtures/process/failing-card.mjs', import.meta.url);

const unavailable = await whyNoWebGpu();
const title = `a night on WebGPU${unavailable === undefined ? '' : ` (${unavailable})`}`;

let loop: Loop | undefined;
afterEach(async () => {
  vi.unstubAllEnvs();
  await loop?.close();
});

async function night(device: 'cpu' | 'webgpu') {
  // At the priority of this test: software takes long enough.
  loop = await openLoop({ train: { device }, night: { niceness: 0 } });
  await flagTwo(loop);
  const { nights } = loop;
  const id = await nights.run();
  await nights.ended();
  const problems = await nights.problems();
  const { software, gate, delta, data } = await nights.ledger.read(id);
  const taken = (await readLosses(nights.ledger.folderOf(id))).map(({ step }) => step);
  await loop.close();
  loop = undefined;
  // Scenarios hold the replies that were drawn.
  const lessons = data.map(({ source }) => source);
  return {
    problems,
    executor: software.executor,
    passed: gate?.passed,
    steps: delta?.steps,
    lessons,
    taken,
  };
}

describe.skipIf(unavailable !== undefined)(title, () => {
  it('comes to the verdict of the CPU in as many steps', async () => {
    const theirs = await night('cpu');
    const ours = await night('webgpu');
    expect(theirs.steps).toBeGreaterThan(1);
    expect(ours).toEqual({ ...theirs, executor: 'onnx on webgpu' });
  });

  it('goes on on the CPU when the card fails, and says so', async () => {
    vi.stubEnv('NODE_OPTIONS', `--import ${FAILING}`);
    // In the update of the second step: two trials of the rate and the first step came before.
    vi.stubEnv('FAILING_FEED', 'rate');
    vi.stubEnv('FAILING_AFTER', '3');
    const { problems, executor, steps = 0, taken } = await night('webgpu');
    expect(executor).toBe('onnx on cpu');
    expect(steps).toBeGreaterThan(1);
    expect(taken).toEqual(Array.from({ length: steps }, (_, i) => i + 1));
    expect(problems.join()).toMatch(/^The graphics card failed n0001-.* went on on the CPU/);
  });
});
