import { describe, expect, it } from 'vitest';
import { createPasteInput } from '../../src/cli/chat/terminal.ts';
import { fc } from '../property.ts';

const paste = (text: string): string => `\u001b[200~${text}\u001b[201~`;

/** What the line editor is given for these chunks of keys, and what it means. */
function typed(...chunks: string[]): { shown: string; meant: string } {
  const { stream, expand } = createPasteInput();
  for (const chunk of chunks) stream.write(chunk);
  const shown = String(stream.read() ?? '');
  return { shown, meant: expand(shown) };
}

describe('what is pasted', () => {
  it('stands in the line as it is when it is short, without the end of its line', () => {
    expect(typed('say ', paste('two words\r'), '!').shown).toBe('say two words!');
  });

  it('is one mark when it has many lines, and is sent with all of them', () => {
    const { shown, meant } = typed('see: ', paste('one\r\ntwo\rthree\n'), ' ok?');
    expect(shown).toBe('see: [pasted 1: 3 lines] ok?');
    expect(meant).toBe('see: one\ntwo\nthree ok?');
  });

  it('is one mark when it is long: a hundred thousand characters are not typed one by one', () => {
    const { shown, meant } = typed(paste('x'.repeat(100_000)));
    expect(shown).toBe('[pasted 1: 100000 characters]');
    expect(meant).toHaveLength(100_000);
  });

  it('presses no keys: control characters are taken out', () => {
    expect(typed(paste('a\u0003b\u001b[2Jc\u0004')).shown).toBe('ab[2Jc');
  });

  it('is given up with Ctrl-C when its end never comes', () => {
    expect(typed('\u001b[200~half', ' a paste', '\u0003', 'next').shown).toBe('\u0003next');
  });

  it('keeps several pastes apart', () => {
    const { meant } = typed(paste('a\nb'), ' and ', paste('c\nd'));
    expect(meant).toBe('a\nb and c\nd');
  });

  it('is the same however the terminal cuts it into chunks', () => {
    const whole = `before ${paste('line 1\nline 2')} \u001b[A after`;
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: whole.length - 1 })), (cuts) => {
        const at = [0, ...[...new Set(cuts)].sort((a, b) => a - b), whole.length];
        const chunks = at.slice(1).map((end, i) => whole.slice(at[i], end));
        // A lone escape at the end of a chunk is a key, as every terminal program has it.
        if (chunks.some((chunk) => chunk.endsWith('\u001b') || chunk.endsWith('\u001b['))) return;
        expect(typed(...chunks)).toEqual(typed(whole));
      }),
    );
  });
});

describe('what is typed', () => {
  it('passes at once, keys that begin with an escape too', () => {
    expect(typed('a').shown).toBe('a');
    expect(typed('\u001b').shown).toBe('\u001b');
    expect(typed('\u001b[').shown).toBe('\u001b[');
    expect(typed('\u001b[A').shown).toBe('\u001b[A');
    expect(typed('\u001b[20~').shown).toBe('\u001b[20~');
  });

  it('stays what it is when it looks like a mark that was never made', () => {
    expect(typed('[pasted 7: 3 lines]').meant).toBe('[pasted 7: 3 lines]');
  });
});
