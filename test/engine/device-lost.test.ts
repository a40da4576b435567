// A graphics card that fails in the middle of a reply: the engine goes on on the CPU, and says so.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { openEngineProcess } from '../../src/engine/process/client.ts';
import { superviseEngine } from '../../src/engine/process/supervise.ts';
import { whyNoWebGpu } from '../runtime/swiftshader.ts';
import {
  generate,
  openEngine,
  request,
  someIds,
  temporaryFolder,
  tinyModel,
} from './tiny-engine.ts';

const FAILING = new URL('../fixtures/process/failing-card.mjs', import.meta.url);

const unavailable = await whyNoWebGpu();
const title = `an engine on a card${unavailable === undefined ? '' : ` (${unavailable})`}`;

afterEach(() => {
  vi.unstubAllEnvs();
});

describe.skipIf(unavailable !== undefined)(title, () => {
  // Software compiles shaders for minutes where other tests want the processor too.
  it('ends a reply as interrupted when it fails, and serves on from the CPU', {
    timeout: 600_000,
  }, async () => {
    const modelDir = await tinyModel({ layers: 1 });
    const options = { modelDir, cacheDir: await temporaryFolder(), threads: 1 };
    vi.stubEnv('NODE_OPTIONS', `--import ${FAILING}`);
    vi.stubEnv('FAILING_AFTER', '30');
    const engine = await superviseEngine({
      restartsMax: 3,
      open: (_, lost) =>
        openEngineProcess(
          lost === undefined
            ? { ...options, device: 'webgpu' }
            : { ...options, device: 'cpu', notices: [lost] },
        ),
    });
    try {
      expect(await engine.describe()).toMatchObject({ device: 'webgpu', notices: [] });
      const tokens: number[] = [];
      const asked = request(someIds(10), { replyTokensMax: 100 });
      await expect(engine.generate(asked, ({ id }) => tokens.push(id))).rejects.toMatchObject({
        code: 'engine-failed',
        facts: { interrupted: true, device: 'webgpu' },
      });
      const whole = await generate(await openEngine(modelDir), asked);
      expect(tokens.length).toBeGreaterThan(2);
      expect(whole.ids.slice(0, tokens.length)).toEqual(tokens);
      expect((await generate(engine, asked)).ids).toEqual(whole.ids);
      const { device, notices } = await engine.describe();
      expect(device).toBe('cpu');
      expect(notices.join()).toMatch(
        /^The graphics card failed \(.+\)\. Replies come from the CPU/,
      );
    } finally {
      await engine.close();
    }
  });
});
