// What each client message does: calls chat and talks, gives the answer. No sockets in here.
import { AttuneError } from '../base/errors.ts';
import type { Answer, Chat } from '../chat/chat.ts';
import type { RunningReply } from '../chat/running-reply.ts';
import type { Talks } from '../chat/talks.ts';
import { conversationView, historyPage } from '../conversation/state.ts';
import type { ClientMessage, EventTopic } from '../protocol/client-message.ts';
import type { ServerMessage } from '../protocol/server-message.ts';
import { replyStart, type Subscriber } from './event-hub.ts';

/** A connection as its actions see it. */
export interface Actor extends Subscriber {
  setTopics(topics: readonly EventTopic[]): void;
  /** @throws subscriptions-limit */
  openTalk(conversationId: string): void;
  closeTalk(conversationId: string): void;
}

export interface Services {
  readonly chat: Chat;
  readonly talks: Talks;
}

type Request = Exclude<ClientMessage, { type: 'client-hello' | 'heartbeat-ping' }>;
type RequestOf<T extends Request['type']> = Extract<Request, { type: T }>;

/** Does what the message asks for and answers the asker; whatever is refused is thrown. */
export async function act(request: Request, actor: Actor, services: Services): Promise<void> {
  const answer = await answerTo(request, actor, services);
  if (answer !== undefined) actor.outbox.send(named(answer, request.requestId));
}

/** The answer with the id of what it answers. */
function named(answer: ServerMessage, requestId: string | undefined): ServerMessage {
  return requestId === undefined ? answer : ({ ...answer, requestId } as ServerMessage);
}

async function answerTo(
  request: Request,
  actor: Actor,
  { chat, talks }: Services,
): Promise<ServerMessage | undefined> {
  switch (request.type) {
    case 'message-say':
      return say(request, actor, chat);
    case 'reply-stop':
      chat.stop(request.conversationId);
      return undefined;
    case 'reply-regenerate':
      return regenerate(request, actor, chat);
    case 'conversation-open':
      return open(request, actor, { chat, talks });
    case 'history-list': {
      const { conversationId } = request;
      const state = await talks.read(conversationId);
      const page = historyPage(state, talks.pageRequest(request));
      return { type: 'history-listed', conversationId, ...page };
    }
    case 'conversation-close':
      actor.closeTalk(request.conversationId);
      return { type: 'conversation-closed', conversationId: request.conversationId };
    case 'event-subscribe':
      actor.setTopics(request.topics);
      return { type: 'event-subscribed', topics: request.topics };
    case 'flag-add':
      return { type: 'flag-added', flag: await talks.addFlag(request.flag) };
    case 'flag-edit':
      return { type: 'flag-edited', flag: await talks.editFlag(request.flagId, request.patch) };
    case 'flag-withdraw':
      return { type: 'flag-withdrawn', flag: await talks.withdrawFlag(request.flagId) };
    case 'flag-list':
      return { type: 'flag-listed', flags: [...talks.flags(request.conversationId)] };
    default:
      return answerAboutTalks(request, talks);
  }
}

async function answerAboutTalks(
  request: RequestOf<
    | 'conversation-create'
    | 'conversation-list'
    | 'conversation-rename'
    | 'conversation-configure'
    | 'conversation-search'
    | 'conversation-delete'
    | 'conversation-export'
  >,
  talks: Talks,
): Promise<ServerMessage> {
  switch (request.type) {
    case 'conversation-create':
      return { type: 'conversation-created', conversation: await talks.create(request) };
    case 'conversation-list': {
      const { conversations, nextCursor, deleting } = talks.list(request);
      return {
        ...{ type: 'conversation-listed', nextCursor },
        ...{ conversations: [...conversations], deleting: [...deleting] },
      };
    }
    case 'conversation-rename': {
      const { conversationId, title } = request;
      return {
        type: 'conversation-updated',
        conversation: await talks.change(conversationId, { title }),
      };
    }
    case 'conversation-configure': {
      const { conversationId, settings, canLearn } = request;
      const conversation = await talks.change(conversationId, { settings, canLearn });
      return { type: 'conversation-updated', conversation };
    }
    case 'conversation-search': {
      const { hits, isTruncated } = await talks.search(request);
      return { type: 'conversation-found', query: request.query, hits: [...hits], isTruncated };
    }
    case 'conversation-delete': {
      const { conversationId } = request;
      const pending = await talks.delete(conversationId);
      const rest = pending === undefined ? {} : { pending };
      return { type: 'conversation-deleted', conversationId, ...rest };
    }
    case 'conversation-export': {
      const { conversationId } = request;
      const jsonl = await joined(talks.export(conversationId));
      return { type: 'conversation-exported', conversationId, jsonl };
    }
  }
}

const EXPORT_CHARACTERS_MAX = 2 ** 22;

/** @throws payload-too-large when it is too long for one message */
async function joined(pieces: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const piece of pieces) {
    text += piece;
    if (text.length > EXPORT_CHARACTERS_MAX) {
      const message =
        `An export of more than ${EXPORT_CHARACTERS_MAX} characters goes over HTTP only: ` +
        'GET /api/conversations/ID/export.';
      throw new AttuneError('payload-too-large', message, { charactersMax: EXPORT_CHARACTERS_MAX });
    }
  }
  return text;
}

async function say(
  request: RequestOf<'message-say'>,
  actor: Actor,
  chat: Chat,
): Promise<undefined> {
  const { conversationId, messageId, text, isNew, requestId } = request;
  await following(conversationId, actor, async (wasOpen) => {
    const answer = await chat.say({
      conversationId,
      messageId,
      text,
      isNew,
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
  actor: Actor,
  chat: Chat,
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

/** Follows the talk before anything happens in it, and no longer if nothing could be done. */
async function following(
  conversationId: string,
  actor: Actor,
  action: (wasOpen: boolean) => Promise<void>,
): Promise<void> {
  const wasOpen = actor.openTalks.has(conversationId);
  actor.openTalk(conversationId);
  try {
    await action(wasOpen);
  } catch (error) {
    if (!wasOpen) actor.closeTalk(conversationId);
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
  actor: Actor,
  { chat, talks }: Services,
): Promise<undefined> {
  const { conversationId, requestId } = request;
  const state = await talks.read(conversationId);
  actor.openTalk(conversationId);
  // From here to the end nothing else runs: no word falls between the copy and what follows it.
  const conversation = conversationView(state, talks.pageRequest(request));
  const reply = chat.running(conversationId);
  const running = reply?.view() ?? null;
  const opened = { type: 'conversation-opened', conversation, running } as const;
  actor.outbox.send(named(opened, requestId));
  if (reply !== undefined) join(actor, reply, reply.view());
}
