// What is remembered, as the command line and a page are shown it.
import { z } from 'zod';

export const MemoryView = z.object({
  kept: z.array(
    z.object({
      conversationId: z.string(),
      restedAt: z.number(),
      /** Now, after fading, and when the conversation rested; 0 … 1. */
      salience: z.number(),
      salienceAtRest: z.number(),
      /** Why: the named inputs, each 0 … 1. */
      inputs: z.record(z.string(), z.number()),
      items: z.array(z.object({ kind: z.string(), text: z.string() })),
    }),
  ),
  /** What was forgotten: no words of it are left. */
  forgotten: z.array(
    z.object({ conversationId: z.string(), forgottenAt: z.number(), reason: z.string() }),
  ),
});
export type MemoryView = z.infer<typeof MemoryView>;
