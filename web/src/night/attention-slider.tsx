// The night slider: one flagged moment, its words fixed, lit by the attention of the decision row;
// drag from the base to tonight and the light moves; let go and that version answers again.

import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { pointsText } from '../../../src/protocol/listening-text.ts';
import { percent, signed } from '../../../src/protocol/number-text.ts';
import type { SliderMoment, SliderToken, SliderView } from '../../../src/protocol/summary.ts';
import { follow } from '../page-route.ts';
import { loadSlider, sliderReply } from './api.ts';
import { Recorded } from './recorded.tsx';

/** Between two stops the light is the mixture of both; at a stop it is what was measured. */
function mixed(moment: SliderMoment, at: number, read: (stop: number) => number): number {
  const low = Math.floor(at);
  const high = Math.min(low + 1, moment.stops.length - 1);
  return read(low) + (read(high) - read(low)) * (at - low);
}

interface Turn {
  readonly role: SliderToken['role'];
  /** Places of its tokens in the moment. */
  readonly places: number[];
}

/** Message by message; word-pieces without a letter (control tokens) belong to the one before. */
function turnsOf({ tokens }: SliderMoment): Turn[] {
  const turns: Turn[] = [];
  for (const [i, { text, role }] of tokens.entries()) {
    if (turns.length === 0 || text.startsWith('\n')) turns.push({ role, places: [] });
    turns.at(-1)?.places.push(i);
  }
  return turns;
}

const SPEAKER = { system: 'Told at first', user: 'You', assistant: 'Attune' } as const;

/** What is decided about stands at the end: there the reading begins. */
function Words({ moment, at }: { moment: SliderMoment; at: number }): VNode {
  const box = useRef<HTMLElement>(null);
  useEffect(() => box.current?.scrollTo(0, box.current.scrollHeight), []);
  const light = moment.tokens.map((_, i) =>
    mixed(moment, at, (stop) => moment.stops[stop]?.attention[i] ?? 0),
  );
  // One scale for all stops, so that the light can be compared while it moves.
  const top = Math.max(...moment.stops.flatMap((stop) => stop.attention), 1e-6);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls is for the keyboard, too
    <section class="lit" ref={box} tabIndex={0} aria-label="The conversation">
      {turnsOf(moment).map(({ role, places }, turn) => (
        <div class="said" data-role={role} key={turn}>
          <small>{SPEAKER[role]}</small>
          <p>
            {places.map((i) => (
              <span
                key={i}
                data-feature={moment.tokens[i]?.feature ?? ''}
                style={{ '--light': Math.sqrt((light[i] ?? 0) / top).toFixed(3) }}
              >
                {moment.tokens[i]?.text.replace(/^\n/, '')}
              </span>
            ))}
          </p>
        </div>
      ))}
    </section>
  );
}

const FEATURES = [
  ['direction', 'Your direction'],
  ['own-idea', 'Its own idea'],
] as const;

/** Shares of the light on what is marked, and how far they are from where the base had them. */
function Shares({ moment, at }: { moment: SliderMoment; at: number }): VNode {
  const isMarked = (name: string): boolean => moment.tokens.some(({ feature }) => feature === name);
  return (
    <dl class="shares">
      {FEATURES.filter(([feature]) => isMarked(feature)).map(([feature, label]) => {
        const shareAt = (stop: number): number => moment.stops[stop]?.share[feature] ?? 0;
        const share = mixed(moment, at, shareAt);
        return (
          <div key={feature} data-feature={feature}>
            <dt>{label}</dt>
            <dd>
              <meter min={0} max={1} value={share} />
              <span>
                {percent(share, 1)}{' '}
                <small>{signed(100 * (share - shareAt(0)), 1)} points since the base</small>
              </span>
            </dd>
          </div>
        );
      })}
    </dl>
  );
}

/** Where the slider stands, and what the version there answers; only the latest asked counts. */
function useStop(id: string, moment: SliderMoment) {
  const last = moment.stops.length - 1;
  const [at, setAt] = useState(last);
  const [reply, setReply] = useState<string | null>(null);
  const asked = useRef(0);
  const goTo = (to: number): void => {
    const stop = Math.max(0, Math.min(last, to));
    asked.current += 1;
    const own = asked.current;
    setAt(stop);
    setReply(null);
    sliderReply(id, moment.flagId, stop).then(
      ({ text }) => own === asked.current && setReply(text || '(nothing)'),
      (error: Error) => own === asked.current && setReply(`It could not answer: ${error.message}`),
    );
  };
  useEffect(() => goTo(last), []);
  return { at, setAt, reply, goTo };
}

/** From stop to stop with the arrows; between them only while it is dragged. */
const STEPS: Record<string, number> = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 };

function Moment({ id, moment }: { id: string; moment: SliderMoment }): VNode {
  const { at, setAt, reply, goTo } = useStop(id, moment);
  const stop = Math.round(at);
  const label = moment.stops[stop]?.label;
  const last = moment.stops.length - 1;
  const isNamed = (i: number): boolean => last < 5 || i === 0 || i === last || i === stop;
  return (
    <section class="slider" aria-label={`“${moment.direction}”`}>
      <Words moment={moment} at={at} />
      <Shares moment={moment} at={at} />
      <input
        type="range"
        min={0}
        max={last}
        step={0.01}
        value={at}
        aria-label="Night"
        aria-valuetext={label}
        onInput={(event) => setAt(Number(event.currentTarget.value))}
        onChange={() => goTo(stop)}
        onKeyDown={(event) => {
          const step = STEPS[event.key];
          if (step === undefined) return;
          event.preventDefault();
          goTo(stop + step);
        }}
      />
      <div class="stops" aria-hidden="true">
        {moment.stops.map((one, i) => (
          <span key={one.version} data-here={i === stop}>
            {isNamed(i) ? one.label : '·'}
          </span>
        ))}
      </div>
      <div class="answer" aria-live="polite" aria-busy={reply === null}>
        <small>{label} answers</small>
        <p>{reply ?? <i class="breath" aria-hidden="true" />}</p>
      </div>
    </section>
  );
}

export function Slider({ id }: { id: string }): VNode {
  const [view, setView] = useState<SliderView | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    loadSlider(id).then(setView, (error: Error) => setProblem(error.message));
  }, [id]);
  if (view === null) return <p class="empty hint">{problem ?? 'Lighting the words…'}</p>;
  if (view.moments.length === 0) {
    return <p class="empty hint">No flagged moment of this night can be shown any more.</p>;
  }
  return (
    <div class="column">
      <Recorded id={id} />
      <p class="hint">
        One moment, its words fixed. The brighter a word, the more the model looks at it when it
        begins its reply. Drag from the base model to this night and watch where the light goes; let
        go, and that version answers.
      </p>
      {view.moments.map((moment) => (
        <Moment key={moment.flagId} id={id} moment={moment} />
      ))}
      <p class="hint">
        At each stop every weight but W_q is the base model's, bit for bit (
        <code>{view.frozenHash.slice(0, 16)}</code>).{' '}
        {view.bothRight !== null && `Listening of this night: ${pointsText(view.bothRight)}. `}
        <a href={`/nights/${id}`} onClick={follow}>
          The whole summary
        </a>
      </p>
    </div>
  );
}
