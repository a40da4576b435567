// What a summary is made of: the night's manifest, what came of the swap, its journal.
import type { Manifest } from '../ledger/manifest.ts';
import type { Swapped } from './finish.ts';
import type { JournalLine } from './journal.ts';
import type { NightServiceOptions } from './service.ts';

export interface SummaryInput {
  readonly options: Pick<NightServiceOptions, 'ledger'>;
  readonly manifest: Manifest;
  readonly swapped: Swapped;
  readonly lines: readonly JournalLine[];
}
