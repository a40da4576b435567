// Named numbers at the foot of a summary, read from what the phases left.
import { type JournalLine, resultOf } from '../record/journal.ts';
import { gatheredSchema, type NightMeasures, trainedSchema } from '../record/phase-result.ts';

export function factsOf(
  lines: readonly JournalLine[],
  measured: NightMeasures | undefined,
): Record<string, number> {
  const trained = trainedSchema.safeParse(resultOf(lines, 'train')).data;
  const gathered = gatheredSchema.safeParse(resultOf(lines, 'gather')).data;
  const facts: Record<string, number> = {};
  if (gathered !== undefined && gathered.replies > 0) {
    facts.flagsPer100 = (100 * gathered.flagsNew) / gathered.replies;
  }
  if (trained !== undefined) {
    facts['training seconds'] = trained.seconds;
    facts['tokens a second'] = trained.seconds === 0 ? 0 : trained.tokens / trained.seconds;
    facts['memory bytes'] = trained.memoryBytes;
    if (trained.deafRelativeNorm !== null) facts['W_q moved, deaf arm'] = trained.deafRelativeNorm;
  }
  if (measured !== undefined) {
    const { retention, trainedKl, defenceGap } = measured.measures;
    facts['everyday KL, nats a token'] = retention.parent.kl;
    if (trainedKl !== undefined) facts["KL on the night's own inputs"] = trainedKl;
    facts['defence gap before'] = defenceGap.before;
    facts['defence gap after'] = defenceGap.after;
  }
  return facts;
}
