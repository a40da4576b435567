// Old and new replies judged blind, before the page says which is which.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type {
  BlindAnswer,
  BlindPair,
  BlindView,
  TrialView,
} from '../../../src/protocol/summary.ts';
import { tell } from '../page-state.ts';
import { answerBlind, answerTrial, loadTrial } from './api.ts';

interface PairProps {
  readonly pair: BlindPair;
  readonly isBusy: boolean;
  readonly onChoice: (choice: BlindAnswer['choice']) => void;
}

/** What a reply answers, where that is another message than the direction. */
export const Asked = ({ text }: { text: string }): VNode => (
  <span class="asked">
    <small>then</small> “{text}”
  </span>
);

function Pair({ pair, isBusy, onChoice }: PairProps): VNode {
  return (
    <article class="moment" aria-label="Two replies">
      <p class="direction" dir="auto">
        “{pair.direction}”{pair.asked && <Asked text={pair.asked} />}
      </p>
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

/** Pairs of today's own messages; asked for, since the model has to answer twice. */
export function Trial({ nightId }: { nightId: string }): VNode {
  const [view, setView] = useState<TrialView | null>(null);
  const [isBusy, setBusy] = useState(false);
  const read = (load: () => Promise<TrialView>): void => {
    setBusy(true);
    load()
      .then(setView, tell)
      .finally(() => setBusy(false));
  };
  const { pair = null, tally, stays = false } = view ?? {};
  return (
    <div class="trial" aria-busy={isBusy}>
      {tally !== undefined && (
        <p role="status">
          You preferred its replies {tally.new} times, the old ones {tally.old}: it{' '}
          {stays ? 'stays' : 'is taken back tonight'}.
        </p>
      )}
      {pair === null ? (
        <>
          {view !== null && (
            <p class="hint">
              Nothing more was said today to which the two answer differently. Talk on, and look
              again.
            </p>
          )}
          <button type="button" disabled={isBusy} onClick={() => read(() => loadTrial(nightId))}>
            {isBusy ? 'Both answer…' : 'Compare two replies to what you said today'}
          </button>
        </>
      ) : (
        <Pair
          key={pair.flagId}
          pair={pair}
          isBusy={isBusy}
          onChoice={(choice) => read(() => answerTrial(nightId, { flagId: pair.flagId, choice }))}
        />
      )}
    </div>
  );
}

/** What the blind answers came to. */
export function Tally({ view: { tally, isVeto } }: { view: BlindView }): VNode | null {
  if (tally === null) return null;
  const total = tally.old + tally.new + tally.same;
  return (
    <p class="tally" data-veto={isVeto}>
      Blind, you preferred the new reply {tally.new} of {total} times, the old one {tally.old}
      {tally.same > 0 && `, and neither ${tally.same}`}.
    </p>
  );
}
