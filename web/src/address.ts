// Keeps the address and the open conversation one: the address decides, and a new conversation gets
// its address with its first message.
import { effect, untracked } from '@preact/signals';
import { go, type Route, route } from './page-route.ts';
import { openConversation, opened, startConversation } from './page-state.ts';

let seen: Route | undefined;

export function followAddress(): void {
  effect(() => {
    const now = route.value;
    const conversation = opened.value?.conversation;
    const isNewRoute = now !== seen;
    seen = now;
    if (now.page !== 'conversation') return;
    const hasWords = conversation !== undefined && conversation.history.length > 0;
    untracked(() => {
      if (now.id !== null) {
        if (isNewRoute && now.id !== conversation?.id) void openConversation(now.id);
      } else if (isNewRoute && (conversation === undefined || hasWords)) startConversation();
      else if (hasWords) go(`/conversations/${conversation.id}`, { replace: true });
    });
  });
}
