// One side of a shape: a whole number or a polynomial in named sizes, such as `length + past`.
// A symbolic dimension is its canonical text, so two dimensions are equal exactly when `===`.

/** A literal size, or the canonical text of a symbolic one ("batch*length", "length + past"). */
export type Dimension = number | string;

/** Sizes of the symbols of one run. */
export type Bindings = ReadonlyMap<string, number>;

/** Monomial (sorted symbols joined by `*`, '' for the constant) → coefficient ≥ 1. */
type Polynomial = Map<string, number>;

/** Every run asks for the same few texts again. Nobody changes what is in here. */
const parsed = new Map<string, Polynomial>();

function parse(dimension: Dimension): Polynomial {
  if (typeof dimension === 'number') return new Map(dimension === 0 ? [] : [['', dimension]]);
  const known = parsed.get(dimension);
  if (known !== undefined) return known;
  const polynomial: Polynomial = new Map();
  for (const term of dimension.split(' + ')) {
    const factors = term.split('*');
    const coefficient = /^\d+$/.test(factors[0] ?? '') ? Number(factors.shift()) : 1;
    const key = factors.sort().join('*');
    polynomial.set(key, (polynomial.get(key) ?? 0) + coefficient);
  }
  parsed.set(dimension, polynomial);
  return polynomial;
}

function print(polynomial: Polynomial): Dimension {
  const terms = [...polynomial].filter(([, coefficient]) => coefficient !== 0);
  if (terms.every(([key]) => key === '')) return terms[0]?.[1] ?? 0;
  return terms
    .sort(([a], [b]) => (a === '' ? 1 : b === '' ? -1 : a < b ? -1 : 1))
    .map(([key, n]) => (key === '' ? `${n}` : n === 1 ? key : `${n}*${key}`))
    .join(' + ');
}

/** `a + b + …` in canonical form; of one dimension, its canonical text. */
export function sum(...dimensions: readonly Dimension[]): Dimension {
  const total: Polynomial = new Map();
  for (const dimension of dimensions) {
    for (const [key, n] of parse(dimension)) total.set(key, (total.get(key) ?? 0) + n);
  }
  return print(total);
}

/** `a * b * …` in canonical form. */
export function product(...dimensions: readonly Dimension[]): Dimension {
  let total: Polynomial = new Map([['', 1]]);
  for (const dimension of dimensions) {
    const next: Polynomial = new Map();
    for (const [a, m] of total) {
      for (const [b, n] of parse(dimension)) {
        const key = [...a.split('*'), ...b.split('*')].filter(Boolean).sort().join('*');
        next.set(key, (next.get(key) ?? 0) + m * n);
      }
    }
    total = next;
  }
  return print(total);
}

/** The names a dimension is made of; empty for a literal. */
export function symbolsOf(dimension: Dimension): string[] {
  const names = [...parse(dimension).keys()].flatMap((key) => key.split('*'));
  return [...new Set(names.filter(Boolean))];
}

/** The terms of a dimension: coefficient and symbols of each, for encoders that must compute it. */
export function termsOf(dimension: Dimension): { coefficient: number; symbols: string[] }[] {
  return [...parse(dimension)].map(([key, coefficient]) => ({
    coefficient,
    symbols: key === '' ? [] : key.split('*'),
  }));
}

/** The value of a dimension once every symbol has a size. */
export function evaluate(dimension: Dimension, bindings: Bindings): number {
  if (typeof dimension === 'number') return dimension;
  let total = 0;
  for (const { coefficient, symbols } of termsOf(dimension)) {
    let value = coefficient;
    for (const name of symbols) {
      const size = bindings.get(name);
      if (size === undefined) throw new Error(`graph: no size for the symbol "${name}"`);
      value *= size;
    }
    total += value;
  }
  return total;
}
