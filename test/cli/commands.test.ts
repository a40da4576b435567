import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AttuneError } from '../../src/base/errors.ts';
import { diagnosisOf, examineApart, print } from '../../src/cli/model/doctor.ts';
import { type Examination, examine } from '../../src/cli/model/examination.ts';
import { reportError } from '../../src/cli/report.ts';
import { readModel } from '../../src/model/model.ts';
import { TINY } from '../engine/tiny-engine.ts';
import { writeRandomModel } from '../model/random-model.ts';

// Each test runs the program in a process of its own.
vi.setConfig({ testTimeout: 60_000 });

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let folder: string;
let modelDir: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-cli-'));
  modelDir = await writeRandomModel(join(folder, 'tiny'), { ...TINY, vocabularySize: 4096 });
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
    await copyFile(join('models/companion', name), join(modelDir, name));
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function attune(...args: string[]): Promise<Ended> {
  const env = { ...process.env, ATTUNE_STORE: join(folder, 'store') };
  return new Promise((resolve) => {
    execFile(process.execPath, ['dist/cli/main.js', ...args], { env }, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code);
      resolve({ code, stdout, stderr });
    });
  });
}

describe.skipIf(process.platform === 'win32')('what was built (needs a POSIX system)', () => {
  it('can be run by its name, also after a build from nothing', async () => {
    expect((await stat('dist/cli/main.js')).mode & 0o111).toBe(0o111);
  });
});

describe('attune doctor', () => {
  it('ends with 1 and a sentence with a code when there is no model', async () => {
    const ended = await attune('doctor', '--model', join(folder, 'none'));
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toMatch(/^attune: .*\(model-not-found\)\n$/);
  });

  const cpu: Examination = {
    what: 'onnx cpu',
    isPresent: true,
    description: 'onnxruntime-node 1',
    selfTestError: 0,
    passesSelfTest: true,
    decodeTokensPerSecond: 100,
    trainStepMs: 50,
  };
  const wrong: Examination = {
    ...cpu,
    what: 'onnx webgpu',
    selfTestError: 2,
    passesSelfTest: false,
    trainStepMs: 1,
  };
  const tensorflow: Examination = { ...cpu, what: 'tensorflow', trainStepMs: 30 };
  const absent: Examination = { what: 'onnx cuda', isPresent: false, reason: 'no driver' };

  it('chooses the fastest of those that agree with the CPU', () => {
    const { decodeTokensPerSecond: _, ...learner } = tensorflow;
    const diagnosis = diagnosisOf('m', [cpu, wrong, absent, learner]);
    expect(diagnosis.trainsFastest).toBe('tensorflow');
    expect(diagnosis.servesFastest).toBe('onnx cpu');
    expect(diagnosisOf('m', [absent]).trainsFastest).toBeNull();
  });

  it('says what is there, what disagrees, and why the rest is not there', () => {
    const text = print(diagnosisOf('m', [cpu, wrong, absent]));
    expect(text).toContain('onnx cpu: onnxruntime-node 1; agrees with the CPU');
    expect(text).toContain('DISAGREES');
    expect(text).toContain('onnx cuda: unverified; not available: no driver');
  });

  it('says what chat and nights use and why, after a card that the system shows', () => {
    const description = 'Chat runs on onnx cpu (asked for)';
    const chosen: Examination = { what: 'choice', isPresent: true, description };
    const cards = [{ name: 'A card', driver: 'nvidia 1', memoryBytes: 8e9 }];
    const text = print(diagnosisOf('m', [cpu, chosen], cards));
    expect(text).toContain('Graphics card: A card, driver nvidia 1, ');
    expect(text.trim().split('\n').at(-1)).toBe(description);
    expect(text).not.toContain('choice:');
  });

  // Four programs of a training and a serving engine each.
  it.each(['none', 4] as const)(
    'measures the CPU on a model quantised to %s',
    {
      timeout: 120_000,
    },
    async (quantize) => {
      const cacheDir = join(folder, `examined-${quantize}`);
      await readModel(modelDir, { cacheDir, quantize });
      const found = await examine({
        ...{ what: 'onnx cpu', chat: 'cpu', nights: 'cpu', modelDir, cacheDir, threads: 1 },
      });
      expect(found).toMatchObject({ isPresent: true, passesSelfTest: true });
      expect(found.reason).toBeUndefined();
      expect(found.decodeTokensPerSecond).toBeGreaterThan(0);
      expect(found.trainStepMs).toBeGreaterThan(0);
      const { mean = 0, worst = 0 } = found.pathDifference ?? {};
      expect([mean > 0, worst >= mean, worst < 1]).toEqual([quantize === 4, true, true]);
    },
  );

  it('survives an examination that ends its process', async () => {
    const entry = join(folder, 'dies.cjs');
    await writeFile(entry, "process.once('message', () => process.kill(process.pid, 'SIGSEGV'))");
    const devices = { chat: 'cpu', nights: 'cpu' } as const;
    const places = { modelDir, cacheDir: folder, threads: 1 };
    const request = { what: 'onnx webgpu', ...devices, ...places } as const;
    expect(await examineApart(request, entry)).toMatchObject({
      isPresent: false,
      reason: expect.stringContaining('SIGSEGV'),
    });
  });
});

describe('an error at the end of a command', () => {
  const said: string[] = [];
  const output = { write: (text: string) => said.push(text) };

  it('is one sentence with its code, or a bug with its stack', () => {
    expect(reportError(new AttuneError('store-locked', 'locked'), output)).toBe(1);
    expect(reportError(new TypeError('oops'), output)).toBe(70);
    expect(reportError('text', output)).toBe(70);
    expect(said[0]).toBe('attune: locked (store-locked)\n');
    expect(said[1]).toMatch(/bug in Attune[\s\S]*TypeError: oops/);
  });

  it('takes over no terminal with what a model folder says', () => {
    const message = 'The template says \u001b]0;pwned\u0007\u001b[2J.';
    reportError(new AttuneError('template-failed', message), output);
    expect(said.at(-1)).toBe('attune: The template says ]0;pwned[2J. (template-failed)\n');
  });
});
