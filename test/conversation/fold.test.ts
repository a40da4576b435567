import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findFolded, fold } from '../../src/conversation/fold.ts';

const found = (text: string, query: string): string | undefined => {
  const place = findFolded(text, fold(query));
  return place && text.slice(place.start, place.end);
};

describe('a folded text', () => {
  it.each([
    ['A walk to łąka', 'łąka'.normalize('NFD')],
    ['A walk to łąka'.normalize('NFD'), 'łąka'],
    ['서울에서 한국어로'.normalize('NFD'), '한국어'],
    ['the ＡＢＣ of it', 'abc'],
    ['two cafés', 'cafe'],
    ['two cafe', 'café'],
    ['a lamp\n  and a chair', 'lamp and'],
    ['a lamp and a chair', 'lamp   and'],
    ['STRASSE', 'straße'],
    ['ὈΔΟΣ', 'οδος'],
    ['für 東京で', '東京'],
  ])('of %j has %j in it', (text, query) => {
    expect(found(text, query)).toBeDefined();
  });

  it('tells where in the text as it is', () => {
    expect(found('two cafe\u0301s and more', 'CAFÉS')).toBe('cafe\u0301s');
    expect(found('𝒂𝒃𝒄 a  b', 'a b')).toBe('a  b');
    expect(found('ﬁne', 'fi')).toBe('ﬁ');
    expect(found('Das Maß ist voll', 'mass')).toBe('Maß');
  });

  it('finds each part of any text', () => {
    const texts = fc.tuple(fc.string(), fc.string({ unit: 'grapheme', minLength: 1 }), fc.string());
    fc.assert(
      fc.property(texts, ([before, middle, after]) => {
        const text = `${before} ${middle} ${after}`;
        const place = findFolded(text, fold(middle).trim());
        if (fold(middle).trim() === '') return place === undefined;
        return (
          place !== undefined &&
          fold(text.slice(place.start, place.end)).includes(fold(middle).trim())
        );
      }),
    );
  });

  it('has nothing in it that is not there', () => {
    expect(found('か', 'が')).toBeUndefined();
    expect(found('lampand', 'lamp and')).toBeUndefined();
    expect(findFolded('anything', '')).toBeUndefined();
  });
});
