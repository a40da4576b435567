import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { warmUpScoring } from '../../src/engine/score.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';

class CountingEngine extends FakeEngine {
  scored = 0;
  override score(...[request]: Parameters<FakeEngine['score']>): Promise<Float32Array[]> {
    this.scored += 1;
    return super.score(request);
  }
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('warming up', () => {
  it('happens once, and not before its time', () => {
    const engine = new CountingEngine();
    warmUpScoring(engine, { isBusy: () => false, afterMs: 100 });
    vi.advanceTimersByTime(99);
    expect(engine.scored).toBe(0);
    vi.advanceTimersByTime(1000);
    expect(engine.scored).toBe(1);
  });

  it('waits as long as somebody is answered', () => {
    let isBusy = true;
    const engine = new CountingEngine();
    warmUpScoring(engine, { isBusy: () => isBusy, afterMs: 100 });
    vi.advanceTimersByTime(550);
    expect(engine.scored).toBe(0);
    isBusy = false;
    vi.advanceTimersByTime(50);
    expect(engine.scored).toBe(1);
  });
});
