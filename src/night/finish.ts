// After the commit: swap if the gate passed and the person wants it so, then the morning's summary.
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { isAttuneError } from '../base/errors.ts';
import type { Config } from '../config/schema.ts';
import type { FlagStore } from '../flag/flag-store.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Manifest } from '../ledger/manifest.ts';
import { squash } from '../ledger/squash.ts';
import { writeSummary } from '../morning/summary.ts';
import type { NightVerdict } from '../protocol/night.ts';
import { readFlagged } from '../record/files.ts';
import { openJournal } from '../record/journal.ts';
import { failuresOf, type Swapped, swappedSchema, verdictOf } from '../record/phase-result.ts';
import { type SwapParts, type SwapReport, swapTo } from '../swap/swap.ts';

export interface FinishParts extends SwapParts {
  readonly flags: FlagStore;
  readonly settings: Pick<Config['night'], 'swap' | 'deltaBytesMax'>;
}

export interface FinishedNight {
  readonly verdict: NightVerdict;
  readonly reasons: string[];
  readonly headline: string;
  readonly version: string | null;
  readonly swap: SwapReport | null;
}

/** Goes on where an earlier daemon stopped: what has its line in the journal is not done again. */
export async function finishNight(manifest: Manifest, parts: FinishParts): Promise<FinishedNight> {
  const { ledger, flags, clock, settings } = parts;
  const folder = ledger.folderOf(manifest.night);
  const journal = await openJournal(folder, clock);
  try {
    await ledger.seal(manifest);
    // A deletion may have taken the file, where it was damaged.
    const flagged = await readFlagged(folder).catch(() => []);
    const used = flagged.filter((m) => !m.isHeldBack && m.chosen !== undefined);
    if (manifest.delta !== null) {
      await flags.markUsed(
        used.map((moment) => moment.flagId),
        manifest,
      );
    }
    await giveWay(ledger, manifest, clock);
    const swapped = await journal.phase('swap', swappedSchema, () => swapNight(manifest, parts));
    if (swapped.swap !== null) await squash(ledger, settings.deltaBytesMax);
    const headline = await journal.phase('summary', z.string(), () =>
      writeSummary({ ledger, manifest, swapped, lines: journal.lines }),
    );
    const { swap } = swapped;
    return {
      verdict: verdictOf(manifest, swapped),
      reasons: failuresOf(manifest),
      headline,
      version: swap?.to ?? null,
      swap,
    };
  } finally {
    await journal.close();
  }
}

/** Nights that were committed and not finished, as after a crash. `finish` handles its failures. */
export async function recoverNights(
  ledger: Ledger,
  finish: (manifest: Manifest) => Promise<void>,
): Promise<void> {
  const manifests = await ledger.list();
  for (const manifest of manifests) {
    if (ledger.head().nights[manifest.night] === undefined) await finish(manifest);
  }
  const newest = manifests.at(-1);
  // In a store of before 30 November 2026 none is sealed yet.
  if (newest !== undefined && ledger.isHeadWritten()) await ledger.seal(newest);
}

/** The night that was trained again is not waited for any more. */
async function giveWay(ledger: Ledger, { night, review }: Manifest, clock: Clock): Promise<void> {
  if (review === undefined) return;
  const status = ledger.statusOf(await ledger.read(review.of));
  if (status !== 'waiting' && status !== 'refused') return;
  const why = `trained again as ${night}: ${review.dropped} dropped, ${review.reworded} reworded`;
  const at = new Date(clock.now()).toISOString();
  await ledger.setHead({ nights: { [review.of]: { status: 'rejected', at, why } } });
}

async function swapNight(manifest: Manifest, parts: FinishParts): Promise<Swapped> {
  const { ledger, clock, settings } = parts;
  const { night, delta, gate, inForce } = manifest;
  const status = (name: 'refused' | 'empty' | 'waiting', why: string) => ({
    nights: { [night]: { status: name, at: new Date(clock.now()).toISOString(), why } },
  });
  if (delta === null) {
    await ledger.setHead(status('empty', 'nothing to learn'));
    return { swap: null, why: 'nothing to learn' };
  }
  if (gate?.passed !== true) {
    await ledger.setHead(status('refused', failuresOf(manifest).join('; ')));
    return { swap: null, why: 'the gate refused it' };
  }
  const isSameParent = ledger.head().inForce.join() === inForce.join();
  if (settings.swap === 'review' || !isSameParent) {
    const why = isSameParent ? 'a person decides' : 'other weights came into force meanwhile';
    await ledger.setHead(status('waiting', why));
    return { swap: null, why };
  }
  try {
    const at = new Date(clock.now()).toISOString();
    const statuses = { [night]: { status: 'in-force' as const, at, why: 'the gate passed' } };
    const swap = await swapTo(parts, { nights: [...inForce, night], statuses });
    return { swap, why: null };
  } catch (error) {
    if (!isAttuneError(error)) throw error;
    await ledger.setHead(status('waiting', error.message));
    return { swap: null, why: error.message };
  }
}
