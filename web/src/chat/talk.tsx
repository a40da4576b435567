// The open talk: its messages as they come, and the page's head with the talk's settings.
import type { VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { FlagSheet, flagDraft } from '../flag/sheet.tsx';
import { go, route } from '../route.ts';
import {
  engine,
  history,
  open,
  openConversation,
  running,
  startConversation,
  unstored,
} from '../state.ts';
import { Composer } from './composer.tsx';
import { Head } from './head.tsx';
import { PersonMessage, ReplyMessage, RunningMessage } from './message.tsx';

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

export function Talk(): VNode {
  const wanted = route.value.page === 'talk' ? route.value.id : null;
  const current = open.value;
  useEffect(() => {
    if (wanted !== null && wanted !== open.value?.id) void openConversation(wanted);
    if (wanted === null && (open.value === null || open.value.history.length > 0)) {
      startConversation();
    }
  }, [wanted]);
  const id = current?.id;
  const hasWords = history.value.length > 0;
  useEffect(() => {
    if (id !== undefined && hasWords && wanted === null) go(`/talks/${id}`, { replace: true });
  }, [id, hasWords, wanted]);

  const scroller = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(true);
  const length = history.value.length + (running.value?.text.length ?? 0) + unstored.value.length;
  useLayoutEffect(() => {
    const element = scroller.current;
    if (element !== null && isAtEnd.current) element.scrollTop = element.scrollHeight;
  }, [length, id]);

  const waiting = unstored.value.filter((u) => u.conversationId === id);
  return (
    <main class="page">
      <Head />
      <div
        class="scroller"
        ref={scroller}
        onScroll={({ currentTarget: element }) => {
          isAtEnd.current = element.scrollHeight - element.scrollTop - element.clientHeight < 60;
        }}
      >
        <div class="messages" role="log" aria-label="Conversation">
          {!hasWords && waiting.length === 0 && <Empty />}
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
        </div>
      </div>
      {flagDraft.value === null ? <Composer /> : <FlagSheet />}
    </main>
  );
}
