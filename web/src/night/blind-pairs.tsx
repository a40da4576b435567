// Old and new replies judged blind, before the page says which is which.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { BlindAnswer, BlindPair, BlindView } from '../../../src/protocol/summary.ts';
import { tell } from '../page-state.ts';
import { answerBlind, decide } from './api.ts';

interface PairProps {
  readonly pair: BlindPair;
  readonly isBusy: boolean;
  readonly onChoice: (choice: BlindAnswer['choice']) => void;
}

function Pair({ pair, isBusy, onChoice }: PairProps): VNode {
  return (
    <article class="moment" aria-label="Two replies">
      <p class="direction">“{pair.direction}”</p>
      <div class="pair">
        {(['a', 'b'] as const).map((side) => (
          <div class="candidate" key={side}>
            <p>{pair[side] || '(nothing)'}</p>
            <button type="button" disabled={isBusy} onClick={() => onChoice(side)}>
              This one listens better
            </button>
          </div>
        ))}
      </div>
      <button type="button" class="quiet" disabled={isBusy} onClick={() => onChoice('same')}>
        Neither is better
      </button>
    </article>
  );
}

interface BlindProps {
  readonly nightId: string;
  readonly view: BlindView;
  /** The answers still decide something. */
  readonly isOpen: boolean;
  readonly onView: (view: BlindView) => void;
  readonly onSkip: () => void;
}

/** One pair at a time, so that an answer cannot lean on the one beside it. */
export function Blind({ nightId, view, isOpen, onView, onSkip }: BlindProps): VNode | null {
  const [isBusy, setBusy] = useState(false);
  const pair = view.pairs[0];
  if (pair === undefined) return null;
  const choose = (choice: BlindAnswer['choice']): void => {
    setBusy(true);
    answerBlind(nightId, { flagId: pair.flagId, choice })
      .then(onView, tell)
      .finally(() => setBusy(false));
  };
  return (
    <section aria-label="Blind comparison">
      <h2>Which reply listens?</h2>
      <p class="hint">
        One is from before the night, one from after; you will see which in a moment.{' '}
        {view.pairs.length === 1 ? 'This is the last pair.' : `${view.pairs.length} pairs.`}{' '}
        {isOpen && 'When you mostly prefer the old ones, the night is not used.'}
      </p>
      <Pair key={pair.flagId} pair={pair} isBusy={isBusy} onChoice={choose} />
      <button type="button" class="quiet" onClick={onSkip}>
        Skip this and show me
      </button>
    </section>
  );
}

interface TallyProps {
  readonly nightId: string;
  readonly view: BlindView;
  readonly status: string;
  readonly onDecided: () => void;
}

/** What the blind answers came to, and what follows from them. */
export function Tally({ nightId, view, status, onDecided }: TallyProps): VNode | null {
  const { tally, isVeto } = view;
  if (tally === null) return null;
  const total = tally.old + tally.new + tally.same;
  return (
    <div class="tally" data-veto={isVeto}>
      <p>
        Blind, you preferred the new reply {tally.new} of {total} times, the old one {tally.old}
        {tally.same > 0 && `, and neither ${tally.same}`}.
      </p>
      {isVeto && status === 'rejected' && <p>So this night is not used.</p>}
      {isVeto && status === 'in-force' && (
        <>
          <p>Its weights are in use. You can take it back at once.</p>
          <button
            type="button"
            class="primary"
            onClick={() => void decide(nightId, 'revert').then(onDecided, tell)}
          >
            Take this night back
          </button>
        </>
      )}
    </div>
  );
}
