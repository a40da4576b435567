// The morning's summary of a night: gathered from its folder, written as JSON and as Markdown.
import { join } from 'node:path';
import { writeFileAtomic, writeJsonAtomic } from '../base/atomic-file.ts';
import type { Manifest } from '../ledger/manifest.ts';
import type { NightSummary } from '../protocol/summary.ts';
import { versionOf } from '../swap/swap.ts';
import { type Measured, measuredSchema } from './evidence.ts';
import { type Swapped, verdictOf } from './finish.ts';
import type { JournalLine, PhaseName } from './journal.ts';
import type { NightServiceOptions } from './service.ts';
import { trainedSchema } from './work.ts';

export interface SummaryInput {
  readonly options: NightServiceOptions;
  readonly manifest: Manifest;
  readonly swapped: Swapped;
  readonly lines: readonly JournalLine[];
}

/** Writes `summary.json` and `summary.md` into the night's folder; returns the headline. */
export async function writeSummary(input: SummaryInput): Promise<string> {
  const summary = await summaryOf(input);
  const folder = input.options.ledger.folderOf(input.manifest.night);
  await writeJsonAtomic(join(folder, 'summary.json'), summary);
  await writeFileAtomic(join(folder, 'summary.md'), toMarkdown(summary));
  return summary.headline;
}

const resultOf = (lines: readonly JournalLine[], phase: PhaseName): unknown =>
  lines.find((line) => line.phase === phase)?.result;

async function summaryOf({
  options,
  manifest,
  swapped,
  lines,
}: SummaryInput): Promise<NightSummary> {
  const measured = measuredSchema.safeParse(resultOf(lines, 'measure')).data;
  const trained = trainedSchema.safeParse(resultOf(lines, 'train')).data;
  const verdict = verdictOf(manifest, swapped);
  const { swap } = swapped;
  return {
    schema: 1,
    nightId: manifest.night,
    number: manifest.number,
    day: manifest.day,
    verdict,
    headline: headlineOf(manifest, verdict, measured),
    versions: {
      from: (await versionOf(options.ledger, manifest.inForce)).id,
      to: swap?.to ?? null,
    },
    reasons: (manifest.gate?.reasons ?? []).map((text) => ({
      rule: 'gate',
      passes: manifest.gate?.passed ?? false,
      text,
    })),
    evidence: '',
    measures: [],
    retention: [],
    bothRight: null,
    flagged: [],
    dreams: { byKind: [], refused: [], sampledShare: null, samples: [] },
    training:
      trained === undefined
        ? null
        : {
            examples: trained.examples,
            steps: trained.steps,
            tokens: trained.tokens,
            relativeNorm: trained.relativeNorm,
            stoppedBecause: trained.stop,
            losses: [],
          },
    lift: [],
    facts: {},
    phases: lines.map(({ phase, ms }) => ({ phase, ms })),
    swap:
      swap === null
        ? null
        : {
            repliesInFlight: swap.repliesInFlight,
            stallMs: swap.stallMs,
            probeWorstNats: swap.probe?.worstNats ?? null,
          },
    back: verdict === 'swapped' ? `attune night revert ${manifest.night}` : null,
  };
}

function headlineOf(
  manifest: Manifest,
  verdict: NightSummary['verdict'],
  measured: Measured | undefined,
): string {
  const night = `Night ${manifest.number}`;
  const margin = measured?.margin.mean ?? null;
  const moved = margin === null ? '' : ` The margin moved by ${margin.toFixed(3)} nats a token.`;
  switch (verdict) {
    case 'nothing-to-learn':
      return `${night} had nothing to learn from.`;
    case 'refused':
      return `${night} was refused: ${manifest.gate?.reasons[0] ?? 'no reason'}.`;
    case 'awaiting-review':
      return `${night} waits for you.${moved}`;
    case 'swapped':
      return `${night} is in force.${moved}`;
    default:
      return `${night} failed.`;
  }
}

function toMarkdown(summary: NightSummary): string {
  const reasons = summary.reasons.map(
    ({ passes, text }) => `- ${passes ? 'passed' : 'failed'}: ${text}`,
  );
  return `# ${summary.headline}\n\n${summary.day}\n\n${reasons.join('\n')}\n`;
}
