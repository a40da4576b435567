// The open talk: its messages as they come, and the page's head with the talk's settings.
import type { VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { flagDraft } from '../flag/draft.ts';
import { FlagSheet } from '../flag/sheet.tsx';
import { unstored } from '../outbox.ts';
import { go, route } from '../route.ts';
import { engine, history, open, openConversation, running, startConversation } from '../state.ts';
import { Composer } from './composer.tsx';
import { Head } from './head.tsx';
import { PersonMessage, ReplyMessage, RunningMessage, Unanswered } from './message.tsx';

function Empty(): VNode {
  const isSmall = (engine.value?.parameters ?? Number.POSITIVE_INFINITY) < 50_000_000;
  return (
    <div class="empty">
      <img src="/icon.svg" alt="" width="56" height="56" />
      <h1>What is on your mind?</h1>
      <p>
        When a reply does not listen, select the words that went unheard and flag them. Tonight the
        model learns from it.
      </p>
      {isSmall && (
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
function useFollowing(length: number) {
  const scroller = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(true);
  const id = open.value?.id;
  useLayoutEffect(() => {
    isAtEnd.current = true;
  }, [id]);
  useLayoutEffect(() => {
    const element = scroller.current;
    if (element !== null && isAtEnd.current) element.scrollTop = element.scrollHeight;
  }, [length, id, flagDraft.value === null]);
  const onScroll = ({ currentTarget: element }: { currentTarget: HTMLDivElement }): void => {
    isAtEnd.current = element.scrollHeight - element.scrollTop - element.clientHeight < 60;
  };
  return { scroller, onScroll };
}

export function Talk(): VNode {
  useAddress();
  const id = open.value?.id;
  const known = new Set(history.value.map((message) => message.id));
  const waiting = unstored.value.filter(
    (one) => one.conversationId === id && !known.has(one.messageId),
  );
  const isEmpty = history.value.length === 0 && waiting.length === 0;
  const { scroller, onScroll } = useFollowing(
    history.value.length + (running.value?.text.length ?? 0) + waiting.length,
  );
  return (
    <main class="page">
      <Head />
      <div class="scroller" ref={scroller} onScroll={onScroll}>
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
          {running.value !== null && <RunningMessage reply={running.value} />}
          <Unanswered />
        </div>
      </div>
      {flagDraft.value === null ? <Composer /> : <FlagSheet draft={flagDraft.value} />}
    </main>
  );
}
