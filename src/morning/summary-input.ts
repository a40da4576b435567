// What a summary is made of: the night's manifest, what came of the swap, its journal.
import type { Ledger } from '../ledger/ledger.ts';
import type { Manifest } from '../ledger/manifest.ts';
import type { JournalLine } from '../record/journal.ts';
import type { Swapped } from '../record/phase-result.ts';

export interface SummaryInput {
  readonly ledger: Ledger;
  readonly manifest: Manifest;
  readonly swapped: Swapped;
  readonly lines: readonly JournalLine[];
}
