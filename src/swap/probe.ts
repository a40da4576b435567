// The probe: what the trainer's weights said about a few token sequences, so that a swap can tell
// whether the engine runs the very same weights.
import { z } from 'zod';
import type { Engine } from '../engine/engine.ts';

export const PROBE = 'probe.json';

export const probeSchema = z.strictObject({
  schema: z.literal(1),
  /** The version whose log-probabilities these are. */
  version: z.string().min(1),
  /** Largest difference that counts as the same, in nats: executors round differently. */
  toleranceNats: z.number().gt(0),
  sequences: z
    .array(
      z.strictObject({
        ids: z.array(z.int().min(0)).min(2),
        from: z.int().min(1),
        /** log p of ids[from], ids[from + 1], … given all before. */
        logprobs: z.array(z.number()),
      }),
    )
    .min(1)
    .max(64),
});
export type Probe = z.infer<typeof probeSchema>;

/** So few that a reply under way hardly waits for a run of the probe. */
const UNIT_TOKENS_MAX = 16;

export interface ProbeResult {
  readonly tokens: number;
  /** Largest absolute difference, in nats. */
  readonly worstNats: number;
  readonly passes: boolean;
}

/** Scores the probe's tokens under `version` and compares; a NaN never passes. */
export async function runProbe(
  engine: Engine,
  probe: Probe,
  version: string,
): Promise<ProbeResult> {
  const sequences = probe.sequences.map(({ ids, from }) => ({ ids, from }));
  const scores = await engine.score({ sequences, version, unitTokensMax: UNIT_TOKENS_MAX });
  let worstNats = 0;
  let tokens = 0;
  for (const [index, sequence] of probe.sequences.entries()) {
    for (const [i, expected] of sequence.logprobs.entries()) {
      const difference = Math.abs((scores[index]?.[i] ?? Number.NaN) - expected);
      if (!(difference <= worstNats)) worstNats = difference;
      tokens += 1;
    }
  }
  return { tokens, worstNats, passes: worstNats <= probe.toleranceNats };
}
