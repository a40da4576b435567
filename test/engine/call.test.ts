import { describe, expect, it } from 'vitest';
import type { DecodedToken } from '../../src/engine/engine.ts';
import { forwardCalls, performCall } from '../../src/engine/process/call.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';
import { request } from './tiny-engine.ts';

describe('a forwarded engine', () => {
  function forwarded(engine = new FakeEngine()) {
    return { engine, methods: forwardCalls((call) => performCall(engine, call)) };
  }

  it('gives what each method of the engine gives', async () => {
    const { engine, methods } = forwarded();
    expect(await methods.describe()).toEqual(await engine.describe());
    const scored = { sequences: [{ ids: [1, 2, 3], from: 1 }] };
    expect(await methods.score(scored)).toEqual(await engine.score(scored));
    const captured = { ids: [1, 2, 3], rows: [1, 2] };
    expect(await methods.capture(captured)).toEqual(await engine.capture(captured));
    await methods.loadVersion({ id: 'v1', deltas: [] });
    expect(await methods.switchVersion('v1')).toMatchObject({ from: 'v0', to: 'v1' });
    await methods.forget('talk');
    expect(engine.forgotten).toEqual(['talk']);
  });

  it('reports tokens of a reply and passes its abort on', async () => {
    const { methods } = forwarded();
    const tokens: DecodedToken[] = [];
    const controller = new AbortController();
    const result = await methods.generate(
      request([1, 2], { replyTokensMax: 20 }),
      (token) => {
        if (tokens.push(token) === 3) controller.abort();
      },
      controller.signal,
    );
    expect(result.stopReason).toBe('aborted');
    expect(tokens.map(({ id }) => id)).toEqual(result.ids);
  });

  it('rejects with what the engine rejects with', async () => {
    const { engine, methods } = forwarded();
    engine.die();
    await expect(methods.describe()).rejects.toMatchObject({ code: 'engine-failed' });
  });
});
