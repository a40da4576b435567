// The nights: what is under way, the trend, every night with its verdict.

import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { pointsText } from '../../../src/protocol/listening-text.ts';
import type { NightLine, NightList } from '../../../src/protocol/summary.ts';
import { MenuButton } from '../chat/head.tsx';
import { follow, go } from '../page-route.ts';
import { attempt, conversations, night } from '../page-state.ts';
import { dayText, loadNights, nights, STATUS } from './api.ts';
import { Slider } from './attention-slider.tsx';
import { beginNight, isBeginning } from './night-now.tsx';
import { Summary } from './night-summary.tsx';
import { Offered } from './offered.tsx';
import { Trend } from './plot.tsx';

const momentOf = (at: number): string =>
  new Date(at).toLocaleString(undefined, { dateStyle: 'full', timeStyle: 'short' });

function Line({ line }: { line: NightLine }): VNode {
  return (
    <li>
      <a class="night" href={`/nights/${line.nightId}`} onClick={follow}>
        <strong>Night {line.number}</strong>
        <span>{line.headline.replace(/^Night \d+: /, '')}</span>
        <small>
          <b data-status={line.status}>{STATUS[line.status]}</b> · {dayText(line.day)}
          {line.bothRight !== null && ` · listening ${pointsText(line.bothRight)}`}
        </small>
        {line.remedy !== null && (
          <small class="taken-back">Has learnt from words that you took back since</small>
        )}
      </a>
    </li>
  );
}

function Problems({ problems }: { problems: readonly string[] }): VNode | null {
  if (problems.length === 0) return null;
  return (
    <section class="card" role="alert">
      <h2>Something needs you</h2>
      <ul>
        {problems.map((problem) => (
          <li key={problem}>{problem}</li>
        ))}
      </ul>
    </section>
  );
}

function Trends({ list }: { list: NightList }): VNode | null {
  if (list.nights.length < 2) return null;
  const lines = [...list.nights].sort((a, b) => a.number - b.number);
  const trend = (label: string, wish: string, read: (line: NightLine) => number | null): VNode => (
    <Trend
      label={label}
      wish={wish}
      nights={lines.map((line) => ({ name: `Night ${line.number}`, value: read(line) }))}
    />
  );
  return (
    <details class="trends">
      <summary>From night to night, also those that are not in use</summary>
      <div>
        {trend(
          'Listening gained',
          'share of the tests; more is better',
          (l) => l.bothRight?.mean ?? null,
        )}
        {trend(
          'Beyond the placebo',
          'what a training without your words did not gain; more is better',
          (l) => l.beyondPlacebo?.mean ?? null,
        )}
        {trend(
          'Defence gap',
          'nats a token by which its own idea is in the way; less is better',
          (l) => l.defenceGap,
        )}
        {trend('Flags per 100 replies', 'fewer is better', (l) => l.flagsPer100)}
      </div>
    </details>
  );
}

/** Asked for only where the browser can tell, and nobody has answered yet. */
function TellMe(): VNode | null {
  const [permission, setPermission] = useState(
    'Notification' in window ? Notification.permission : 'denied',
  );
  if (permission !== 'default') return null;
  return (
    <button
      type="button"
      class="tell-me"
      onClick={() => void Notification.requestPermission().then(setPermission, () => undefined)}
    >
      Tell me on the desktop when a night is over
    </button>
  );
}

function List(): VNode {
  const undecided = conversations.value.filter(({ isUndecided }) => isUndecided).length;
  useEffect(() => void attempt(loadNights), [undecided]);
  const list = nights.value;
  const lines = [...(list?.nights ?? [])].sort((a, b) => b.number - a.number);
  const next = list?.nextAt ?? null;
  const isUnderWay = night.value !== null || isBeginning.value;
  return (
    <>
      <header class="head">
        <MenuButton />
        <h1>Nights</h1>
        <button type="button" class="push" disabled={isUnderWay} onClick={beginNight}>
          {isBeginning.value ? 'Reading the day…' : 'Dream now'}
        </button>
      </header>
      <div class="scroller">
        <div class="column">
          {list !== null && <Problems problems={list.problems} />}
          {list !== null && <Offered offered={list.offered} />}
          {list !== null && <Trends list={list} />}
          {list === null && <p class="empty hint">The nights are read once the daemon answers…</p>}
          {list !== null && lines.length === 0 && !isUnderWay && (
            <div class="empty">
              <h1>No night of this model yet</h1>
              <p>
                Flag the moments in which a reply did not listen.
                {next !== null && ` The next night is ${momentOf(next)}.`}
              </p>
            </div>
          )}
          {lines.length === 0 && isUnderWay && (
            <div class="empty">
              <h1>The first night is under way</h1>
              <p>
                It writes scenarios around what you flagged, trains on them, and measures what
                changed. You can go on talking meanwhile. In the morning you find here what it came
                to.
              </p>
            </div>
          )}
          <ol class="nights">
            {lines.map((line) => (
              <Line key={line.nightId} line={line} />
            ))}
          </ol>
          <TellMe />
          {lines.length > 0 && next !== null && (
            <p class="hint">The next night is {momentOf(next)}.</p>
          )}
        </div>
      </div>
    </>
  );
}

export function Nights({ id, view }: { id: string | null; view: 'summary' | 'slider' }): VNode {
  return (
    <main class="page">
      {id === null ? (
        <List />
      ) : (
        <>
          <header class="head">
            <MenuButton />
            <button type="button" class="quiet" onClick={() => go('/nights')}>
              ← Nights
            </button>
            {view === 'slider' && <h1>The night slider</h1>}
          </header>
          <div class="scroller">
            {view === 'summary' ? <Summary key={id} id={id} /> : <Slider key={id} id={id} />}
          </div>
        </>
      )}
    </main>
  );
}
