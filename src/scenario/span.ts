// Marked spans of a conversation: what each marks, the words it holds, where quoted words are.
import { z } from 'zod';
import { AttuneError } from '../base/errors.ts';

/** What a marked span of the context is. */
export const FEATURES = [
  'direction',
  'own-idea',
  'technical',
  'emotion',
  'momentum',
  'absence',
] as const;
export type Feature = (typeof FEATURES)[number];

/** Characters `[start, end)` (UTF-16 units) of `messages[message].content`. */
export const spanSchema = z.strictObject({
  feature: z.enum(FEATURES),
  message: z.int().min(0),
  start: z.int().min(0),
  end: z.int().min(0),
});
export type Span = Readonly<z.infer<typeof spanSchema>>;

/** What spans are marked in. */
export interface Marked {
  readonly messages: readonly { readonly content: string }[];
  readonly spans: readonly Span[];
}

/** The words of a span. */
export function spanText({ messages }: Pick<Marked, 'messages'>, span: Span): string {
  return messages[span.message]?.content.slice(span.start, span.end) ?? '';
}

/** Words of all spans of a feature, in order. */
export function featureText(marked: Marked, feature: Feature): string[] {
  return marked.spans.filter((s) => s.feature === feature).map((s) => spanText(marked, s));
}

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
