import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadNative } from '../../src/runtime/tensorflow-backend.ts';

describe('loading the C++ backend', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'attune-backend-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** A package that runs `code` when it is loaded. */
  const install = (name: string, code: string): void => {
    const place = join(folder, 'node_modules', name);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, 'index.js'), code);
  };
  const load = () => loadNative([join(folder, 'package.json')]);
  const refusal = (message: RegExp) =>
    expect.objectContaining({
      code: 'device-unavailable',
      message: expect.stringMatching(message),
    });

  it('says that nothing is installed, and what to run', () => {
    expect(load).toThrow(
      refusal(/^TensorFlow: neither @tensorflow\/tfjs-node-gpu nor .* `npm run setup:tensorflow/),
    );
  });

  it('prefers the package for GPUs', () => {
    install('@tensorflow/tfjs-node', '');
    install('@tensorflow/tfjs-node-gpu', '');
    expect(load()).toBe('@tensorflow/tfjs-node-gpu');
  });

  it('takes the other package when the one for GPUs does not load', () => {
    install('@tensorflow/tfjs-node-gpu', 'throw new Error("no binding")');
    install('@tensorflow/tfjs-node', '');
    expect(load()).toBe('@tensorflow/tfjs-node');
  });

  it('says why a package that is there does not load', () => {
    install('@tensorflow/tfjs-node-gpu', 'throw new Error("libcudart.so.12 is missing\\nmore")');
    expect(load).toThrow(
      refusal(/tfjs-node-gpu does not load: libcudart\.so\.12 is missing\. Run/),
    );
  });

  it('says which part of a package is missing', () => {
    install('@tensorflow/tfjs-node-gpu', 'require("./gone.js")');
    expect(load).toThrow(refusal(/does not load: Cannot find module '\.\/gone\.js'/));
  });

  it('looks in the second place when the first has nothing', () => {
    install('@tensorflow/tfjs-node-gpu', '');
    expect(loadNative(['/nowhere/package.json', join(folder, 'package.json')])).toContain('gpu');
  });

  it('gives back to the packages the functions that Node 23 removed', () => {
    install(
      '@tensorflow/tfjs-node-gpu',
      'const { isNullOrUndefined, isArray } = require("util");' +
        'if (!isNullOrUndefined(null) || isNullOrUndefined(0) || !isArray([])) throw new Error("no");',
    );
    expect(load()).toBe('@tensorflow/tfjs-node-gpu');
  });
});
