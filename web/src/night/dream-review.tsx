// Looking through a night's dreams: leave single ones out, reword a reply, have it trained again.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { ReviewedDream, ReviewRequest, ReviewView } from '../../../src/protocol/summary.ts';
import { tell } from '../page-state.ts';
import { changeDream, loadReview, retrain } from './api.ts';
import { Dream } from './details.tsx';

type Change = Omit<ReviewRequest, 'dreamId'>;

interface RowProps {
  readonly dream: ReviewedDream;
  readonly canChange: boolean;
  readonly isBusy: boolean;
  readonly onChange: (change: Change) => void;
}

interface WordsProps {
  readonly words: string;
  readonly isBusy: boolean;
  /** Null: never mind. */
  readonly onWords: (words: string | null) => void;
  readonly onKeep: () => void;
}

function Words({ words, isBusy, onWords, onKeep }: WordsProps): VNode {
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onKeep();
      }}
    >
      <label>
        A reply that listens
        <textarea rows={2} value={words} onInput={(event) => onWords(event.currentTarget.value)} />
      </label>
      <div class="decide">
        <button type="submit" disabled={isBusy || words.trim() === ''}>
          Keep these words
        </button>
        <button type="button" class="quiet" onClick={() => onWords(null)}>
          Never mind
        </button>
      </div>
    </form>
  );
}

function Row({ dream, canChange, isBusy, onChange }: RowProps): VNode {
  const [words, setWords] = useState<string | null>(null);
  const marks = [
    dream.isDropped ? 'left out' : '',
    dream.isReworded ? 'your words' : '',
    dream.pairId === null ? '' : 'one of a pair: both stay or go',
  ].filter((mark) => mark !== '');
  return (
    <li data-dropped={dream.isDropped} aria-label={`Dream ${dream.number}`}>
      <Dream dream={dream} />
      <small>{marks.join(' · ')}</small>
      {canChange && words === null && (
        <div class="decide">
          <button
            type="button"
            class="quiet"
            disabled={isBusy}
            onClick={() => onChange({ isDropped: !dream.isDropped })}
          >
            {dream.isDropped ? 'Take it in again' : 'Leave it out'}
          </button>
          <button type="button" class="quiet" onClick={() => setWords(dream.chosen)}>
            Reword the reply
          </button>
          {dream.isReworded && (
            <button
              type="button"
              class="quiet"
              disabled={isBusy}
              onClick={() => onChange({ chosen: null })}
            >
              As it was
            </button>
          )}
        </div>
      )}
      {words !== null && (
        <Words
          words={words}
          isBusy={isBusy}
          onWords={setWords}
          onKeep={() => {
            onChange({ chosen: words });
            setWords(null);
          }}
        />
      )}
    </li>
  );
}

function Again({ view, isBusy, onAgain }: AgainProps): VNode {
  if (!view.canChange) {
    return <p class="hint">This night was decided; its dreams are as they were.</p>;
  }
  if (view.changes === 0) {
    return (
      <p class="hint">
        Leave out what should not be learnt, or put a reply in your own words. The night can then be
        trained again without dreaming anew; the gate judges it like any other.
      </p>
    );
  }
  return (
    <div class="decide">
      <button type="button" class="primary" disabled={isBusy} onClick={onAgain}>
        Train it again with {view.changes === 1 ? 'this change' : `these ${view.changes} changes`}
      </button>
    </div>
  );
}

interface AgainProps {
  readonly view: ReviewView;
  readonly isBusy: boolean;
  readonly onAgain: () => void;
}

/** Read only when it is opened: most mornings nobody needs it. */
export function Review({ nightId }: { nightId: string }): VNode {
  const [view, setView] = useState<ReviewView | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [isStarted, setStarted] = useState(false);
  const act = (run: () => Promise<void>): void => {
    setBusy(true);
    run()
      .catch(tell)
      .finally(() => setBusy(false));
  };
  const change = (dreamId: string) => (wanted: Change) =>
    act(async () => setView(await changeDream(nightId, { dreamId, ...wanted })));
  return (
    <details
      class="review"
      onToggle={(event) => {
        if (event.currentTarget.open && view === null)
          act(async () => setView(await loadReview(nightId)));
      }}
    >
      <summary>Look through its dreams</summary>
      {view !== null && (
        <>
          {isStarted ? (
            <p role="status">It is being trained again; the new night appears in the list.</p>
          ) : (
            <Again
              view={view}
              isBusy={isBusy}
              onAgain={() =>
                act(async () => {
                  await retrain(nightId);
                  setStarted(true);
                })
              }
            />
          )}
          <ul class="plain">
            {view.dreams.map((dream) => (
              <Row
                key={dream.id}
                dream={dream}
                canChange={view.canChange && !isStarted}
                isBusy={isBusy}
                onChange={change(dream.id)}
              />
            ))}
          </ul>
        </>
      )}
    </details>
  );
}
