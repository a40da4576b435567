// A night in a few numbers, before anything else is read; a bad one is just as clear as a good one.

import type { VNode } from 'preact';
import { fixed, percent } from '../../../src/protocol/number-text.ts';
import { beforeAfter } from '../../../src/protocol/replies-text.ts';
import type { NightView } from '../../../src/protocol/summary.ts';

interface Tile {
  readonly label: string;
  readonly value: string;
  readonly note: string;
  /** null: too little is known to say so. */
  readonly isGood: boolean | null;
}

function listeningTile({ listening }: NightView): Tile[] {
  if (listening === null) return [];
  const { shares, pairs, change } = listening;
  const { untold = 0, after = 0, told } = shares;
  const { low, high, mean } = change;
  const isKnown = low !== null && high !== null && (low > 0 || high < 0);
  return [
    {
      label: 'Listens, of judged pairs',
      value: `${percent(untold)} → ${percent(after)}`,
      note: `${told === undefined ? '' : `${percent(told)} when told; `}${pairs} pairs`,
      isGood: isKnown ? (mean ?? 0) > 0 : null,
    },
  ];
}

function flaggedTile({ flagged }: NightView): Tile[] {
  const told = flagged.filter(({ marginBefore }) => marginBefore === null);
  if (told.length > 0 && told.length === flagged.length) {
    const other = told.filter(({ oldReply, newReply }) => oldReply !== newReply).length;
    return [
      {
        label: 'Flagged moments, answered otherwise now',
        value: `${other} of ${told.length}`,
        note: 'read them below',
        isGood: null,
      },
    ];
  }
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

/** In nights of before counted and never judged: no colour. */
function repliesTile({ replies }: NightView): Tile[] {
  if (replies === null) return [];
  const { held } = replies;
  if (held !== null) {
    return [
      {
        label: 'Other replies, changed for the worse',
        value: `${held.lost} of ${replies.replies}`,
        note: `${held.won} for the better, ${held.same} the same to the token`,
        isGood: held.lost > held.won ? null : true,
      },
    ];
  }
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
    ...listeningTile(summary),
    ...flaggedTile(summary),
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
