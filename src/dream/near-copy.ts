// How much two texts share: the part of their word triples that both have. No model, no judgement.

const WORDS = 3;

/** The word triples of a text; a shorter text is one. */
export function shingles(text: string): ReadonlySet<string> {
  const words = text.toLowerCase().match(/[\p{L}\p{N}']+/gu) ?? [];
  if (words.length <= WORDS) return new Set([words.join(' ')]);
  const count = words.length - WORDS + 1;
  return new Set(
    Array.from({ length: count }, (_, index) => words.slice(index, index + WORDS).join(' ')),
  );
}

/** Common triples as a share of the smaller text's: a part of a longer text is a copy, too. */
export function overlap(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  const [small, large] = a.size <= b.size ? [a, b] : [b, a];
  let common = 0;
  for (const shingle of small) if (large.has(shingle)) common += 1;
  return small.size === 0 ? 0 : common / small.size;
}

export function isNearCopy(
  a: ReadonlySet<string>,
  b: ReadonlySet<string>,
  overlapMax: number,
): boolean {
  return overlap(a, b) > overlapMax;
}

/** Word triples of several texts, to ask whether another is a near-copy of any of them. */
export function createCopyCheck(
  texts: readonly string[],
  overlapMax: number,
): (text: string) => boolean {
  const all = texts.map(shingles);
  return (text) => {
    const own = shingles(text);
    return all.some((other) => isNearCopy(own, other, overlapMax));
  };
}
