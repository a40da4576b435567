import { describe, expect, it, vi } from 'vitest';
import { memoryGrowth } from './memory-growth.ts';

// A model replies a hundred times.
vi.setConfig({ testTimeout: 60_000 });

describe('memory', () => {
  it('is held by no buffer of a prompt that is over', async () => {
    const { buffers } = await memoryGrowth({ warm: 12, measured: 60 });
    // 60 caches of 72 tokens would take 3.3 MB beyond the budget.
    expect(buffers).toBeLessThan(1e6);
  }, 60_000);
});
