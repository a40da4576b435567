// Words of a text, the ones that carry content, and where phrases stand; no judgement in here.

/** A word and the position of its first character. */
export interface Word {
  readonly text: string;
  readonly at: number;
}

// Function words and the small change of talk: they support nothing and betray nothing.
const STOP_WORDS = new Set(
  `a about after again ah all also alright am an and any anything are aren't as at away back be
  because been before being both but by can can't cannot could couldn't did didn't do does
  doesn't doing don't done each either else enough ever every for from further get gets
  getting give given go goes going gone got had hadn't has hasn't have haven't having he he'd
  he's her here here's hers hey hi him his how i i'd i'll i'm i've if in instead into is isn't
  it it'd it'll it's its itself just let let's like little made make makes making many may
  maybe me might more most much must my no none nor not nothing now of off oh ok okay on once
  one only onto or other our ours out over own please put quite rather really right said same
  say says see she she'd she's should shouldn't so some something soon still such sure take
  takes than thank thanks that that's the their theirs them then there there's these they
  they'd they'll they're they've thing things this those though through to too until up upon
  us very want wants was wasn't way we we'd we'll we're we've well were weren't what what's
  when where which while who whom why will with won't would wouldn't yeah yes yet you you'd
  you'll you're you've your yours yourself`.split(/\s+/),
);

/** All words in lower case; apostrophes stay inside a word. */
export function wordsOf(text: string): Word[] {
  const normal = text.replaceAll('’', "'").toLowerCase();
  return [...normal.matchAll(/[\p{L}\p{N}]+(?:'[\p{L}]+)*/gu)].map((match) => ({
    text: match[0],
    at: match.index,
  }));
}

/** Words that carry content, cut to a crude stem so that "tables" meets "table". */
export function contentWords(text: string): Word[] {
  return wordsOf(text)
    .filter((word) => !STOP_WORDS.has(word.text))
    .map((word) => ({ text: stem(word.text), at: word.at }));
}

/** A light stem: possessive, plural, -ing and -ed endings of longer words. */
export function stem(word: string): string {
  const bare = word.replace(/'s$/, '');
  if (bare.length > 5 && bare.endsWith('ing')) return undouble(bare.slice(0, -3));
  if (bare.length > 4 && bare.endsWith('ied')) return `${bare.slice(0, -3)}y`;
  if (bare.length > 4 && bare.endsWith('ed')) return undouble(bare.slice(0, -2));
  if (bare.length > 4 && bare.endsWith('ies')) return `${bare.slice(0, -3)}y`;
  if (bare.length > 4 && /(?:s|x|z|ch|sh)es$/.test(bare)) return bare.slice(0, -2);
  if (bare.length > 3 && bare.endsWith('s') && !bare.endsWith('ss'))
    return dropE(bare.slice(0, -1));
  return dropE(bare);
}

const undouble = (root: string): string => root.replace(/([bdgmnprt])\1$/, '$1');
const dropE = (root: string): string => (root.length > 3 ? root.replace(/e$/, '') : root);

/** Position of the first of `phrases` (whole words, any case), or −1. */
export function firstPhrase(text: string, phrases: readonly string[]): number {
  const joined = ` ${wordsOf(text)
    .map((word) => word.text)
    .join(' ')} `;
  const hits = phrases
    .map((phrase) => joined.indexOf(` ${normalPhrase(phrase)} `))
    .filter((index) => index >= 0);
  return hits.length === 0 ? -1 : Math.min(...hits);
}

export function hasPhrase(text: string, phrases: readonly string[]): boolean {
  return firstPhrase(text, phrases) >= 0;
}

function normalPhrase(phrase: string): string {
  return wordsOf(phrase)
    .map((word) => word.text)
    .join(' ');
}

/** Sentences, with their punctuation. */
export function sentencesOf(text: string): string[] {
  return (text.match(/[^.!?\n]+[.!?]*/g) ?? []).map((s) => s.trim()).filter((s) => /\w/.test(s));
}
