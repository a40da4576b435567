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
        /** log p of ids[from], ids[from + 1], … given all before, in f32. */
        logprobs: z.array(z.number()),
        /** The same on a quantised model as it serves; absent where it was not quantised. */
        served: z.array(z.number()).optional(),
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

/** Like with like: cut into the same runs, a quantised model gives the same bits again. */
function scoreProbe(
  engine: Engine,
  { sequences }: Probe,
  version: string,
): Promise<readonly Float32Array[]> {
  const asked = sequences.map(({ ids, from }) => ({ ids, from }));
  return engine.score({ sequences: asked, version, unitTokensMax: UNIT_TOKENS_MAX });
}

/** The probe with what the engine says of it, where that serves a quantised model. */
export async function withServed(engine: Engine, probe: Probe, version: string): Promise<Probe> {
  if (!(await engine.describe()).isQuantised) return probe;
  const scores = await scoreProbe(engine, probe, version);
  const sequences = probe.sequences.map((one, i) => ({ ...one, served: [...(scores[i] ?? [])] }));
  return { ...probe, sequences };
}

/**
 * Scores the probe's tokens under `version` and compares; a NaN never passes. Null where the engine
 * serves a quantised model and the probe was made on none.
 */
export async function runProbe(
  engine: Engine,
  probe: Probe,
  version: string,
): Promise<ProbeResult | null> {
  const { isQuantised } = await engine.describe();
  if (isQuantised && probe.sequences.some(({ served }) => served === undefined)) return null;
  const scores = await scoreProbe(engine, probe, version);
  let worstNats = 0;
  let tokens = 0;
  for (const [index, sequence] of probe.sequences.entries()) {
    const { logprobs, served } = sequence;
    for (const [i, expected] of (isQuantised ? served : logprobs)?.entries() ?? []) {
      const difference = Math.abs((scores[index]?.[i] ?? Number.NaN) - expected);
      if (!(difference <= worstNats)) worstNats = difference;
      tokens += 1;
    }
  }
  return { tokens, worstNats, passes: worstNats <= probe.toleranceNats };
}
