// All flags: what was marked, whether a night has used it, and the way back to the moment.
import type { VNode } from 'preact';
import type { Flag } from '../../../src/protocol/flag.ts';
import { MenuButton } from '../chat/head.tsx';
import { follow } from '../route.ts';
import { standingFlags, withdrawFlag } from '../state.ts';

function FlagRow({ flag }: { flag: Flag }): VNode {
  const isUsed = flag.usedBy.length > 0;
  return (
    <li class={`flag ${flag.kind}`}>
      <div>
        <small>
          {flag.kind === 'missed' ? 'Not heard' : 'Listened'} ·{' '}
          {new Date(flag.createdAt).toLocaleString()}
          {isUsed && ` · learnt in ${flag.usedBy.join(', ')}`}
        </small>
        {flag.userSpan !== null && <p class="direction">“{flag.userSpan.span.text}”</p>}
        {flag.replySpan !== null && <p class="drift">“{flag.replySpan.text}”</p>}
        {flag.betterWords !== null && <p class="better">{flag.betterWords}</p>}
        {flag.reason !== null && <p class="hint">{flag.reason}</p>}
      </div>
      <div class="actions">
        <a href={`/talks/${flag.conversationId}`} onClick={follow}>
          Open the talk
        </a>
        {!isUsed && (
          <button type="button" onClick={() => void withdrawFlag(flag.id)}>
            Withdraw
          </button>
        )}
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
            Nothing is flagged. In a talk, select the words that went unheard.
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
