// The nights as the page and the command line list them, read from their summaries.
import { join } from 'node:path';
import { readJsonBounded } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import { hasLearntWithheld } from '../ledger/deletion.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Manifest, NightId } from '../ledger/manifest.ts';
import { type NightLine, NightSummary, type NightView, type Remedy } from '../protocol/summary.ts';
import { FILE, readScenarioFile } from '../record/files.ts';

/** Why a night is in use that was only to be tried. */
export const ON_TRIAL = 'on trial until the next night';

/** The summary as it was written, and what was decided since. @throws night-unknown, also when its texts were deleted */
export async function readSummary(ledger: Ledger, id: NightId): Promise<NightView> {
  const manifest = await ledger.read(id);
  const summary = await summaryIn(ledger, manifest);
  if (summary !== undefined) {
    const remedy = await remedyOf(ledger, manifest);
    const status = ledger.statusOf(manifest);
    return { ...withStatus(summary, status), remedy, ...useOf(ledger, manifest) };
  }
  const message = `The summary of ${id} is gone: a conversation that it showed was deleted.`;
  throw new AttuneError('night-unknown', message, { id });
}

async function summaryIn(ledger: Ledger, manifest: Manifest): Promise<NightSummary | undefined> {
  const { path, ops } = ledger.folderOf(manifest.night);
  // An empty file is what deletions left behind at first.
  return readJsonBounded(join(path, FILE.summary), NightSummary, { ops }).catch(() => undefined);
}

/** What a person decided after the summary was written counts. */
function withStatus(summary: NightSummary, status: NightView['status']) {
  const now = { ...summary, status, headline: withoutStatus(summary.headline) };
  if (status === 'in-force') {
    return { ...now, verdict: 'swapped' as const, back: `attune night revert ${summary.nightId}` };
  }
  if (status === 'waiting') return { ...now, verdict: 'awaiting-review' as const, back: null };
  return { ...now, back: null };
}

/** Null for a night that is not used, or has learnt from nothing that was taken back. */
async function remedyOf(ledger: Ledger, manifest: Manifest): Promise<Remedy | null> {
  const { night } = manifest;
  const status = ledger.statusOf(manifest);
  if (status !== 'waiting' && status !== 'in-force') return null;
  const folder = ledger.folderOf(night);
  if (!(await hasLearntWithheld(folder))) return null;
  const left = await readScenarioFile(folder, 'scenarios').catch(() => []);
  const isSquashed = ledger.head().squashed?.nights.includes(night) === true;
  if (left.length > 0 && !isSquashed) return 'retrain';
  return status === 'in-force' ? 'revert' : 'reject';
}

/** Summaries of before 30 November 2026 said in their headline what was decided by then. */
const withoutStatus = (headline: string): string =>
  headline.replace(/ (?:waits for you|offers itself for a day's trial|is in force)/, '');

/** How it is used. */
function useOf(ledger: Ledger, { night, gate }: Manifest) {
  const { inForce, nights } = ledger.head();
  const isUsed = inForce.includes(night);
  return {
    isTrial: isUsed && nights[night]?.why === ON_TRIAL,
    isAgainstVerdict: isUsed && gate?.passed !== true && gate?.offered !== true,
  };
}

/** Oldest first. */
export async function listNights(ledger: Ledger): Promise<NightLine[]> {
  const manifests = await ledger.list();
  return Promise.all(
    manifests.map(async (manifest): Promise<NightLine> => {
      const summary = await summaryIn(ledger, manifest);
      const measure = (name: string) =>
        summary?.measures.find((one) => one.name === name)?.estimate ?? null;
      return {
        nightId: manifest.night,
        number: manifest.number,
        day: manifest.day,
        status: ledger.statusOf(manifest),
        headline:
          summary === undefined ? 'Its texts were deleted.' : withoutStatus(summary.headline),
        bothRight: measure('bothRight'),
        beyondPlacebo: measure('beyondPlacebo'),
        defenceGap: measure('defenceGap')?.mean ?? null,
        flagsPer100: summary?.facts.flagsPer100 ?? null,
        remedy: await remedyOf(ledger, manifest),
        hasWeights: manifest.delta !== null,
        ...useOf(ledger, manifest),
      };
    }),
  );
}
