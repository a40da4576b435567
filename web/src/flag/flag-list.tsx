// All flags: what was marked, whether a night has used it, and the way back to the moment.
import type { VNode } from 'preact';
import type { Flag, FlagUse } from '../../../src/protocol/flag.ts';
import { MenuButton } from '../chat/head.tsx';
import { follow, go } from '../page-route.ts';
import { engine, openConversation, standingFlags, withdrawFlag } from '../page-state.ts';
import { soughtMessage } from '../stretch.ts';
import { beginEdit } from './flag-draft.ts';

async function edit(flag: Flag): Promise<void> {
  await openConversation(flag.conversationId);
  go(`/conversations/${flag.conversationId}`);
  await beginEdit(flag);
}

function FlagWords({ flag }: { flag: Flag }): VNode {
  const isBare =
    flag.userSpan === null && flag.replySpan === null && flag.betterWords === null && !flag.reason;
  return (
    <>
      {flag.userSpan !== null && <p class="direction">“{flag.userSpan.span.text}”</p>}
      {flag.replySpan !== null && (
        <p class={flag.kind === 'missed' ? 'drift' : 'better'}>
          <small>{flag.kind === 'missed' ? 'It drifted: ' : 'It said: '}</small>
          {flag.replySpan.text}
        </p>
      )}
      {flag.betterWords !== null && (
        <p class="better">
          <small>Better: </small>
          {flag.betterWords}
        </p>
      )}
      {flag.reason !== null && <p class="hint">{flag.reason}</p>}
      {isBare && <p class="hint">The reply as a whole.</p>}
    </>
  );
}

/** Only the nights of the model that speaks can be looked at. */
function Use({ use: { night, base } }: { use: FlagUse }): VNode {
  if (base !== engine.value?.base) return <>{night} of another model</>;
  return (
    <a href={`/nights/${night}`} onClick={follow}>
      {night}
    </a>
  );
}

function FlagRow({ flag }: { flag: Flag }): VNode {
  const { conversationId, replyId } = flag;
  const isUsed = flag.usedBy.length > 0;
  const at = new Date(flag.createdAt);
  return (
    <li class={`flag ${flag.kind}`}>
      <div>
        <small>
          <b>{flag.kind === 'missed' ? 'Not heard' : 'Listened'}</b> ·{' '}
          <time dateTime={at.toISOString()}>
            {at.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' })}
          </time>
          {isUsed && (
            <>
              {' · learnt in '}
              {flag.usedBy.map((use, at) => (
                <span key={use.night + use.base}>
                  {at > 0 && ', '}
                  <Use use={use} />
                </span>
              ))}
            </>
          )}
        </small>
        <FlagWords flag={flag} />
      </div>
      <div class="actions">
        <a
          href={`/conversations/${conversationId}`}
          onClick={(event) => {
            soughtMessage.value = { conversationId, messageId: replyId };
            follow(event);
          }}
        >
          Go to this moment
        </a>
        {!isUsed && (
          <button type="button" onClick={() => void edit(flag)}>
            Edit
          </button>
        )}
        <button type="button" onClick={() => void withdrawFlag(flag.id)}>
          Withdraw
        </button>
      </div>
    </li>
  );
}

export function FlagList(): VNode {
  const sorted = [...standingFlags.value].sort((a, b) => b.createdAt - a.createdAt);
  return (
    <main class="page">
      <header class="head">
        <MenuButton />
        <h1>Flags</h1>
      </header>
      <div class="scroller">
        {sorted.length === 0 ? (
          <p class="empty hint">
            Nothing is flagged. In a conversation, select the words that went unheard.
          </p>
        ) : (
          <ul class="flags">
            {sorted.map((flag) => (
              <FlagRow key={flag.id} flag={flag} />
            ))}
          </ul>
        )}
      </div>
    </main>
  );
}
