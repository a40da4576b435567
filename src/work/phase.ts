// What every phase of a night gets; types only.
import type { Folder } from '../base/file-ops.ts';
import type { NightPlan } from '../record/message.ts';

/** A night under way: what it was told, and where it writes. */
export interface Night {
  readonly plan: NightPlan;
  readonly folder: Folder;
}

/** Reports how far a phase is. */
export type Tell = (done: number, total: number | null, facts?: Record<string, number>) => void;
