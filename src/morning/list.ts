// The nights as the page and the command line list them, read from their summaries.
import { join } from 'node:path';
import { readJsonBounded } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Manifest, NightId } from '../ledger/manifest.ts';
import { type NightLine, NightSummary, type NightView } from '../protocol/summary.ts';
import { FILE } from '../record/files.ts';

/** The summary as it was written, and what was decided since. @throws night-unknown, also when its texts were deleted */
export async function readSummary(ledger: Ledger, id: NightId): Promise<NightView> {
  const manifest = await ledger.read(id);
  const summary = await summaryIn(ledger, manifest);
  if (summary !== undefined) return withStatus(summary, ledger.statusOf(manifest));
  const message = `The summary of ${id} is gone: a talk it showed was deleted.`;
  throw new AttuneError('night-unknown', message, { id });
}

async function summaryIn(ledger: Ledger, manifest: Manifest): Promise<NightSummary | undefined> {
  const { path, ops } = ledger.folderOf(manifest.night);
  // An empty file is what deletions left behind at first.
  return readJsonBounded(join(path, FILE.summary), NightSummary, { ops }).catch(() => undefined);
}

/** What a person decided after the summary was written counts. */
function withStatus(summary: NightSummary, status: NightView['status']): NightView {
  const now = { ...summary, status, headline: headlineNow(summary.headline, status) };
  if (status === 'in-force') {
    return { ...now, verdict: 'swapped', back: `attune night revert ${summary.nightId}` };
  }
  if (status === 'waiting') return { ...now, verdict: 'awaiting-review', back: null };
  return { ...now, back: null };
}

const SAID_NOW: Partial<Record<NightView['status'], string>> = {
  waiting: 'waits for you',
  'in-force': 'is in force',
  rejected: 'was rejected',
  reverted: 'was taken back',
};

function headlineNow(headline: string, status: NightView['status']): string {
  const said = SAID_NOW[status];
  return said === undefined ? headline : headline.replace(/waits for you|is in force/, said);
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
          summary === undefined
            ? 'Its texts were deleted.'
            : headlineNow(summary.headline, ledger.statusOf(manifest)),
        margin: measure('margin'),
        realMinusDeaf: measure('realMinusDeaf'),
        defenceGap: measure('defenceGap')?.mean ?? null,
        flagsPer100: summary?.facts.flagsPer100 ?? null,
      };
    }),
  );
}
