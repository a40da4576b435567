// One message: the person's words, a reply, or a reply in the making.
import type { ComponentChildren, VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { Reply, RunningReply } from '../../../src/protocol/conversation.ts';
import type { Flag } from '../../../src/protocol/flag.ts';
import { CopyButton } from '../copy.tsx';
import { beginEdit, beginFlag } from '../flag/flag-draft.ts';
import { ToldLine, ToldOf } from '../flag/told.tsx';
import { Markdown } from '../markdown.tsx';
import {
  failure,
  history,
  isRunning,
  isUnanswered,
  regenerate,
  standingFlags,
} from '../page-state.ts';

interface PersonProps {
  readonly id: string;
  readonly text: string;
  /** What is said about it, below. */
  readonly children?: ComponentChildren;
}

interface Mark {
  readonly start: number;
  readonly end: number;
  readonly kind: 'missed' | 'good';
}

/** Splits a text at marked ranges; each piece keeps its place in the source. */
function pieces(text: string, marks: readonly Mark[]): VNode[] {
  const edges = new Set([0, text.length]);
  for (const mark of marks) {
    edges.add(Math.min(mark.start, text.length));
    edges.add(Math.min(mark.end, text.length));
  }
  const sorted = [...edges].sort((a, b) => a - b);
  return sorted.slice(0, -1).map((start, i) => {
    const end = sorted[i + 1] ?? text.length;
    const own = marks.filter((mark) => mark.start <= start && mark.end >= end);
    const isMissed = own.some(({ kind }) => kind === 'missed');
    const name = own.length === 0 ? '' : isMissed ? 'unheard' : 'heard';
    return (
      <span key={start} data-at={start} data-length={end - start} class={name}>
        {text.slice(start, end)}
      </span>
    );
  });
}

/** What was pasted in at length is folded, so that the conversation around it stays in view. */
const LONG_CHARACTERS = 3000;
const LONG_LINES = 40;

export function PersonMessage({ id, text, children }: PersonProps): VNode {
  const [isWhole, setWhole] = useState(false);
  const isLong = text.length > LONG_CHARACTERS || text.split('\n').length > LONG_LINES;
  const marks = standingFlags.value.flatMap((flag) =>
    flag.userSpan?.messageId === id ? [{ ...flag.userSpan.span, kind: flag.kind }] : [],
  );
  return (
    <article class="person" aria-label="You" data-message-id={id} data-role="user">
      <p dir="auto" class={isLong && !isWhole ? 'cut' : undefined}>
        {pieces(text, marks)}
      </p>
      {isLong && (
        <button type="button" class="quiet" onClick={() => setWhole(!isWhole)}>
          {isWhole ? 'Show less' : 'Show all of it'}
        </button>
      )}
      {children}
    </article>
  );
}

const ENDED = {
  stop: null,
  length: 'The reply reached its length limit.',
  aborted: 'Stopped.',
  interrupted: 'Interrupted. You can ask again.',
} as const;

function FlagLine({ flag }: { flag: Flag }): VNode {
  return (
    <small class={`flagged ${flag.kind}`}>
      Flagged: {flag.kind === 'missed' ? 'not heard' : 'listened'}
      {flag.userSpan === null ? '' : `: “${flag.userSpan.span.text}”`}
      {flag.usedBy.length === 0 && (
        <button type="button" class="quiet" onClick={() => void beginEdit(flag)}>
          Edit<span class="hidden"> this flag</span>
        </button>
      )}
    </small>
  );
}

function Actions({ reply }: { reply: Reply }): VNode {
  const isLast = history.value.at(-1)?.id === reply.id;
  return (
    <div class="actions">
      <button type="button" onClick={() => beginFlag(reply.id, 'missed')} title="Flag (F)">
        Not heard
      </button>
      <button type="button" onClick={() => beginFlag(reply.id, 'good')} title="Good moment (G)">
        Listened
      </button>
      {isLast && !isRunning.value && (
        <button type="button" onClick={regenerate} title="Answer again (R)">
          Again
        </button>
      )}
      <CopyButton text={reply.text} />
    </div>
  );
}

export function ReplyMessage({ reply }: { reply: Reply }): VNode {
  const own = standingFlags.value.filter((flag) => flag.replyId === reply.id);
  const ended = ENDED[reply.stopReason];
  const dropped = reply.window?.turnsDropped ?? 0;
  return (
    <article
      class="reply"
      aria-label="Attune"
      data-message-id={reply.id}
      data-role="assistant"
      data-flagged={own.some((flag) => flag.kind === 'missed')}
    >
      {dropped > 0 && <small>The first {dropped} turns no longer fit and were left out.</small>}
      <Thought text={reply.thought} />
      <Markdown text={reply.text} />
      {ended !== null && <small>{ended}</small>}
      {reply.isSuperseded && <small>Another reply took its place.</small>}
      {own.map((flag) => (
        <FlagLine key={flag.id} flag={flag} />
      ))}
      {own.map((flag) => (
        <ToldLine key={flag.id} flag={flag} />
      ))}
      <Actions reply={reply} />
      {own.length > 0 && <ToldOf flags={own} />}
    </article>
  );
}

/** What the model thought, folded; it is no part of the reply that can be flagged. */
function Thought({ text, isRunning = false }: ThoughtProps): VNode | null {
  if (text === undefined || text === '') return null;
  return (
    <details class="thought">
      <summary>{isRunning ? 'Thinking…' : 'What it thought'}</summary>
      <p dir="auto">{text.trim()}</p>
    </details>
  );
}

interface ThoughtProps {
  readonly text: string | undefined;
  readonly isRunning?: boolean;
}

export function RunningMessage({ reply }: { reply: RunningReply }): VNode {
  return (
    <article class="reply running" aria-label="Attune, answering" aria-busy="true">
      <Thought text={reply.thought} isRunning={reply.text === ''} />
      {reply.text === '' ? <i class="breath" aria-hidden="true" /> : <Markdown text={reply.text} />}
    </article>
  );
}

/** What to do when no reply came, or when it could not be kept. */
export function Unanswered(): VNode | null {
  const failed = failure.value;
  if (failed === null && !isUnanswered.value) return null;
  return (
    <article class="reply failed" aria-label="No reply">
      {failed !== null && failed.text !== '' && <Markdown text={failed.text} />}
      <p role="alert">
        {failed === null
          ? 'This was not answered.'
          : `This reply was not kept, and a reload will not show it. ${failed.why}`}
      </p>
      <button type="button" onClick={regenerate}>
        Ask again
      </button>
    </article>
  );
}
