// What was measured in a night: intervals against zero, retention, crossed pairs, the gate.

import type { VNode } from 'preact';
import {
  ARM_LABELS,
  armsOf,
  DISTANCE_LABEL,
  LISTENING_METHOD,
  listeningRows,
  listeningText,
} from '../../../src/protocol/listening-text.ts';
import { fixed, percent, signed } from '../../../src/protocol/number-text.ts';
import type { ListeningView, MeasureView, NightSummary } from '../../../src/protocol/summary.ts';
import { Interval } from './plot.tsx';

/** What a measure is, for somebody who never heard its name. */
const MEANS: Readonly<Record<string, string>> = {
  bothRight: 'share of test pairs in which it prefers the right reply on both sides',
  beyondPlacebo: 'the same, less what a training gained that was told other words of yours',
  defenceGap: 'how much harder it is to listen when it has an idea of its own',
};

const WISH = { gain: 'should rise', guard: 'must not fall', gap: 'should near zero' } as const;

function Measure({ measure, scale }: { measure: MeasureView; scale: number }): VNode {
  const { label, estimate, unit, wish } = measure;
  return (
    <tr>
      <th scope="row">
        {label} <small>{[MEANS[measure.name], WISH[wish]].filter(Boolean).join('; ')}</small>
      </th>
      <td>
        <Interval estimate={estimate} scale={scale} wish={wish} />
      </td>
      <td>
        {estimate.mean === null ? '–' : `${signed(estimate.mean)} ${unit}`}
        {estimate.mean !== null && <small>from {estimate.clusters} sources</small>}
      </td>
    </tr>
  );
}

/** By how long ago the direction was given; the night between what was before and what is told. */
function Listening({ listening }: { listening: ListeningView }): VNode {
  const arms = armsOf(listening);
  return (
    <>
      <p>This night, {listeningText(listening)}.</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls, for the keyboard */}
      <section class="wide" tabIndex={0} aria-label="How it listens, by distance">
        <table class="listening">
          <caption class="hint">{LISTENING_METHOD}</caption>
          <thead>
            <tr>
              <th scope="col">{DISTANCE_LABEL}</th>
              {arms.map((arm) => (
                <th key={arm} scope="col" data-arm={arm}>
                  {ARM_LABELS[arm]}
                </th>
              ))}
              <th scope="col">pairs</th>
            </tr>
          </thead>
          <tbody>
            {listeningRows(listening).map(({ label, pairs, shares }) => (
              <tr key={label}>
                <th scope="row">{label}</th>
                {shares.map((share, i) => (
                  <td key={arms[i]} data-arm={arms[i]}>
                    {share}
                  </td>
                ))}
                <td>{pairs}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </>
  );
}

export function Numbers({ summary }: { summary: NightSummary }): VNode {
  return (
    <>
      {summary.listening !== null && <Listening listening={summary.listening} />}
      <Changes summary={summary} />
    </>
  );
}

function Changes({ summary }: { summary: NightSummary }): VNode {
  const ends = summary.measures.flatMap(({ estimate: e }) => [e.low, e.high, e.mean]);
  const scale = Math.max(...ends.map((end) => Math.min(2, Math.abs(end ?? 0))), 0.05);
  return (
    <table class="numbers">
      <caption class="hint">
        The change of the night, with its 95 % interval; the line in the middle is no change.
      </caption>
      <thead>
        <tr>
          <th scope="col">measure</th>
          <th scope="col">
            from {signed(-scale, 2)} to {signed(scale, 2)}
          </th>
          <th scope="col">change</th>
        </tr>
      </thead>
      <tbody>
        {summary.measures.map((measure) => (
          <Measure key={measure.name} measure={measure} scale={scale} />
        ))}
        {summary.retention.map(({ against, ratio, high }) => (
          <tr key={against}>
            <th scope="row">
              Everyday conversation, perplexity against {against}{' '}
              <small>how surprising everyday conversation is to it; × 1.000 is unchanged</small>
            </th>
            <td />
            <td>
              × {fixed(ratio)} <small>at most {fixed(high)}</small>
            </td>
          </tr>
        ))}
        {summary.bothRight !== null && (
          <tr>
            <th scope="row">
              Crossed pairs, both right <small>who does not read the context gets 0</small>
            </th>
            <td />
            <td>
              {percent(summary.bothRight.before)} → {percent(summary.bothRight.after)}
              <small>{summary.bothRight.pairs} pairs</small>
            </td>
          </tr>
        )}
      </tbody>
    </table>
  );
}

export function Gate({ reasons }: Pick<NightSummary, 'reasons'>): VNode {
  return (
    <ul class="reasons">
      {reasons.map(({ rule, passes, text }) => (
        <li key={rule} data-passes={passes}>
          <span class="hidden">{passes ? 'Passed: ' : 'Not passed: '}</span>
          <strong>{rule}</strong> {text}
        </li>
      ))}
    </ul>
  );
}
