// How far a whole night is and when it ends, from the progress of its phases.
import { type NightPhase, NightPhase as Phase } from '../protocol/night.ts';
import type { Progress } from '../record/message.ts';

/** Parts of a night's time: estimates; what is left is told from the speed of this night. */
const PARTS: Readonly<Record<NightPhase, number>> = {
  ...{ gather: 2, dream: 15, admit: 12, train: 40, measure: 30, gate: 1 },
  ...{ commit: 1, swap: 0.5, summary: 0.5 },
};
const ALL = Object.values(PARTS).reduce((sum, part) => sum + part);
/** So much of the night must be done before its speed says anything. */
const SHARE_MIN = 0.03;

/** Where a night was when it was first heard of. */
export interface Beginning {
  readonly at: number;
  readonly share: number;
}

/** The share of the whole night that is done, 0 to 1. */
export function shareOf({
  phase,
  done,
  total,
}: Pick<Progress, 'phase' | 'done' | 'total'>): number {
  const before = Phase.options.slice(0, Phase.options.indexOf(phase));
  const past = before.reduce((sum, name) => sum + PARTS[name], 0);
  const within = total === null || total === 0 ? 0 : Math.min(1, done / total);
  return (past + within * PARTS[phase]) / ALL;
}

/** Milliseconds to the end at the speed since its beginning; null: too little of it is done. */
export function leftMs(beginning: Beginning, share: number, now: number): number | null {
  const done = share - beginning.share;
  return done < SHARE_MIN ? null : ((now - beginning.at) * (1 - share)) / done;
}
