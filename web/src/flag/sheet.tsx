// Flagging: select the words that went unheard, the words that drifted, and say what would have
// been better. Only the reply has to be named; everything else is a help for the night.
import type { VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { open, standingFlags } from '../page-state.ts';
import { reach, soughtMessage } from '../stretch.ts';
import {
  cancelFlag,
  type Draft,
  findWords,
  isMissing,
  saveFlag,
  setDraft,
  takeSelection,
  type Words,
  wordsOf,
} from './flag-draft.ts';
import { hear } from './told.tsx';

const STRENGTHS = [
  [1, 'slight'],
  [2, 'clear'],
  [3, 'strong'],
] as const;

function Strength({ strength }: { strength: number }): VNode {
  return (
    <fieldset class="segmented">
      <legend class="hidden">Strength</legend>
      {STRENGTHS.map(([value, label]) => (
        <label key={value}>
          <input
            type="radio"
            name="strength"
            checked={strength === value}
            onChange={() => setDraft({ strength: value })}
          />
          {label}
        </label>
      ))}
    </fieldset>
  );
}

interface WordsFieldProps {
  readonly label: string;
  readonly hint: string;
  readonly words: Words;
  readonly side: 'user' | 'reply';
}

function WordsField({ label, hint, words, side }: WordsFieldProps): VNode {
  const role = side === 'user' ? 'user' : 'assistant';
  const notFound = isMissing(words);
  return (
    <label class="words" data-filled={words.span !== null} data-missing={notFound}>
      {label}
      <input
        value={wordsOf(words)}
        placeholder={hint}
        aria-invalid={notFound}
        onInput={({ currentTarget: { value } }) => setDraft({ [side]: findWords(role, value) })}
      />
      {notFound && <small role="alert">These words do not stand there.</small>}
    </label>
  );
}

function Fields({ draft }: { draft: Draft }): VNode {
  const isMissed = draft.kind === 'missed';
  return (
    <>
      <div class="pair">
        <WordsField
          side="user"
          label={isMissed ? 'Your words' : 'Your words it heard'}
          words={draft.user}
          hint="Select or type them"
        />
        <WordsField
          side="reply"
          label={isMissed ? 'Where it drifted' : 'Where it listened'}
          words={draft.reply}
          hint="Select or type them"
        />
      </div>
      {isMissed && (
        <label>
          A reply that listens
          <textarea
            id="better-words"
            rows={2}
            value={draft.betterWords}
            placeholder="Optional, and what the night learns most from"
            onInput={(event) => setDraft({ betterWords: event.currentTarget.value })}
          />
        </label>
      )}
      <label>
        Why
        <input
          value={draft.reason}
          placeholder="Optional"
          onInput={(event) => setDraft({ reason: event.currentTarget.value })}
        />
      </label>
    </>
  );
}

/** Takes the focus when it opens, and gives it back to where it was. */
function useFocus(draft: Draft) {
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    const better = draft.isForBetterWords ? document.getElementById('better-words') : null;
    (better ?? form.current)?.focus();
    // The sheet takes room at the bottom: what it is about stays in view.
    const { replyId } = draft;
    const reply = document.querySelector(`[data-message-id="${replyId}"]`);
    const conversationId = open.value?.id;
    if (reply !== null) reply.scrollIntoView({ block: 'nearest' });
    else if (conversationId) soughtMessage.value = { conversationId, messageId: replyId };
    // Words that are typed are looked for in all that was said.
    void reach();
    document.addEventListener('selectionchange', takeSelection);
    return () => {
      document.removeEventListener('selectionchange', takeSelection);
      const isBack = before instanceof HTMLElement && before.isConnected;
      const back = isBack && before !== document.body ? before : null;
      // The field to write in comes back when the sheet is gone. What took the focus keeps it.
      setTimeout(() => {
        if (document.activeElement !== document.body) return;
        (back ?? document.getElementById('composer'))?.focus();
      }, 0);
    };
  }, []);
  return form;
}

async function send(draft: Draft): Promise<void> {
  const flagId = await saveFlag(draft);
  if (flagId !== undefined) await hear(flagId);
}

/** A second flag of the same reply may be meant, and should not come about unseen. */
function Already({ draft: { isNew, replyId } }: { draft: Draft }): VNode | null {
  const flag = standingFlags.value.find((one) => one.replyId === replyId);
  if (!isNew || flag === undefined) return null;
  const said = flag.kind === 'missed' ? 'not heard' : 'listened';
  return <p class="hint">This reply is flagged already: {said}. This adds another flag.</p>;
}

export function FlagSheet({ draft }: { draft: Draft }): VNode {
  const form = useFocus(draft);
  const isMissed = draft.kind === 'missed';
  const verb = draft.isNew ? (isMissed ? 'Flag' : 'Keep') : 'Change';
  return (
    <form
      class="sheet"
      ref={form}
      tabIndex={-1}
      aria-label={isMissed ? 'Flag: not heard' : 'Good moment'}
      onSubmit={(event) => {
        event.preventDefault();
        void send(draft);
      }}
      onKeyDown={(event) => {
        if (event.key === 'Enter' && (event.metaKey || event.ctrlKey)) void send(draft);
      }}
    >
      <header>
        <h2>{isMissed ? 'What went unheard?' : 'What was heard?'}</h2>
        <Strength strength={draft.strength} />
      </header>
      <Already draft={draft} />
      <Fields draft={draft} />
      <footer>
        <button type="button" class="quiet" onClick={cancelFlag}>
          Cancel
        </button>
        <button type="submit" class="primary">
          {verb} this moment
        </button>
      </footer>
    </form>
  );
}
