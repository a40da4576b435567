// What each client message does, as a table: calls chat and conversations, gives the answer.
import { AttuneError } from '../base/errors.ts';
import type { Answer, Chat } from '../chat/chat.ts';
import type { Conversations } from '../chat/conversations.ts';
import type { RunningReply } from '../chat/running-reply.ts';
import { conversationView, historyPage } from '../conversation/state.ts';
import type { ClientMessage, EventTopic } from '../protocol/client-message.ts';
import type { ServerMessage } from '../protocol/server-message.ts';
import { replyStart, type Subscriber } from './event-hub.ts';

/** A connection as its actions see it. */
export interface Actor extends Subscriber {
  setTopics(topics: readonly EventTopic[]): void;
  /** @throws subscriptions-limit */
  openConversation(conversationId: string): void;
  closeConversation(conversationId: string): void;
}

export interface Services {
  readonly chat: Chat;
  readonly conversations: Conversations;
}

type Request = Exclude<ClientMessage, { type: 'client-hello' | 'heartbeat-ping' }>;
type RequestOf<T extends Request['type']> = Extract<Request, { type: T }>;

interface Asking extends Services {
  readonly actor: Actor;
}

/** @returns the answer; undefined where there is none, or where the action sent it itself */
type Action<R> = (
  request: R,
  asking: Asking,
) => Promise<ServerMessage | undefined> | ServerMessage | undefined;

/** Does what the message asks for and answers the asker; whatever is refused is thrown. */
export async function act(request: Request, actor: Actor, services: Services): Promise<void> {
  const action = ACTIONS[request.type] as Action<Request>;
  const answer = await action(request, { ...services, actor });
  if (answer !== undefined) actor.outbox.send(named(answer, request.requestId));
}

/** The answer with the id of what it answers. */
function named(answer: ServerMessage, requestId: string | undefined): ServerMessage {
  return requestId === undefined ? answer : ({ ...answer, requestId } as ServerMessage);
}

const ACTIONS: { readonly [T in Request['type']]: Action<RequestOf<T>> } = {
  'message-say': say,
  'reply-stop': ({ conversationId }, { chat }) => void chat.stop(conversationId),
  'reply-regenerate': regenerate,
  'conversation-open': open,
  async 'history-list'(request, { conversations }) {
    const { conversationId } = request;
    const state = await conversations.read(conversationId);
    const page = historyPage(state, conversations.pageRequest(request));
    return { type: 'history-listed', conversationId, ...page };
  },
  'conversation-close'({ conversationId }, { actor }) {
    actor.closeConversation(conversationId);
    return { type: 'conversation-closed', conversationId };
  },
  async 'conversation-create'(request, { conversations }) {
    return { type: 'conversation-created', conversation: await conversations.create(request) };
  },
  'conversation-list'(request, { conversations }) {
    const { conversations: page, nextCursor, deleting } = conversations.list(request);
    const lists = { conversations: [...page], deleting: [...deleting] };
    return { type: 'conversation-listed', nextCursor, ...lists };
  },
  async 'conversation-rename'({ conversationId, title }, { conversations }) {
    const conversation = await conversations.change(conversationId, { title });
    return { type: 'conversation-updated', conversation };
  },
  async 'conversation-configure'({ conversationId, settings, canLearn }, { conversations }) {
    const conversation = await conversations.change(conversationId, { settings, canLearn });
    return { type: 'conversation-updated', conversation };
  },
  async 'conversation-search'(request, { conversations }) {
    const { hits, isTruncated } = await conversations.search(request);
    return { type: 'conversation-found', query: request.query, hits: [...hits], isTruncated };
  },
  async 'conversation-delete'({ conversationId }, { conversations }) {
    const pending = await conversations.delete(conversationId);
    return { type: 'conversation-deleted', conversationId, pending };
  },
  async 'conversation-export'({ conversationId }, { conversations }) {
    const jsonl = await joined(conversations.export(conversationId));
    return { type: 'conversation-exported', conversationId, jsonl };
  },
  'event-subscribe'({ topics }, { actor }) {
    actor.setTopics(topics);
    return { type: 'event-subscribed', topics };
  },
  async 'flag-add'({ flag }, { conversations }) {
    return { type: 'flag-added', flag: await conversations.addFlag(flag) };
  },
  async 'flag-edit'({ flagId, patch }, { conversations }) {
    return { type: 'flag-edited', flag: await conversations.editFlag(flagId, patch) };
  },
  async 'flag-withdraw'({ flagId }, { conversations }) {
    return { type: 'flag-withdrawn', flag: await conversations.withdrawFlag(flagId) };
  },
  'told-ask': tell,
  async 'told-keep'({ flagId, replyId }, { conversations }) {
    return { type: 'told-kept', flagId, ...(await conversations.keepTold(flagId, replyId)) };
  },
  'flag-list': ({ conversationId }, { conversations }) => {
    return { type: 'flag-listed', flags: [...conversations.flags(conversationId)] };
  },
};

const EXPORT_CHARACTERS_MAX = 2 ** 22;

/** @throws payload-too-large when it is too long for one message */
async function joined(pieces: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const piece of pieces) {
    text += piece;
    if (text.length <= EXPORT_CHARACTERS_MAX) continue;
    const message =
      `An export of more than ${EXPORT_CHARACTERS_MAX} characters goes over HTTP only: ` +
      'GET /api/conversations/ID/export.';
    throw new AttuneError('payload-too-large', message, { charactersMax: EXPORT_CHARACTERS_MAX });
  }
  return text;
}

async function say(request: RequestOf<'message-say'>, { actor, chat }: Asking): Promise<undefined> {
  const { conversationId, messageId, text, isNew, requestId } = request;
  await following(conversationId, actor, async (wasOpen) => {
    const answer = await chat.say({
      ...{ conversationId, messageId, text, isNew },
      by: actor,
      onStored: (message, isDuplicate) => {
        const stored = { type: 'message-stored', conversationId, message, isDuplicate } as const;
        actor.outbox.send(named(stored, requestId));
        const running = chat.running(conversationId);
        if (isDuplicate && !wasOpen && running !== undefined) join(actor, running);
      },
    });
    tellIfGiven(answer, conversationId, actor);
  });
}

async function regenerate(
  request: RequestOf<'reply-regenerate'>,
  { actor, chat }: Asking,
): Promise<undefined> {
  const { conversationId, replyId, requestId } = request;
  await following(conversationId, actor, async (wasOpen) => {
    const before = chat.running(conversationId);
    const answer = await chat.regenerate({
      conversationId,
      replyId,
      onTaken: (message) => {
        const taken = { type: 'message-stored', conversationId, message } as const;
        actor.outbox.send(named({ ...taken, isDuplicate: true }, requestId));
      },
    });
    tellIfGiven(answer, conversationId, actor);
    if (!wasOpen && 'reply' in answer && answer.reply === before) join(actor, before);
  });
}

async function tell(
  { flagId }: RequestOf<'told-ask'>,
  { actor, conversations }: Asking,
): Promise<ServerMessage> {
  const { conversationId } = conversations.flag(flagId);
  await following(conversationId, actor, async (wasOpen) => {
    await conversations.told.ask(flagId);
    if (!wasOpen) joinTold(actor, conversations, conversationId);
  });
  return { type: 'told-asked', conversationId, flagId };
}

function joinTold(actor: Actor, { told }: Conversations, conversationId: string): void {
  for (const { running } of told.of(conversationId)) {
    if (running !== undefined) join(actor, running);
  }
}

/** Follows the conversation before anything happens in it; no longer if nothing could be done. */
async function following(
  conversationId: string,
  actor: Actor,
  action: (wasOpen: boolean) => Promise<void>,
): Promise<void> {
  const wasOpen = actor.openConversations.has(conversationId);
  actor.openConversation(conversationId);
  try {
    await action(wasOpen);
  } catch (error) {
    if (!wasOpen) actor.closeConversation(conversationId);
    throw error;
  }
}

/** Asked again after it was answered: the answer again. */
function tellIfGiven(answer: Answer, conversationId: string, { outbox }: Actor): void {
  if (!('given' in answer)) return;
  outbox.send({ type: 'reply-end', conversationId, reply: answer.given, error: null });
}

/** A late joiner: the reply, from where the joiner's copy of it ends. */
function join(actor: Actor, reply: RunningReply, copy = { text: '' }): void {
  actor.outbox.send(replyStart(reply));
  actor.outbox.follow(reply, copy);
}

async function open(
  request: RequestOf<'conversation-open'>,
  { actor, chat, conversations }: Asking,
): Promise<undefined> {
  const { conversationId, requestId } = request;
  const state = await conversations.read(conversationId);
  actor.openConversation(conversationId);
  // From here to the end nothing else runs: no word falls between the copy and what follows it.
  const conversation = conversationView(state, conversations.pageRequest(request));
  const reply = chat.running(conversationId);
  const running = reply?.view() ?? null;
  const told = conversations.told.of(conversationId).map((one) => one.told);
  actor.outbox.send(named({ type: 'conversation-opened', conversation, running, told }, requestId));
  joinTold(actor, conversations, conversationId);
  if (reply !== undefined) join(actor, reply, reply.view());
}
