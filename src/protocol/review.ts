// A night's dreams as a person looks through them, and what may be changed; shared with the page.
import { z } from 'zod';
import { Id } from './conversation.ts';
import { DreamView } from './summary.ts';

export const ReviewedDream = z.object({
  ...DreamView.shape,
  /** Place in the list, from 1: for those who type. */
  number: z.number().int(),
  /** The other side of a pair has the same; they are dropped together. */
  pairId: z.string().nullable(),
  isDropped: z.boolean(),
  /** `chosen` is the person's own. */
  isReworded: z.boolean(),
});
export type ReviewedDream = z.infer<typeof ReviewedDream>;

/** `GET /api/nights/:id/review` */
export const ReviewView = z.object({
  nightId: Id,
  /** False: it was decided already, or it learnt nothing. */
  canChange: z.boolean(),
  dreams: z.array(ReviewedDream),
  /** Dreams that were dropped or reworded; `POST /api/nights/:id/retrain` trains without them. */
  changes: z.number().int(),
});
export type ReviewView = z.infer<typeof ReviewView>;

/** `POST /api/nights/:id/review`: one change to one dream. */
export const ReviewRequest = z.strictObject({
  dreamId: z.string().min(1).max(200),
  isDropped: z.boolean().optional(),
  /** The words of a listening reply; null: as the night had them. */
  chosen: z.string().min(1).max(4000).nullable().optional(),
});
export type ReviewRequest = z.infer<typeof ReviewRequest>;
