// Samples of a night for its summary: a few dreams of each kind, the loss of each step.
import { join } from 'node:path';
import { z } from 'zod';
import { parsedJson, readTextBounded } from '../base/atomic-file.ts';
import type { Folder } from '../base/file-ops.ts';
import type { Draft } from '../dream/draft.ts';
import type { DreamView } from '../protocol/summary.ts';
import { FILE, readDrafts, readScenarioFile } from '../record/files.ts';
import type { Scenario } from '../scenario/scenario.ts';

const SAMPLES_MAX = 12;

/** The KL to the teacher; in earlier nights the loss of a preference. */
const stepSchema = z.union([
  z
    .object({ step: z.int(), teacherKl: z.number() })
    .transform(({ step, teacherKl }) => ({ step, loss: teacherKl })),
  z
    .object({ step: z.int(), terms: z.object({ loss: z.number() }) })
    .transform(({ step, terms }) => ({ step, loss: terms.loss })),
]);

/** Step and loss, each step once: a resumed training writes its last steps again. */
export async function readLosses({ path, ops }: Folder): Promise<{ step: number; loss: number }[]> {
  const text = (await readTextBounded(join(path, FILE.steps), { ops })) ?? '';
  const losses = new Map<number, number>();
  for (const line of text.split('\n')) {
    // A process that was killed while it wrote leaves half a line.
    const parsed = stepSchema.safeParse(parsedJson(line)).data;
    if (parsed !== undefined) losses.set(parsed.step, parsed.loss);
  }
  return [...losses].map(([step, loss]) => ({ step, loss }));
}

/** The first admitted dreams of each kind, as they trained. */
export async function readSamples(folder: Folder): Promise<DreamView[]> {
  const scenarios = await readScenarioFile(folder, 'scenarios');
  const dreams = scenarios.filter(({ source }) => source.origin === 'dream');
  const perKind = new Map<string, number>();
  const samples = dreams.filter(({ kind }) => {
    perKind.set(kind, (perKind.get(kind) ?? 0) + 1);
    return (perKind.get(kind) ?? 0) <= 2;
  });
  const drafts = new Map((await readDrafts(folder)).map((draft) => [draft.id, draft]));
  return samples.slice(0, SAMPLES_MAX).map((dream) => dreamView(dream, drafts.get(dream.id)));
}

/** A dream as a person reads it. */
export function dreamView(dream: Scenario, draft: Draft | undefined): DreamView {
  const { id, kind, messages, spans, chosen, rejected = null } = dream;
  const sampledShare = draft?.sampledShare ?? null;
  return { id, kind, turns: [...messages], spans: [...spans], chosen, rejected, sampledShare };
}
