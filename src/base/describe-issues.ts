// Says in one line what a zod schema found wrong.
import type { z } from 'zod';

const ISSUES_SHOWN_MAX = 3;

/** First problems of a zod error as one line: `flag.strength: too big; text: expected string`. */
export function describeIssues(error: z.ZodError): string {
  const shown = error.issues.slice(0, ISSUES_SHOWN_MAX).map((issue) => {
    const path = issue.path.map(String).join('.');
    const place = path === '' ? 'the message' : path.slice(0, 100);
    return `${place}: ${issue.message.slice(0, 200)}`;
  });
  const more = error.issues.length - shown.length;
  return shown.join('; ') + (more > 0 ? `; and ${more} more` : '');
}
