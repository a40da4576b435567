// What the model says by itself before and after a night, and how much of it passes its check.

import type { VNode } from 'preact';
import {
  beforeAfter,
  heldText,
  pointsText,
  repliesLine,
  repliesMethod,
} from '../../../src/protocol/listening-text.ts';
import { percent } from '../../../src/protocol/number-text.ts';
import type { RepliesView } from '../../../src/protocol/summary.ts';
import { Interval } from './plot.tsx';

type SampleView = RepliesView['samples'][number];

function Said({ label, one }: { label: string; one: SampleView['after'] }): VNode {
  return (
    <div>
      <small>
        {label}, {one.passes ? 'passes' : 'does not pass'}: {one.reason}
      </small>
      <p>{one.reply || '(nothing)'}</p>
    </div>
  );
}

function Sample({ sample }: { sample: SampleView }): VNode {
  return (
    <article class="moment">
      <p class="direction">“{sample.said}”</p>
      <div class="pair">
        <Said label="Before" one={sample.before} />
        <Said label="After" one={sample.after} />
      </div>
      <small>{sample.kind}</small>
    </article>
  );
}

interface ShareProps {
  readonly label: string;
  readonly share: Omit<RepliesView, 'kinds' | 'samples'>;
  readonly scale: number;
}

function Share({ label, share, scale }: ShareProps): VNode {
  return (
    <tr>
      <th scope="row">
        {label} <small>n {share.replies}</small>
      </th>
      <td>
        <Interval estimate={share.change} scale={scale} wish="gain" />
      </td>
      <td>
        {beforeAfter(share)}
        {share.deaf !== null && <small>placebo {percent(share.deaf)}</small>}
        <small>{share.held === null ? pointsText(share.change) : heldText(share.held)}</small>
      </td>
    </tr>
  );
}

export function Replies({ replies }: { replies: RepliesView }): VNode {
  const ends = [replies, ...replies.kinds].flatMap(({ change: { low, high } }) => [low, high]);
  const scale = Math.max(...ends.map((end) => Math.min(1, Math.abs(end ?? 0))), 0.1);
  return (
    <details>
      <summary>
        {replies.held === null
          ? `Replies that pass their check: ${beforeAfter(replies)} (n ${replies.replies})`
          : `Free replies: ${repliesLine(replies)}`}
      </summary>
      <table class="numbers">
        <caption class="hint">{repliesMethod(replies)}</caption>
        <tbody>
          <Share
            label={replies.held === null ? 'All' : 'All that must not become worse'}
            share={replies}
            scale={scale}
          />
          {replies.kinds.map((share) => (
            <Share key={share.kind} label={share.kind} share={share} scale={scale} />
          ))}
        </tbody>
      </table>
      {replies.samples.map((sample) => (
        <Sample key={sample.id} sample={sample} />
      ))}
    </details>
  );
}
