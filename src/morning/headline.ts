// The first line of a morning: what became of a night, in plain words. What was decided since is
// said by its status.
import type { NightVerdict } from '../protocol/night.ts';
import type { NightSummary } from '../protocol/summary.ts';
import { againstReasons, changeText, elsewhereText } from '../protocol/verdict-text.ts';

export interface HeadlineInput extends Pick<NightSummary, 'flagged' | 'listening' | 'reasons'> {
  readonly verdict: NightVerdict;
  readonly number: number;
}

export function headlineOf(input: HeadlineInput): string {
  const { verdict, number } = input;
  const night = `Night ${number}`;
  if (verdict === 'nothing-to-learn') return `${night} had nothing to learn.`;
  if (verdict === 'failed' || verdict === 'stopped') return `${night} failed.`;
  // One reason is enough for a line; the page has them all.
  const [why = ''] = againstReasons(input);
  const isAgainst = verdict === 'refused' && why !== '';
  const rest = isAgainst ? `Not recommended: ${why}.` : elsewhereText(input);
  const said = [changeText(input), rest].filter(Boolean).join(' ');
  return `${night}: ${said || 'nothing was measured.'}`;
}
