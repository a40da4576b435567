// Contents whose marks and ends are found in one pass. The bounds are several times what that takes
// on a busy machine, and a part of what a pass for every character takes.
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';

// Contents of 200,000 characters are placed.
vi.setConfig({ testTimeout: 60_000 });

const tokenizer = await loadTokenizer(join(import.meta.dirname, '../fixtures/tokenizer/chatml'));

function render(content: string) {
  const begunAt = performance.now();
  const chat = tokenizer.renderChat([{ role: 'user', content }], { addGenerationPrompt: true });
  return { chat, tookMs: performance.now() - begunAt };
}

describe('a content that spells control tokens', () => {
  it('is cut at each of them in one pass, 60,000 of them as well', async () => {
    const inst = await loadTokenizer(join(import.meta.dirname, '../fixtures/tokenizer/inst'));
    const begunAt = performance.now();
    const ids = inst.encode('</s>'.repeat(60_000));
    expect(performance.now() - begunAt).toBeLessThan(10_000);
    expect(ids.filter((id) => inst.controlIds.has(id))).toEqual([]);
    expect(inst.decode(ids)).toBe('</s>'.repeat(60_000));
  });
});

describe('a long content is placed in time that grows with its length', () => {
  it('also when it is 200,000 newlines and a letter', () => {
    const { chat, tookMs } = render(`${'\n'.repeat(200_000)}x`);
    const [from, to] = chat.spanToTokens(0, 200_000, 200_001);
    expect(tokenizer.decode(chat.ids.slice(from, to))).toContain('x');
    expect(tookMs).toBeLessThan(10_000);
  });

  it('also when it is 60,000 characters for private use', () => {
    const text = Array.from({ length: 60_000 }, (_, i) => String.fromCodePoint(0xf0000 + i)).join(
      '',
    );
    const { chat, tookMs } = render(text);
    expect(tokenizer.decode(chat.ids)).toContain(text);
    expect(tookMs).toBeLessThan(10_000);
  });
});
