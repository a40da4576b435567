import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { warmUpWhenIdle } from '../../src/engine/process/warm-up.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('warming up', () => {
  it('happens once, and not before its time', () => {
    const warmUp = vi.fn();
    warmUpWhenIdle({ isBusy: () => false, warmUp, afterMs: 100 });
    vi.advanceTimersByTime(99);
    expect(warmUp).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1000);
    expect(warmUp).toHaveBeenCalledTimes(1);
  });

  it('waits as long as somebody is answered', () => {
    let isBusy = true;
    const warmUp = vi.fn();
    warmUpWhenIdle({ isBusy: () => isBusy, warmUp, afterMs: 100 });
    vi.advanceTimersByTime(550);
    expect(warmUp).not.toHaveBeenCalled();
    isBusy = false;
    vi.advanceTimersByTime(50);
    expect(warmUp).toHaveBeenCalledTimes(1);
  });
});
