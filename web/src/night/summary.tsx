// One night on one screen: what it learnt from, what changed, whether to trust it, how to go back.
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { DreamView, FlaggedView, NightSummary } from '../../../src/protocol/summary.ts';
import { follow } from '../route.ts';
import { tell } from '../state.ts';
import { decide, loadSummary } from './api.ts';
import { HeadMap, Interval, Losses, signed } from './plot.tsx';

const VERDICT = {
  swapped: 'In force',
  'awaiting-review': 'Waits for you',
  refused: 'Refused',
  'nothing-to-learn': 'Nothing to learn',
  failed: 'Failed',
} as const;

function Flagged({ moment }: { moment: FlaggedView }): VNode {
  const { marginBefore: before, marginAfter: after } = moment;
  return (
    <article class="moment">
      <p class="direction">“{moment.direction}”</p>
      <div class="pair">
        <div>
          <small>Before</small>
          <p>{moment.oldReply || '(nothing)'}</p>
        </div>
        <div>
          <small>After</small>
          <p>{moment.newReply || '(nothing)'}</p>
        </div>
      </div>
      <small>
        {before !== null &&
          after !== null &&
          `margin ${signed(before, 2)} → ${signed(after, 2)} nats a token`}
        {moment.isHeldBack && ' · held back: it measured and did not train'}
      </small>
    </article>
  );
}

function Dream({ dream }: { dream: DreamView }): VNode {
  return (
    <article class="dream">
      <small>
        {dream.kind}
        {dream.sampledShare !== null && ` · ${Math.round(100 * dream.sampledShare)} % sampled`}
      </small>
      {dream.turns.map((turn, index) => (
        <p key={index} class={turn.role}>
          {lit(turn.content, index, dream)}
        </p>
      ))}
      <p class="better">{dream.chosen}</p>
      {dream.rejected !== null && <p class="drift">{dream.rejected}</p>}
    </article>
  );
}

function lit(text: string, message: number, dream: DreamView): VNode[] {
  const spans = dream.spans
    .filter((span) => span.message === message)
    .sort((a, b) => a.start - b.start);
  const parts: VNode[] = [];
  let at = 0;
  for (const span of spans) {
    if (span.start < at) continue;
    parts.push(<span key={`t${at}`}>{text.slice(at, span.start)}</span>);
    parts.push(
      <mark key={`m${span.start}`} data-feature={span.feature} title={span.feature}>
        {text.slice(span.start, span.end)}
      </mark>,
    );
    at = span.end;
  }
  parts.push(<span key={`t${at}`}>{text.slice(at)}</span>);
  return parts;
}

function Numbers({ summary }: { summary: NightSummary }): VNode {
  const ends = summary.measures.flatMap(({ estimate: e }) => [e.low, e.high, e.mean]);
  const scale = Math.max(...ends.map((end) => Math.min(2, Math.abs(end ?? 0))), 0.05);
  return (
    <table class="numbers">
      <tbody>
        {summary.measures.map(({ name, label, estimate, unit }) => (
          <tr key={name}>
            <th scope="row">{label}</th>
            <td>
              <Interval estimate={estimate} scale={scale} />
            </td>
            <td>
              {signed(estimate.mean)} {unit}
            </td>
          </tr>
        ))}
        {summary.retention.map(({ against, ratio, high }) => (
          <tr key={against}>
            <th scope="row">Everyday talk, perplexity against {against}</th>
            <td />
            <td>
              × {ratio.toFixed(3)} (at most {high.toFixed(3)})
            </td>
          </tr>
        ))}
        {summary.bothRight !== null && (
          <tr>
            <th scope="row">Crossed pairs, both right ({summary.bothRight.pairs} pairs)</th>
            <td />
            <td>
              {Math.round(100 * summary.bothRight.before)} % →{' '}
              {Math.round(100 * summary.bothRight.after)} %
            </td>
          </tr>
        )}
      </tbody>
    </table>
  );
}

function Details({ summary }: { summary: NightSummary }): VNode {
  const { dreams, training } = summary;
  return (
    <>
      {summary.lift.length > 0 && (
        <details open>
          <summary>Where attention moved, layer by head</summary>
          <div class="maps">
            {summary.lift.map((lift) => (
              <HeadMap key={lift.feature} lift={lift} />
            ))}
          </div>
        </details>
      )}
      <details>
        <summary>
          Dreams: {dreams.byKind.reduce((n, k) => n + k.admitted, 0)} of{' '}
          {dreams.byKind.reduce((n, k) => n + k.written, 0)} admitted
        </summary>
        <ul class="plain">
          {dreams.byKind.map((k) => (
            <li key={k.kind}>
              {k.kind}: {k.admitted} of {k.written}
            </li>
          ))}
          {dreams.refused.map((r) => (
            <li key={r.reason} class="hint">
              refused, {r.reason}: {r.count}
            </li>
          ))}
        </ul>
        {dreams.samples.map((dream) => (
          <Dream key={dream.id} dream={dream} />
        ))}
      </details>
      {training !== null && (
        <details>
          <summary>
            Training: {training.examples} examples, {training.steps} steps, W_q moved{' '}
            {(100 * training.relativeNorm).toFixed(2)} %
          </summary>
          <Losses losses={training.losses} />
          <p class="hint">
            {training.tokens.toLocaleString()} tokens; stopped because {training.stoppedBecause}.
          </p>
        </details>
      )}
      <details>
        <summary>Time and other numbers</summary>
        <ul class="plain">
          {summary.phases.map(({ phase, ms }) => (
            <li key={phase}>
              {phase}: {(ms / 1000).toFixed(1)} s
            </li>
          ))}
          {Object.entries(summary.facts).map(([name, value]) => (
            <li key={name}>
              {name}: {Number.isInteger(value) ? value.toLocaleString() : value.toPrecision(4)}
            </li>
          ))}
          {summary.swap !== null && (
            <li>
              swap: {summary.swap.repliesInFlight} replies in flight, stall{' '}
              {summary.swap.stallMs.toFixed(1)} ms
            </li>
          )}
        </ul>
      </details>
    </>
  );
}

export function Summary({ id }: { id: string }): VNode {
  const [summary, setSummary] = useState<NightSummary | null>(null);
  const [count, setCount] = useState(0);
  useEffect(() => void loadSummary(id).then(setSummary, tell), [id, count]);
  if (summary === null) return <p class="empty hint">Reading the night…</p>;
  const act = (decision: 'approve' | 'reject' | 'revert') => () =>
    void decide(id, decision).then(() => setCount(count + 1), tell);
  return (
    <div class="column summary">
      <section>
        <p class="verdict" data-verdict={summary.verdict}>
          Night {summary.number}, {summary.day} · {VERDICT[summary.verdict]}
        </p>
        <h1>{summary.headline}</h1>
        <p class="hint">{summary.evidence}</p>
        <div class="decide">
          {summary.verdict === 'awaiting-review' && (
            <>
              <button type="button" class="primary" onClick={act('approve')}>
                Use these weights
              </button>
              <button type="button" onClick={act('reject')}>
                Leave them
              </button>
            </>
          )}
          {summary.verdict === 'swapped' && (
            <button type="button" onClick={act('revert')}>
              Take this night back
            </button>
          )}
          {summary.flagged.length > 0 && (
            <a class="button" href={`/nights/${id}/slider`} onClick={follow}>
              See the light move
            </a>
          )}
        </div>
      </section>
      {summary.flagged.length > 0 && (
        <section>
          <h2>What you flagged</h2>
          {summary.flagged.map((moment) => (
            <Flagged key={moment.flagId} moment={moment} />
          ))}
        </section>
      )}
      {summary.measures.length > 0 && (
        <section>
          <h2>Did it learn to listen?</h2>
          <Numbers summary={summary} />
        </section>
      )}
      {summary.reasons.length > 0 && (
        <section>
          <h2>The gate</h2>
          <ul class="reasons">
            {summary.reasons.map(({ rule, passes, text }) => (
              <li key={rule} data-passes={passes}>
                <strong>{rule}</strong> {text}
              </li>
            ))}
          </ul>
        </section>
      )}
      <section>
        <Details summary={summary} />
      </section>
      {summary.back !== null && (
        <p class="hint">
          To go back: <code>{summary.back}</code>
        </p>
      )}
    </div>
  );
}
