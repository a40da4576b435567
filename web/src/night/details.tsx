// The details of a night: where attention moved, what was dreamt, how it trained, how long it took.

import type { VNode } from 'preact';
import { fixed, percent, signed } from '../../../src/protocol/number-text.ts';
import type { DreamView, NightSummary } from '../../../src/protocol/summary.ts';
import { HeadMap, Losses } from './plot.tsx';
import { Replies } from './reply-samples.tsx';

const SPEAKER = { system: 'Told at first', user: 'You', assistant: 'Attune' } as const;

/** A dream as it trained, its marked words lit. */
export function Dream({ dream }: { dream: DreamView }): VNode {
  return (
    <article class="dream">
      <small>
        {dream.kind}
        {dream.sampledShare !== null &&
          ` · ${percent(dream.sampledShare)} of it written by the model itself`}
      </small>
      {dream.turns.map((turn, index) => (
        <p key={index} class={turn.role}>
          <small>{SPEAKER[turn.role]}:</small> {lit(turn.content, index, dream)}
        </p>
      ))}
      <p class="better">
        <small>It learns to say:</small> {dream.chosen}
      </p>
      {dream.rejected !== null && (
        <p class="drift">
          <small>Not:</small> {dream.rejected}
        </p>
      )}
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

function Dreams({ dreams }: Pick<NightSummary, 'dreams'>): VNode {
  const admitted = dreams.byKind.reduce((sum, kind) => sum + kind.admitted, 0);
  const written = dreams.byKind.reduce((sum, kind) => sum + kind.written, 0);
  return (
    <details>
      <summary>
        Dreams: {admitted} of {written} admitted
        {dreams.sampledShare !== null &&
          `, ${percent(dreams.sampledShare)} of their words sampled by the model`}
      </summary>
      <ul class="plain">
        {dreams.byKind.map((kind) => (
          <li key={kind.kind}>
            {kind.kind}: {kind.admitted} of {kind.written}
          </li>
        ))}
        {dreams.refused.map(({ reason, count }) => (
          <li key={reason} class="hint">
            refused, {reason}: {count}
          </li>
        ))}
      </ul>
      {dreams.samples.map((dream) => (
        <Dream key={dream.id} dream={dream} />
      ))}
    </details>
  );
}

function Training({ training }: { training: NonNullable<NightSummary['training']> }): VNode {
  return (
    <details>
      <summary>
        Training: {training.examples} examples, {training.steps} steps; the weights that decide what
        it looks at (W_q) moved {percent(training.relativeNorm, 2)}
      </summary>
      <Losses losses={training.losses} />
      <p class="hint">
        {training.tokens.toLocaleString()} tokens; stopped because {training.stoppedBecause}.
      </p>
    </details>
  );
}

function Facts({ summary: { phases, facts, swap } }: { summary: NightSummary }): VNode {
  return (
    <details>
      <summary>Time and other numbers</summary>
      <dl class="facts">
        {phases.map(({ phase, ms }) => (
          <div key={phase}>
            <dt>{phase}</dt>
            <dd>{fixed(ms / 1000, 1)} s</dd>
          </div>
        ))}
        {Object.entries(facts).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{Number.isInteger(value) ? value.toLocaleString() : value.toPrecision(4)}</dd>
          </div>
        ))}
        {swap !== null && (
          <div>
            <dt>swap</dt>
            <dd>
              {swap.repliesInFlight} replies in flight, stall {fixed(swap.stallMs, 1)} ms
            </dd>
          </div>
        )}
      </dl>
    </details>
  );
}

/** Whether the light is more than light: where it moved most, did the reply change? */
function Predicts({ predicts }: { predicts: NonNullable<NightSummary['predicts']> }): VNode {
  const { rho, low, high, moments } = predicts;
  const says =
    low > 0
      ? 'where it moved more, replies changed more often'
      : 'its movement does not say which replies changed';
  return (
    <p class="hint">
      On {moments} moments, {says} (rank correlation {signed(rho, 2)}, 95 % {signed(low, 2)} to{' '}
      {signed(high, 2)}).
    </p>
  );
}

export function Details({ summary }: { summary: NightSummary }): VNode {
  return (
    <section>
      {summary.lift.length > 0 && (
        <details open>
          <summary>Where attention moved, layer by head</summary>
          <div class="maps">
            {summary.lift.map((lift) => (
              <HeadMap key={lift.feature} lift={lift} />
            ))}
          </div>
          {summary.predicts !== null && <Predicts predicts={summary.predicts} />}
        </details>
      )}
      {summary.replies !== null && <Replies replies={summary.replies} />}
      <Dreams dreams={summary.dreams} />
      {summary.training !== null && <Training training={summary.training} />}
      <Facts summary={summary} />
    </section>
  );
}
