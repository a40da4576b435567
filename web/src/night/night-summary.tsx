// One night on one screen: what it learnt from, what changed, whether to trust it, the way back.

import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { signed } from '../../../src/protocol/number-text.ts';
import type { BlindView, FlaggedView, NightView } from '../../../src/protocol/summary.ts';
import { follow, go } from '../page-route.ts';
import { nightsDone, tell } from '../page-state.ts';
import { decide, loadBlind, loadNights, loadSummary, retrain, STATUS } from './api.ts';
import { Blind, Tally } from './blind-pairs.tsx';
import { Details } from './details.tsx';
import { Review } from './dream-review.tsx';
import { Glance } from './glance.tsx';
import { noteOpened } from './night-now.tsx';
import { Gate, Numbers } from './numbers.tsx';

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

interface DecideProps {
  readonly summary: NightView;
  /** The way back is offered above already. */
  readonly isVeto: boolean;
  readonly onDecided: () => void;
}

function Decide({ summary, isVeto, onDecided }: DecideProps): VNode {
  const { nightId, status, remedy } = summary;
  const [isBusy, setBusy] = useState(false);
  const act = (decision: 'approve' | 'reject' | 'revert') => () => {
    setBusy(true);
    decide(nightId, decision)
      .then(onDecided, tell)
      .finally(() => setBusy(false));
  };
  return (
    <div class="decide">
      {status === 'waiting' && summary.isOffered && (
        <p>
          Its gain is too small to be sure of with so few flags, and it kept everything else. Try it
          for a day, and take it back here if it does not listen better.
        </p>
      )}
      {status === 'waiting' && (
        <>
          {remedy === null && (
            <button type="button" class="primary" disabled={isBusy} onClick={act('approve')}>
              {summary.isOffered ? 'Try it for a day' : 'Use these weights'}
            </button>
          )}
          <button type="button" disabled={isBusy} onClick={act('reject')}>
            Leave them
          </button>
        </>
      )}
      {status === 'in-force' && !isVeto && (
        <button type="button" disabled={isBusy} onClick={act('revert')}>
          Take this night back
        </button>
      )}
      {(status === 'rejected' || status === 'reverted') && (
        <button type="button" disabled={isBusy} onClick={act('approve')}>
          Use it after all
        </button>
      )}
      {summary.flagged.length > 0 && (
        <a class="button" href={`/nights/${nightId}/slider`} onClick={follow}>
          See the light move
        </a>
      )}
    </div>
  );
}

const REMEDY = {
  retrain: 'Train it again without them',
  revert: 'Take this night back',
  reject: 'Leave these weights',
} as const;

/** What to do about words that were excluded, withdrawn or deleted after the night learnt them. */
function TakenBack({ summary, onDecided }: Omit<DecideProps, 'isVeto'>): VNode | null {
  const { nightId, remedy } = summary;
  const [isBusy, setBusy] = useState(false);
  if (remedy === null) return null;
  const act = (): void => {
    setBusy(true);
    (remedy === 'retrain' ? retrain(nightId) : decide(nightId, remedy))
      .then(() => (remedy === 'retrain' ? go('/nights') : onDecided()))
      .catch(tell)
      .finally(() => setBusy(false));
  };
  return (
    <section class="card" role="note">
      <p>This night has learnt from words that you took back since.</p>
      <button type="button" class="primary" disabled={isBusy} onClick={act}>
        {REMEDY[remedy]}
      </button>
    </section>
  );
}

/** So many are shown at once; the others wait behind a line. */
const FLAGGED_SHOWN = 2;

function FlaggedList({ flagged }: { flagged: readonly FlaggedView[] }): VNode {
  const list = (moments: readonly FlaggedView[]): VNode[] =>
    moments.map((moment) => <Flagged key={moment.flagId} moment={moment} />);
  const rest = flagged.slice(FLAGGED_SHOWN);
  return (
    <section>
      <h2>What you flagged</h2>
      {list(flagged.slice(0, FLAGGED_SHOWN))}
      {rest.length > 0 && (
        <details>
          <summary>{rest.length} more</summary>
          {list(rest)}
        </details>
      )}
    </section>
  );
}

function Results({ summary }: { summary: NightView }): VNode {
  return (
    <>
      {summary.flagged.length > 0 && <FlaggedList flagged={summary.flagged} />}
      {summary.measures.length > 0 && (
        <section>
          <h2>Did it learn to listen?</h2>
          <Numbers summary={summary} />
        </section>
      )}
      {summary.reasons.length > 0 && (
        <section>
          <h2>The gate</h2>
          <Gate reasons={summary.reasons} />
        </section>
      )}
    </>
  );
}

/** It learnt, and nobody has taken it into use. */
const isOpenToReview = ({ status, training }: NightView): boolean =>
  training !== null && (status === 'waiting' || status === 'refused' || status === 'rejected');

/** A night and its blind pairs, read again when something was decided. */
function useNight(id: string) {
  const [summary, setSummary] = useState<NightView | null>(null);
  const [blind, setBlind] = useState<BlindView | null>(null);
  const [count, setCount] = useState(0);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    const read = async (): Promise<void> => {
      const [night, pairs] = await Promise.all([loadSummary(id), loadBlind(id)]);
      setSummary(night);
      setBlind(pairs);
      noteOpened(id);
      if (count > 0) await loadNights();
    };
    read().catch((error: Error) => setProblem(error.message));
  }, [id, count, nightsDone.value]);
  return { summary, blind, problem, again: () => setCount((n) => n + 1) };
}

export function Summary({ id }: { id: string }): VNode {
  const { summary, blind, problem, again } = useNight(id);
  const [isSkipped, setSkipped] = useState(false);
  if (summary === null || blind === null) {
    return <p class="empty hint">{problem ?? 'Reading the night…'}</p>;
  }
  const isBlind = blind.pairs.length > 0 && !isSkipped;
  return (
    <div class="column summary">
      <section>
        <p class="verdict" data-status={summary.status}>
          Night {summary.number}, {summary.day} · {STATUS[summary.status]}
        </p>
        <h1>{summary.headline}</h1>
        <p class="hint">{summary.evidence}</p>
        <Tally nightId={id} view={blind} status={summary.status} onDecided={again} />
        <TakenBack summary={summary} onDecided={again} />
        {!isBlind && <Glance summary={summary} />}
        {!isBlind && <Decide summary={summary} isVeto={blind.isVeto} onDecided={again} />}
      </section>
      {isBlind ? (
        <Blind
          nightId={id}
          view={blind}
          isOpen={summary.status === 'waiting' || summary.status === 'in-force'}
          onView={again}
          onSkip={() => setSkipped(true)}
        />
      ) : (
        <Results summary={summary} />
      )}
      {!isBlind && <Details summary={summary} />}
      {!isBlind && isOpenToReview(summary) && <Review nightId={id} />}
      {summary.back !== null && (
        <p class="hint">
          To go back in the terminal: <code>{summary.back}</code>
        </p>
      )}
    </div>
  );
}
