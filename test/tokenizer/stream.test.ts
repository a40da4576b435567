import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { fc } from '../property.ts';

const FOLDER = join(import.meta.dirname, '../fixtures/tokenizer');

describe.each(['chatml', 'headers', 'inst', 'inst-always'])('the %s tokenizer', async (name) => {
  const tokenizer = await loadTokenizer(join(FOLDER, name));
  const isNormalizing = name === 'chatml';
  const id = fc.integer({ min: 0, max: tokenizer.vocabularySize + 3 });

  it('gives any text back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), (text) => {
        // SentencePiece cannot tell a blank that begins a text from the one that it puts there.
        if (name.startsWith('inst') && text.startsWith(' ')) return;
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(
          isNormalizing ? text.normalize('NFC') : text,
        );
      }),
      { numRuns: 200 },
    );
  });

  it('streams the same text as it decodes at once, whatever the tokens', () => {
    fc.assert(
      fc.property(fc.array(id, { maxLength: 40 }), (ids) => {
        const decoder = tokenizer.createStreamDecoder();
        const parts = ids.map((one) => decoder.push(one));
        parts.push(decoder.end());
        expect(parts.join('')).toBe(tokenizer.decode(ids));
        for (const part of parts) expect(part).not.toMatch(/\p{Surrogate}/u);
      }),
      { numRuns: 200 },
    );
  });

  it('holds a character back until it is whole', () => {
    const decoder = tokenizer.createStreamDecoder();
    const parts = tokenizer.encode('🦙').map((one) => decoder.push(one));
    expect(parts.filter((part) => part !== '')).toEqual(['🦙']);
    const [first = 0] = tokenizer
      .encode('🦙')
      .filter((one) => tokenizer.tokenText(one) === '\ufffd');
    expect(tokenizer.decode([first])).toBe('\ufffd');
  });

  it('leaves control tokens out of the text and ends broken characters at them', () => {
    const [control = 0] = tokenizer.controlIds;
    expect(tokenizer.decode([control])).toBe('');
    const hello = tokenizer.encode('Hello');
    expect(tokenizer.decode([control, ...hello, control])).toBe('Hello');
  });

  it('takes ids that it does not know for nothing', () => {
    expect(tokenizer.decode([1e9, -1])).toBe('');
    expect(tokenizer.tokenText(1e9)).toBe('');
  });
});
