// A night in six numbers, before anything else is read; a bad one is just as clear as a good one.

import type { VNode } from 'preact';
import { fixed, signed } from '../../../src/protocol/number-text.ts';
import { beforeAfter } from '../../../src/protocol/replies-text.ts';
import type { NightView } from '../../../src/protocol/summary.ts';

interface Tile {
  readonly label: string;
  readonly value: string;
  readonly note: string;
  /** null: too little is known to say so. */
  readonly isGood: boolean | null;
}

/** Only what is clear counts: an interval on one side of zero. */
function measureTile(summary: NightView, name: string, label: string): Tile[] {
  const estimate = summary.measures.find((one) => one.name === name)?.estimate;
  if (estimate === undefined || estimate.mean === null) return [];
  const { mean, low, high } = estimate;
  const isKnown = low !== null && high !== null && (low > 0 || high < 0);
  return [
    {
      label,
      value: signed(mean),
      note:
        low === null || high === null ? 'nats a token' : `${signed(low, 2)} to ${signed(high, 2)}`,
      isGood: isKnown ? mean > 0 : null,
    },
  ];
}

function flaggedTile({ flagged }: NightView): Tile[] {
  const judged = flagged.flatMap(({ marginBefore: before, marginAfter: after }) =>
    before === null || after === null ? [] : [after > before],
  );
  if (judged.length === 0) return [];
  const better = judged.filter(Boolean).length;
  return [
    {
      label: 'Flagged moments, better now',
      value: `${better} of ${judged.length}`,
      note: 'by the margin of the listening reply',
      isGood: better * 2 === judged.length ? null : better * 2 > judged.length,
    },
  ];
}

/** Counted, never judged: no colour. */
function repliesTile({ replies }: NightView): Tile[] {
  if (replies === null) return [];
  return [
    {
      label: 'Replies that pass their check',
      value: beforeAfter(replies),
      note: `n ${replies.replies}; the gate does not read it`,
      isGood: null,
    },
  ];
}

function retentionTile({ retention }: NightView): Tile[] {
  const [parent] = retention;
  if (parent === undefined) return [];
  return [
    {
      label: 'Everyday conversation, perplexity',
      value: `× ${fixed(parent.ratio)}`,
      note: `at most ${fixed(parent.high)}`,
      isGood: parent.high <= 1 ? true : parent.ratio > 1.02 ? false : null,
    },
  ];
}

function gateTile({ reasons }: NightView): Tile[] {
  if (reasons.length === 0) return [];
  const passed = reasons.filter(({ passes }) => passes).length;
  return [
    {
      label: 'The gate',
      value: `${passed} of ${reasons.length}`,
      note: passed === reasons.length ? 'all rules kept' : 'rules kept; all are needed',
      isGood: passed === reasons.length,
    },
  ];
}

export function Glance({ summary }: { summary: NightView }): VNode | null {
  const tiles = [
    ...flaggedTile(summary),
    ...measureTile(summary, 'realMinusDeaf', 'Listening, real − placebo'),
    ...measureTile(summary, 'pushBack', 'Push-back'),
    ...repliesTile(summary),
    ...retentionTile(summary),
    ...gateTile(summary),
  ];
  if (tiles.length === 0) return null;
  return (
    <dl class="glance" aria-label="The night in short">
      {tiles.map(({ label, value, note, isGood }) => (
        <div key={label} data-good={String(isGood)}>
          <dt>{label}</dt>
          <dd>
            {value} <small>{note}</small>
          </dd>
        </div>
      ))}
    </dl>
  );
}
