// The journal of a night: one durable line when a phase ends. A killed night reads it and goes on
// with the first phase that has no line. It knows names and results, not what phases do.
import { join } from 'node:path';
import { z } from 'zod';
import { openAppendFile } from '../base/append-file.ts';
import type { Clock } from '../base/clock.ts';
import { AttuneError } from '../base/errors.ts';
import type { Folder } from '../base/file-ops.ts';
import { JOURNAL } from '../ledger/ledger.ts';
import { NightPhase } from '../protocol/night.ts';

/** In the order in which a night goes through them. */
export const PHASES = NightPhase.options;
export type PhaseName = NightPhase;

const lineSchema = z.strictObject({
  phase: z.enum(PHASES),
  at: z.iso.datetime(),
  ms: z.number().min(0),
  result: z.unknown(),
});
export type JournalLine = z.infer<typeof lineSchema>;

export interface Journal {
  /** Lines so far, in order. */
  readonly lines: readonly JournalLine[];
  /**
   * The recorded result of a phase that ended before, else runs it and records its result. The
   * line is on disk when this resolves; a phase that was cut off runs again, so phases begin by
   * looking at what their own files already hold.
   * @throws night-failed when the recorded result is not of the phase's schema
   */
  phase<T>(name: PhaseName, schema: z.ZodType<T>, run: () => Promise<T>): Promise<T>;
  has(name: PhaseName): boolean;
  close(): Promise<void>;
}

/** Opens the journal in a night's folder. A torn last line is cut off: its phase runs again. */
export async function openJournal({ path, ops }: Folder, clock: Clock): Promise<Journal> {
  const lines: JournalLine[] = [];
  const file = await openAppendFile(join(path, JOURNAL), {
    ops,
    isSound: (record) => lineSchema.safeParse(record).success,
    onRecord: (record) => lines.push(lineSchema.parse(record)),
  });
  const find = (name: PhaseName): JournalLine | undefined =>
    lines.find((line) => line.phase === name);
  return {
    lines,
    async phase(name, schema, run) {
      const recorded = find(name);
      if (recorded !== undefined) return readResult(name, schema, recorded.result);
      const start = clock.monotonicMs();
      const result = await run();
      const ms = Math.max(0, clock.monotonicMs() - start);
      const line: JournalLine = {
        phase: name,
        at: new Date(clock.now()).toISOString(),
        ms,
        result,
      };
      await file.append(line);
      lines.push(line);
      return result;
    },
    has: (name) => find(name) !== undefined,
    close: () => file.close(),
  };
}

function readResult<T>(name: PhaseName, schema: z.ZodType<T>, result: unknown): T {
  const parsed = schema.safeParse(result);
  if (parsed.success) return parsed.data;
  throw new AttuneError(
    'night-failed',
    `The journal's line of the phase "${name}" does not fit: ${parsed.error.issues[0]?.message}. ` +
      'The night cannot be resumed; remove its folder, and run another.',
    { phase: name },
    { cause: parsed.error },
  );
}

/** The recorded result of a phase, or undefined. */
export function resultOf(lines: readonly JournalLine[], phase: PhaseName): unknown {
  return lines.find((line) => line.phase === phase)?.result;
}
