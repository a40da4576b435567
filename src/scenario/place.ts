// Finding quoted words in a message: exactly once, or not at all.
import { AttuneError } from '../base/errors.ts';

/** Where `quote` stands in `content`. @throws scenario-invalid unless it occurs exactly once. */
export function placeQuote(
  quote: string,
  content: string,
  where = 'scenario',
): { start: number; end: number } {
  const start = content.indexOf(quote);
  if (start < 0) {
    throw new AttuneError('scenario-invalid', `${where}: "${quote}" does not occur`, { where });
  }
  if (content.indexOf(quote, start + 1) >= 0) {
    const message = `${where}: "${quote}" occurs more than once; quote more words`;
    throw new AttuneError('scenario-invalid', message, { where });
  }
  return { start, end: start + quote.length };
}
