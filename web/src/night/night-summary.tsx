// The morning after a night: your moments then and now, one sentence, one button; the rest folded.

import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { BlindView, FlaggedView, LitWords, NightView } from '../../../src/protocol/summary.ts';
import {
  adviceOf,
  adviceText,
  againstText,
  changeText,
  elsewhereText,
} from '../../../src/protocol/verdict-text.ts';
import { follow, go } from '../page-route.ts';
import { nightsDone, tell } from '../page-state.ts';
import {
  dayText,
  decide,
  loadBlind,
  loadNights,
  loadSummary,
  RECORDED,
  retrain,
  STATUS,
} from './api.ts';
import { Asked, Blind, Tally, Trial } from './blind-pairs.tsx';
import { Details } from './details.tsx';
import { Review } from './dream-review.tsx';
import { noteOpened } from './night-now.tsx';
import { Gate, Numbers } from './numbers.tsx';
import { Recorded } from './recorded.tsx';

/** What takes up the person's words, and the model's own idea, told apart by more than colour. */
function Lit({ text, lit }: { text: string; lit: readonly LitWords[] }): VNode {
  const parts: VNode[] = [];
  let at = 0;
  for (const { feature, start, end } of lit) {
    if (start < at) continue;
    parts.push(<span key={at}>{text.slice(at, start)}</span>);
    parts.push(
      <mark key={`m${start}`} data-feature={feature} title={FEATURE[feature]}>
        {text.slice(start, end)}
      </mark>,
    );
    at = end;
  }
  return (
    <p dir="auto">
      {parts}
      {text.slice(at) || (text === '' && '(nothing)')}
    </p>
  );
}

const FEATURE = { direction: 'what you asked for', 'own-idea': 'its own idea' } as const;

function Flagged({ moment }: { moment: FlaggedView }): VNode {
  const { does, lit, oldReply, newReply, isHeldBack } = moment;
  const reply = (when: 'before' | 'after', label: string, text: string): VNode => (
    <div>
      <small>
        {label}
        {does !== null && <b data-does={does[when]}>{does[when] ? ' ✓ does it' : ' ✗ does not'}</b>}
      </small>
      <Lit text={text} lit={lit[when]} />
    </div>
  );
  return (
    <article class="moment">
      <p class="direction" dir="auto">
        <small>You said</small> “{moment.direction}”{moment.asked && <Asked text={moment.asked} />}
      </p>
      {oldReply === newReply ? (
        reply('after', 'Then and now, the same reply', newReply)
      ) : (
        <div class="pair">
          {reply('before', 'Then', oldReply)}
          {reply('after', 'Now', newReply)}
        </div>
      )}
      {isHeldBack && <small>Kept out of the training, to see what carries over.</small>}
    </article>
  );
}

interface DecideProps {
  readonly summary: NightView;
  readonly blind: BlindView;
  readonly isRecorded: boolean;
  readonly onDecided: () => void;
}

type Decision = 'approve' | 'reject' | 'revert';

/** What can be done, the recommended first. */
function choicesOf({
  summary,
  blind,
}: Pick<DecideProps, 'summary' | 'blind'>): [Decision, string][] {
  const { status, remedy, training, isTrial } = summary;
  const use = summary.isOffered ? 'Try it today' : 'Use it';
  switch (status) {
    case 'waiting': {
      const left: [Decision, string] = ['reject', 'Leave it'];
      if (remedy !== null) return [left];
      const isLeft = adviceOf(summary, blind) === 'leave';
      return isLeft ? [left, ['approve', 'Use it anyway']] : [['approve', use], left];
    }
    case 'in-force':
      return [
        ...(isTrial ? [['approve', 'Keep it'] as [Decision, string]] : []),
        ['revert', 'Take it back'],
      ];
    case 'empty':
      return [];
    default:
      return training === null ? [] : [['approve', 'Use it anyway']];
  }
}

const NOW = {
  'in-force': 'It is in use.',
  waiting: '',
  refused: 'It is not in use.',
  rejected: 'You left it: it is not in use.',
  reverted: 'You took it back: it is not in use.',
  empty: '',
} as const;

/** The sentence that a person decides by, and the buttons for it. */
function Verdict({ summary, blind, isRecorded, onDecided }: DecideProps): VNode {
  const { nightId, status, isTrial, isAgainstVerdict } = summary;
  const [isBusy, setBusy] = useState(false);
  const isOpen = status === 'waiting' || status === 'refused';
  const isGood = adviceOf(summary, blind) !== 'leave';
  const choices = isRecorded ? [] : choicesOf({ summary, blind });
  const said = [changeText(summary), elsewhereText(summary)].filter(Boolean).join(' ');
  return (
    <section class="conclusion" data-good={isGood} aria-label="What it comes to">
      <p class="sentence">{said || summary.headline}</p>
      <p>
        {isOpen && status !== 'refused' && <strong>{adviceText(summary, blind)} </strong>}
        {status === 'refused' && <strong>{adviceText(summary)} </strong>}
        {NOW[status]}
        {isTrial &&
          ' On trial: the next night takes it back, unless you prefer its replies or keep it.'}
        {isAgainstVerdict && ` This is against its verdict: ${againstText(summary)}.`}
      </p>
      {choices.length > 0 && (
        <div class="decide">
          {choices.map(([decision, label], at) => (
            <button
              key={decision}
              type="button"
              class={at === 0 && isOpen && status !== 'refused' ? 'primary' : undefined}
              disabled={isBusy}
              onClick={() => {
                setBusy(true);
                decide(nightId, decision)
                  .then(onDecided, tell)
                  .finally(() => setBusy(false));
              }}
            >
              {label}
            </button>
          ))}
        </div>
      )}
      {status === 'waiting' && !isRecorded && (
        <p class="hint">
          Using it changes the model that answers you, from now on. You can take it back at any
          time.
        </p>
      )}
      {isTrial && <Trial nightId={nightId} />}
    </section>
  );
}

const REMEDY = {
  retrain: 'Train it again without them',
  revert: 'Take this night back',
  reject: 'Leave these weights',
} as const;

/** What to do about words that were excluded, withdrawn or deleted after the night learnt them. */
function TakenBack({
  summary,
  onDecided,
}: Pick<DecideProps, 'summary' | 'onDecided'>): VNode | null {
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
const FLAGGED_SHOWN = 3;

/** Those that changed first: they say what the night did. */
function Moments({ flagged }: { flagged: readonly FlaggedView[] }): VNode | null {
  if (flagged.length === 0) return null;
  const rank = ({ oldReply, newReply, does }: FlaggedView): number =>
    oldReply === newReply ? 2 : Number(does?.before === does?.after);
  const [...moments] = [...flagged]
    .sort((a, b) => rank(a) - rank(b))
    .map((moment) => <Flagged key={moment.flagId} moment={moment} />);
  const rest = moments.splice(FLAGGED_SHOWN);
  return (
    <section aria-label="Your moments">
      <p class="hint">
        Your flagged moments, answered once more: “then” by the model as it was, “now” by this
        night's. Lit: <mark data-feature="direction">what you asked for</mark>,{' '}
        <mark data-feature="own-idea">its own idea</mark>. “Does it” is read from these words alone;
        read for yourself.
      </p>
      {moments}
      {rest.length > 0 && (
        <details>
          <summary>{rest.length} more of your moments</summary>
          {rest}
        </details>
      )}
    </section>
  );
}

/** All that was measured, for those who want to know how it was judged. */
function Evidence({ summary }: { summary: NightView }): VNode | null {
  if (summary.reasons.length === 0 && summary.measures.length === 0) return null;
  return (
    <details class="evidence">
      <summary>How it was judged: every number</summary>
      <p class="hint">{summary.evidence}</p>
      {summary.measures.length > 0 && <Numbers summary={summary} />}
      {summary.reasons.length > 0 && (
        <>
          <h2>The rules that it had to keep</h2>
          <Gate reasons={summary.reasons} />
        </>
      )}
      <Details summary={summary} />
      {summary.back !== null && (
        <p class="hint">
          To go back in the terminal: <code>{summary.back}</code>
        </p>
      )}
    </details>
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
      if (id !== RECORDED) noteOpened(id);
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
  const isRecorded = id === RECORDED;
  const isBlind = blind.pairs.length > 0 && !isSkipped;
  return (
    <div class="column summary">
      <header>
        <h1>The morning after night {summary.number}</h1>
        <p class="verdict" data-status={summary.status}>
          {dayText(summary.day)} · {STATUS[summary.status]}
        </p>
      </header>
      <Recorded id={id} />
      <TakenBack summary={summary} onDecided={again} />
      {isBlind ? (
        <Blind
          nightId={id}
          view={blind}
          isOpen={summary.status === 'waiting' || summary.status === 'in-force'}
          onView={again}
          onSkip={() => setSkipped(true)}
        />
      ) : (
        <>
          <Moments flagged={summary.flagged} />
          <Tally view={blind} />
          <Verdict summary={summary} blind={blind} isRecorded={isRecorded} onDecided={again} />
          {summary.flagged.length > 0 && (
            <a class="button" href={`/nights/${id}/slider`} onClick={follow}>
              See where it looks: the night slider
            </a>
          )}
          <Evidence summary={summary} />
          {isOpenToReview(summary) && !isRecorded && <Review nightId={id} />}
        </>
      )}
    </div>
  );
}
