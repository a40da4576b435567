// Conversations that came over the API: whether nights may learn from them, the person says.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { ConversationSummary } from '../../../src/protocol/conversation.ts';
import type { NightList } from '../../../src/protocol/summary.ts';
import { follow } from '../page-route.ts';
import { tell } from '../page-state.ts';
import { decideOffered, loadNights } from './api.ts';

interface Decide {
  readonly isBusy: boolean;
  readonly decide: (canLearn: boolean, conversationIds?: string[]) => void;
}

function Row({
  conversation,
  isBusy,
  decide,
}: Decide & { conversation: ConversationSummary }): VNode {
  const { id, title, messages } = conversation;
  return (
    <li>
      <a href={`/conversations/${id}`} onClick={follow} dir="auto">
        {title}
      </a>
      <small>{messages} messages</small>
      <button type="button" disabled={isBusy} onClick={() => decide(true, [id])}>
        Learn<span class="hidden"> from {title}</span>
      </button>
      <button type="button" class="quiet" disabled={isBusy} onClick={() => decide(false, [id])}>
        Leave out<span class="hidden"> {title}</span>
      </button>
    </li>
  );
}

export function Offered({ offered }: { offered: NightList['offered'] }): VNode | null {
  const [isBusy, setBusy] = useState(false);
  const { total, conversations } = offered;
  if (total === 0) return null;
  const decide: Decide['decide'] = (canLearn, conversationIds) => {
    setBusy(true);
    decideOffered({ canLearn, ...(conversationIds === undefined ? {} : { conversationIds }) })
      .then(loadNights)
      .catch(tell)
      .finally(() => setBusy(false));
  };
  return (
    <section class="card offered">
      <h2>Came over the API</h2>
      <p class="hint">
        {total === 1 ? 'One conversation' : `${total} conversations`} of other programs. Nights
        learn from none of them until you say so.
      </p>
      <ul>
        {conversations.map((conversation) => (
          <Row key={conversation.id} conversation={conversation} isBusy={isBusy} decide={decide} />
        ))}
      </ul>
      {total > conversations.length && (
        <p class="hint">And {total - conversations.length} older ones.</p>
      )}
      {total > 1 && (
        <div class="decide">
          <button type="button" disabled={isBusy} onClick={() => decide(true)}>
            Learn from all {total}
          </button>
          <button type="button" class="quiet" disabled={isBusy} onClick={() => decide(false)}>
            Leave all out
          </button>
        </div>
      )}
    </section>
  );
}
