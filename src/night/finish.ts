// After the commit: swap if the gate passed and the person wants it so, then the morning's summary.
import { join } from 'node:path';
import { z } from 'zod';
import { readJsonBounded } from '../base/atomic-file.ts';
import type { Clock } from '../base/clock.ts';
import { AttuneError, isAttuneError } from '../base/errors.ts';
import type { Folder } from '../base/file-ops.ts';
import type { Config } from '../config/schema.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Manifest, NightId } from '../ledger/manifest.ts';
import { squash } from '../ledger/squash.ts';
import { reviewText } from '../morning/review.ts';
import { writeSummary } from '../morning/summary.ts';
import type { NightVerdict } from '../protocol/night.ts';
import { FILE, readFlagged, readScenarioFile } from '../record/files.ts';
import { openJournal } from '../record/journal.ts';
import { failuresOf, type Swapped, swappedSchema, verdictOf } from '../record/phase-result.ts';
import { type SwapParts, type SwapReport, type SwapTarget, swapTo } from '../swap/swap.ts';
import { type Allowed, hasLearntTakenBack, isStanding } from './consent.ts';
import { inForceBeside } from './prepare.ts';

export interface FinishParts extends SwapParts {
  readonly store: Allowed;
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
  const { ledger, store, clock, settings } = parts;
  const folder = ledger.folderOf(manifest.night);
  const journal = await openJournal(folder, clock);
  try {
    await ledger.seal(manifest);
    if (manifest.delta !== null) await store.flags.markUsed(await learnt(folder, store), manifest);
    await giveWay(ledger, manifest, clock);
    const swapped = await journal.phase('swap', swappedSchema, () => swapNight(manifest, parts));
    if (swapped.swap !== null) await squash(ledger, settings.deltaBytesMax);
    const headline = await journal.phase('summary', z.string(), () =>
      writeSummary({ ledger, manifest, swapped, lines: journal.lines }),
    );
    const { swap, why } = swapped;
    const isRejected = why === TAKEN_BACK;
    return {
      verdict: isRejected ? 'refused' : verdictOf(manifest, swapped),
      reasons: isRejected ? [why] : failuresOf(manifest),
      headline,
      version: swap?.to ?? null,
      swap,
    };
  } finally {
    await journal.close();
  }
}

/** Why a night that passed is not used. */
const TAKEN_BACK = 'it learnt from what was taken back while it ran';

/** Ids of the flags that it has learnt from as they stand. */
async function learnt(folder: Folder, store: Allowed): Promise<string[]> {
  // A deletion may have taken a file, where it was damaged.
  const flagged = await readFlagged(folder).catch(() => []);
  const scenarios = await readScenarioFile(folder, 'scenarios').catch(() => []);
  const trained = new Set(scenarios.map(({ id }) => id));
  for (const { id } of await readRefused(folder)) trained.delete(id);
  const own = flagged.filter(({ context }) => trained.has(context.id));
  return own.filter((moment) => isStanding(moment, store)).map(({ flagId }) => flagId);
}

/** What the training could not take. */
async function readRefused({ path, ops }: Folder): Promise<{ readonly id: string }[]> {
  const schema = z.object({ refused: z.array(z.object({ id: z.string() })) });
  const file = await readJsonBounded(join(path, FILE.training), schema, { ops }).catch(
    () => undefined,
  );
  return file?.refused ?? [];
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
  await ledger.setHead({ nights: { [review.of]: replaced('rejected', { night, review }, clock) } });
}

/** Of the night that this one takes the place of. */
function replaced(
  status: 'rejected' | 'reverted',
  { night, review }: Pick<Manifest, 'night' | 'review'>,
  clock: Clock,
) {
  const changes = review === undefined ? '' : `: ${reviewText(review)}`;
  const at = new Date(clock.now()).toISOString();
  return { status, at, why: `trained again as ${night}${changes}` };
}

/** The nights active with this one, and what becomes of it and of the one that it trained again. */
export function takenIntoUse(
  manifest: Manifest,
  { ledger, clock, why }: Pick<SwapParts, 'ledger' | 'clock'> & { readonly why: string },
) {
  const { night, review } = manifest;
  const at = new Date(clock.now()).toISOString();
  const nights = [...inForceBeside(ledger, review), night];
  const isReplacing = review !== undefined && ledger.head().inForce.includes(review.of);
  return {
    nights,
    statuses: {
      [night]: { status: 'in-force' as const, at, why },
      ...(isReplacing ? { [review.of]: replaced('reverted', manifest, clock) } : {}),
    },
  };
}

/** These nights and no others, in this order; what becomes of those that come and go. */
export function chosen(
  nights: readonly NightId[],
  { ledger, clock }: Pick<SwapParts, 'ledger' | 'clock'>,
): SwapTarget {
  const before = ledger.head().inForce;
  const at = new Date(clock.now()).toISOString();
  const status = (name: 'in-force' | 'reverted', ids: readonly NightId[]) =>
    ids.map((id) => [id, { status: name, at, why: 'chosen by the person' }]);
  const left = before.filter((night) => !nights.includes(night));
  const entered = nights.filter((night) => !before.includes(night));
  const statuses = [...status('reverted', left), ...status('in-force', entered)];
  return { nights, statuses: Object.fromEntries(statuses) };
}

/** @throws swap-refused when other nights came into use since it was asked for */
export function assertUnchanged(asked: readonly NightId[], now: readonly NightId[]): void {
  if (asked.join() === now.join()) return;
  const undone = now.filter((night) => !asked.includes(night)).join(', ') || 'none of them';
  const message =
    `Other weights came into use meanwhile (new: ${undone}), and this swap would undo that. ` +
    'Look at the nights again, and then decide.';
  throw new AttuneError('swap-refused', message, { asked: asked.join(' '), now: now.join(' ') });
}

async function swapNight(manifest: Manifest, parts: FinishParts): Promise<Swapped> {
  const { ledger, clock, settings } = parts;
  const { night, delta, gate, inForce } = manifest;
  const status = (name: 'refused' | 'empty' | 'waiting' | 'rejected', why: string) => ({
    nights: { [night]: { status: name, at: new Date(clock.now()).toISOString(), why } },
  });
  if (delta === null) {
    await ledger.setHead(status('empty', 'nothing to learn'));
    return { swap: null, why: 'nothing to learn' };
  }
  const isTrial = gate?.offered === true;
  if (gate?.passed !== true && !isTrial) {
    await ledger.setHead(status('refused', failuresOf(manifest).join('; ')));
    return { swap: null, why: 'the gate refused it' };
  }
  if (await hasLearntTakenBack(ledger.folderOf(night), parts.store)) {
    await ledger.setHead(status('rejected', TAKEN_BACK));
    return { swap: null, why: TAKEN_BACK };
  }
  const isSameParent = inForceBeside(ledger, manifest.review).join() === inForce.join();
  if (isTrial || settings.swap === 'review' || !isSameParent) {
    const decides = isTrial ? 'it offers itself for a trial' : 'a person decides';
    const why = isSameParent ? decides : 'other weights became active meanwhile';
    await ledger.setHead(status('waiting', why));
    return { swap: null, why };
  }
  try {
    const swap = await swapTo(
      parts,
      takenIntoUse(manifest, { ledger, clock, why: 'the gate passed' }),
    );
    return { swap, why: null };
  } catch (error) {
    if (!isAttuneError(error)) throw error;
    await ledger.setHead(status('waiting', error.message));
    return { swap: null, why: error.message };
  }
}
