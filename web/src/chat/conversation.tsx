// The open conversation: its messages as they come, and the head of the page.
import type { VNode } from 'preact';
import { useEffect, useLayoutEffect, useState } from 'preact/hooks';
import { isDemonstration } from '../../../src/protocol/demonstration.ts';
import { flagDraft } from '../flag/flag-draft.ts';
import { FlagSheet } from '../flag/sheet.tsx';
import { SelectionToolbar } from '../flag/toolbar.tsx';
import { Morning } from '../night/night-now.tsx';
import { Meter } from '../night/speaking.tsx';
import { engine, isRunning, open, running, told } from '../page-state.ts';
import { hasEarlier, hasLater, showEarlier, showLater, shown } from '../stretch.ts';
import { takeBack, waiting } from '../unstored-message.ts';
import { Beginnings } from './beginnings.tsx';
import { Composer } from './composer.tsx';
import { Head } from './head.tsx';
import { PersonMessage, ReplyMessage, RunningMessage, Unanswered } from './message-view.tsx';
import { focusOn, useScroll } from './scroll.ts';

function Demonstration(): VNode {
  const { model, command } = engine.value?.suggestion ?? {};
  return (
    <p class="hint">
      This is a demonstration: a very small model, which shows how Attune works.{' '}
      {model === null && 'This fetches one worth talking to:'}
      {model && `Worth talking to, and on this machine, is ${model}:`}
      {command && <code class="command">{command}</code>}
    </p>
  );
}

function Empty(): VNode {
  return (
    <div class="empty">
      <img src="/icon.svg" alt="" width="56" height="56" />
      <h1>What is on your mind?</h1>
      <p>
        When a reply does not listen, select the words that went unheard and flag them. Tonight the
        model learns from it.
      </p>
      <Morning />
      <Beginnings />
      {isDemonstration(engine.value?.parameters ?? null) && <Demonstration />}
      {engine.value?.notices.map((notice) => (
        <p class="hint" key={notice}>
          {notice}
        </p>
      ))}
    </div>
  );
}

/** Alone with its words: the rest of a long conversation does not move with each of them. */
function Running({ onGrown }: { onGrown: () => void }): VNode | null {
  const reply = running.value;
  useLayoutEffect(onGrown, [reply?.text.length]);
  return reply === null ? null : <RunningMessage reply={reply} />;
}

/** A told reply grows, too; drawn apart for the same reason. */
function ToldGrowth({ onGrown }: { onGrown: () => void }): null {
  useLayoutEffect(onGrown, [told.value.reduce((sum, { text }) => sum + text.length, 0)]);
  return null;
}

/** The log tells of what is said, not of older messages that come in when they are asked for. */
function useLive(): 'polite' | 'off' {
  const first = shown.value[0]?.id;
  const [settled, setSettled] = useState(first);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(first), 500);
    return () => clearTimeout(timer);
  }, [first]);
  return settled === first ? 'polite' : 'off';
}

/** Who asked with a key goes on where they were: the button is far above then. */
async function earlier(): Promise<void> {
  const first = shown.value[0]?.id;
  await showEarlier();
  requestAnimationFrame(() => focusOn(document.querySelector(`[data-message-id="${first}"]`)));
}

/** What is not stored yet: on its way, or in line behind the reply that runs. */
function Waiting(): VNode {
  return (
    <>
      {waiting.value.map((message, at) => (
        <PersonMessage key={message.messageId} id={message.messageId} text={message.text}>
          {at === 0 && !isRunning.value ? (
            <small>sending…</small>
          ) : (
            <small>
              sent after this reply
              <button type="button" class="quiet" onClick={() => takeBack(message)}>
                Take back
              </button>
            </small>
          )}
        </PersonMessage>
      ))}
    </>
  );
}

function Messages({ onGrown }: { onGrown: () => void }): VNode {
  const isEmpty = open.value?.history.length === 0 && waiting.value.length === 0;
  const live = useLive();
  return (
    <div class="messages" role="log" aria-label="Conversation" aria-live={live}>
      {isEmpty && <Empty />}
      {hasEarlier.value && (
        <button type="button" class="quiet more" onClick={() => void earlier()}>
          Earlier messages
        </button>
      )}
      {shown.value.map((message) =>
        message.role === 'user' ? (
          <PersonMessage key={message.id} id={message.id} text={message.text} />
        ) : (
          <ReplyMessage key={message.id} reply={message} />
        ),
      )}
      {hasLater.value ? (
        <button type="button" class="quiet more" onClick={showLater}>
          Later messages
        </button>
      ) : (
        <>
          {!isRunning.value && <Waiting />}
          <Running onGrown={onGrown} />
          {isRunning.value && <Waiting />}
          <Unanswered />
          <ToldGrowth onGrown={onGrown} />
        </>
      )}
    </div>
  );
}

export function ConversationPage(): VNode {
  const { scroller, isAway, onScroll, toEnd, grown } = useScroll();
  return (
    <main class="page">
      <Head />
      <div class="scroller" ref={scroller} onScroll={onScroll}>
        <Messages onGrown={grown} />
      </div>
      <div class="writing">
        {isAway && (
          <button type="button" class="latest" aria-label="To the latest words" onClick={toEnd}>
            <svg viewBox="0 0 16 16" aria-hidden="true">
              <path d="M8 3v10M3.5 8.5 8 13l4.5-4.5" />
            </svg>
          </button>
        )}
        <SelectionToolbar />
        {flagDraft.value === null ? <Composer /> : <FlagSheet draft={flagDraft.value} />}
        <Meter />
      </div>
    </main>
  );
}
