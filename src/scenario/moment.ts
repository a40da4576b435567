// A flagged moment as a night's folder keeps it, and what is drawn by hash: the same every night.
import { z } from 'zod';
import { sha256 } from '../base/hash.ts';
import { parseScenario, type Scenario, writtenScenarioSchema } from './scenario.ts';
import { spanSchema } from './span.ts';

/** The moment itself; its candidates are apart, for a listening reply may still be to be found. */
const contextSchema = writtenScenarioSchema
  .pick({ id: true, kind: true, messages: true, source: true, rendering: true })
  .extend({
    spans: z.array(spanSchema.extend({ feature: z.enum(['direction', 'own-idea']) })),
  });

export const flaggedMomentSchema = z.strictObject({
  flagId: z.string(),
  strength: z.int(),
  /** It measures and never trains. */
  isHeldBack: z.boolean(),
  kind: z.enum(['missed', 'good']),
  /** When the flag was last changed, as it was gathered, ms since 1970. Absent in earlier nights. */
  updatedAt: z.int().optional(),
  context: contextSchema,
  /** What the person said a listening reply would have been. */
  chosen: z.string().optional(),
  /** Why the reply missed it, in the person's words. */
  reason: z.string().optional(),
  /** What was really said. */
  rejected: z.string().optional(),
});
/** A flagged moment as it is stored in the night's folder. */
export type FlaggedMoment = z.infer<typeof flaggedMomentSchema>;

/** By the hash of the id: the same flag is held back every night, whatever else there is. */
export function isDrawn(id: string, oneIn: number): boolean {
  return Number.parseInt(sha256(id).slice(0, 8), 16) % oneIn === 0;
}

/** True: a conversation's everyday turns measure forgetting; false: they are replayed in training. */
export function measuresForgetting({ source }: Scenario): boolean {
  return isDrawn(`everyday:${source.cluster}`, 2);
}

/** A moment as an example; undefined while it has no listening reply. */
export function scenarioOf(moment: FlaggedMoment): Scenario | undefined {
  const { context, chosen, rejected } = moment;
  return chosen === undefined ? undefined : parseScenario({ ...context, chosen, rejected });
}
