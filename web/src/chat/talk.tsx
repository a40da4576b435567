// The open talk: its messages as they come, and the page's head with the talk's settings.
import type { VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { isDemonstration } from '../../../src/protocol/demonstration.ts';
import { flagDraft } from '../flag/draft.ts';
import { FlagSheet } from '../flag/sheet.tsx';
import { unstored } from '../outbox.ts';
import { go, route } from '../route.ts';
import {
  engine,
  foundMessage,
  history,
  open,
  openConversation,
  running,
  startConversation,
} from '../state.ts';
import { Composer } from './composer.tsx';
import { Head } from './head.tsx';
import { PersonMessage, ReplyMessage, RunningMessage, Unanswered } from './message.tsx';

function Empty(): VNode {
  return (
    <div class="empty">
      <img src="/icon.svg" alt="" width="56" height="56" />
      <h1>What is on your mind?</h1>
      <p>
        When a reply does not listen, select the words that went unheard and flag them. Tonight the
        model learns from it.
      </p>
      {isDemonstration(engine.value?.parameters ?? null) && (
        <p class="hint">
          This is the small demonstration model. <code>attune pull</code> brings one worth talking
          to.
        </p>
      )}
    </div>
  );
}

/** The address names the open talk: a new one gets its address with its first message. */
function useAddress(): void {
  const wanted = route.value.page === 'talk' ? route.value.id : null;
  const hasWords = history.value.length > 0;
  const id = open.value?.id;
  useEffect(() => {
    if (wanted !== null && wanted !== open.value?.id) void openConversation(wanted);
    if (wanted === null && (open.value === null || open.value.history.length > 0)) {
      startConversation();
    }
  }, [wanted]);
  useEffect(() => {
    const now = open.value;
    const isNamed = now !== null && now.history.length > 0;
    if (wanted === null && isNamed) go(`/talks/${now.id}`, { replace: true });
  }, [id, hasWords, wanted]);
}

/** Keeps the end in view while the person is at the end. */
function useFollowing() {
  const scroller = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(true);
  /** Where we left it: above that, the person has moved it, though the event is still to come. */
  const leftAt = useRef(0);
  const [isAway, setAway] = useState(false);
  const id = open.value?.id;
  const look = (): void => {
    const element = scroller.current;
    if (element === null) return;
    isAtEnd.current = element.scrollHeight - element.scrollTop - element.clientHeight < 60;
    setAway(!isAtEnd.current);
  };
  const toEnd = (): void => {
    isAtEnd.current = true;
    setAway(false);
    const element = scroller.current;
    if (element === null) return;
    element.scrollTop = element.scrollHeight;
    leftAt.current = element.scrollTop;
  };
  const grown = (): void => {
    const isMoved = (scroller.current?.scrollTop ?? 0) < leftAt.current - 1;
    if (isAtEnd.current && !isMoved) toEnd();
    else look();
  };
  useLayoutEffect(toEnd, [id]);
  useLayoutEffect(grown, [history.value.length, flagDraft.value === null]);
  // Whoever says something wants to see it, and what comes of it.
  const said = unstored.value.length;
  useLayoutEffect(said > 0 ? toEnd : grown, [said]);
  return { scroller, isAway, look, toEnd, grown };
}

/** Alone with its words: the rest of a long talk does not move with each of them. */
function Running({ onGrown }: { onGrown: () => void }): VNode | null {
  const reply = running.value;
  useLayoutEffect(onGrown, [reply?.text.length]);
  return reply === null ? null : <RunningMessage reply={reply} />;
}

function Messages({ onGrown }: { onGrown: () => void }): VNode {
  const id = open.value?.id;
  const known = new Set(history.value.map((message) => message.id));
  const waiting = unstored.value.filter(
    (one) => one.conversationId === id && !known.has(one.messageId),
  );
  const isEmpty = history.value.length === 0 && waiting.length === 0;
  return (
    <div class="messages" role="log" aria-label="Conversation">
      {isEmpty && <Empty />}
      {history.value.map((message) =>
        message.role === 'user' ? (
          <PersonMessage key={message.id} id={message.id} text={message.text} />
        ) : (
          <ReplyMessage key={message.id} reply={message} />
        ),
      )}
      {waiting.map((u) => (
        <PersonMessage key={u.messageId} id={u.messageId} text={u.text} isWaiting />
      ))}
      <Running onGrown={onGrown} />
      <Unanswered />
    </div>
  );
}

export function Talk(): VNode {
  useAddress();
  const { scroller, isAway, look, toEnd, grown } = useFollowing();
  useFound(look);
  return (
    <main class="page">
      <Head />
      <div class="scroller" ref={scroller} onScroll={look}>
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
        {flagDraft.value === null ? <Composer /> : <FlagSheet draft={flagDraft.value} />}
      </div>
    </main>
  );
}

/** Brings a message that was found by a search into view, and marks it for a moment. */
function useFound(onMoved: () => void): void {
  const id = foundMessage.value;
  const isThere = id !== null && history.value.some((message) => message.id === id);
  useLayoutEffect(() => {
    if (!isThere) return;
    const element = document.querySelector(`[data-message-id="${id}"]`);
    element?.scrollIntoView({ block: 'center' });
    element?.classList.add('found');
    setTimeout(() => element?.classList.remove('found'), 2_500);
    foundMessage.value = null;
    onMoved();
  }, [id, isThere]);
}
