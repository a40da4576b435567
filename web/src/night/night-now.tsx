// The night that is now, on every page: how far it is, stop and go on; and the one that waits for
// the person in the morning.
import { computed, signal } from '@preact/signals';
import type { VNode } from 'preact';
import { progressText } from '../../../src/protocol/progress-text.ts';
import { keep, kept } from '../kept.ts';
import { follow } from '../page-route.ts';
import { attempt, night } from '../page-state.ts';
import { withoutEcho } from '../press.ts';
import { nights, runNight, stopNight } from './api.ts';

const OPENED = 'night-opened';
const opened = signal(kept(OPENED));

export function noteOpened(nightId: string): void {
  keep(OPENED, nightId);
  opened.value = nightId;
}

/** Until it was decided, or opened where there is nothing to decide. */
export const news = computed(() => {
  const lines = [...(nights.value?.nights ?? [])].sort((a, b) => b.number - a.number);
  const waiting = lines.find(({ status }) => status === 'waiting');
  const [last] = lines;
  const isNew =
    last !== undefined && last.status !== 'empty' && last.nightId > (opened.value ?? '');
  return waiting ?? (isNew ? last : null);
});

/** Asked for, and the day is still being read: with a large model that takes a while. */
export const isBeginning = signal(false);

export const beginNight = withoutEcho(() => {
  isBeginning.value = true;
  void attempt(runNight).finally(() => {
    isBeginning.value = false;
  });
});

export function NightNow(): VNode | null {
  const running = night.value;
  const stopped = nights.value?.stopped ?? null;
  if (running === null && stopped === null) return null;
  return (
    <section class="night-now" aria-label="The running night">
      {running === null ? (
        <>
          <span>Night {stopped} was stopped.</span>
          <button type="button" onClick={beginNight}>
            Go on
          </button>
        </>
      ) : (
        <>
          <progress value={running.share} aria-label={`Night ${running.nightId}`} />
          <a href="/nights" onClick={follow}>
            {progressText(running)}
          </a>
          <button type="button" onClick={() => void attempt(stopNight)}>
            Stop
          </button>
        </>
      )}
    </section>
  );
}

/** On the page of a new conversation. */
export function Morning(): VNode | null {
  const line = news.value;
  if (line === null) return null;
  return (
    <a class="card morning" href={`/nights/${line.nightId}`} onClick={follow}>
      <strong>
        {line.status === 'waiting'
          ? `Night ${line.number} waits for you`
          : `The morning after night ${line.number}`}
      </strong>
      <span>{line.headline.replace(/^Night \d+: /, '')}</span>
    </a>
  );
}
