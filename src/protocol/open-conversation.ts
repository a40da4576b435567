// What a client knows of the conversation it shows: a pure reducer of the daemon's messages.
import type { Conversation, Message, Reply, RunningReply, UserMessage } from './conversation.ts';
import type { ToldReply } from './flag.ts';
import type { ServerMessage, ServerMessageOf } from './server-message.ts';

export interface OpenConversation {
  readonly conversation: Conversation;
  readonly running: (RunningReply & { readonly turnsDropped: number }) | null;
  /** The last reply, where it could not be stored, and why. */
  readonly failure: { readonly text: string; readonly why: string } | null;
  /** Told replies that wait for the person's word. */
  readonly told: readonly ToldReply[];
  /** It ends with a message that nobody is answering (the daemon died before it did). */
  readonly isUnanswered: boolean;
}

/** One that exists only at this client until something is said in it. */
export function newConversation(id: string, now: number): OpenConversation {
  const conversation: Conversation = {
    id,
    title: '',
    createdAt: now,
    updatedAt: now,
    messages: 0,
    origin: 'live',
    canLearn: true,
    isUndecided: false,
    settings: {},
    history: [],
    messagesBefore: 0,
  };
  return { conversation, running: null, failure: null, told: [], isUnanswered: false };
}

/**
 * The conversation after a message, or the same object where the message changes nothing of it.
 * @param state null: none is open yet
 */
export function receive(state: OpenConversation, message: ServerMessage): OpenConversation;
export function receive(
  state: OpenConversation | null,
  message: ServerMessage,
): OpenConversation | null;
export function receive(
  state: OpenConversation | null,
  message: ServerMessage,
): OpenConversation | null {
  if (message.type === 'conversation-opened') return opened(state, message);
  if (state === null) return state;
  // It was changed or withdrawn: what was told of it before is void.
  if (message.type === 'flag-edited' || message.type === 'flag-withdrawn') {
    return withoutTold(state, message.flag.id);
  }
  const isOurs = 'conversationId' in message && message.conversationId === state.conversation.id;
  return isOurs ? changed(state, message) : state;
}

function changed(state: OpenConversation, message: ServerMessage): OpenConversation {
  const { conversation, running } = state;
  switch (message.type) {
    case 'history-listed':
      return { ...state, conversation: withEarlier(conversation, message) };
    case 'message-stored':
      return {
        ...state,
        conversation: withMessage(conversation, message.message),
        failure: null,
        isUnanswered: false,
      };
    case 'reply-start': {
      const { replyId, messageId, replaces, window } = message;
      const history = superseding(conversation.history, ({ id }) => id === replaces);
      // After a reconnect it comes for a reply that is half here already.
      const isKnown = running?.replyId === replyId;
      const begun = { replyId, messageId, text: '', turnsDropped: window.turnsDropped };
      return {
        ...state,
        conversation: { ...conversation, history },
        running: isKnown ? running : begun,
        isUnanswered: false,
      };
    }
    case 'reply-delta':
    case 'thought-delta':
      if (running?.replyId !== message.replyId) {
        const isTold = state.told.some(({ replyId }) => replyId === message.replyId);
        return isTold ? { ...state, told: state.told.map((one) => longer(one, message)) } : state;
      }
      return { ...state, running: longer(running, message) };
    case 'told-start': {
      const { flagId, replyId } = message;
      const others = withoutTold(state, flagId);
      // After a reconnect it comes for one that is half here already.
      if (state.told.some((one) => one.replyId === replyId)) return state;
      const begun = { flagId, replyId, text: '', isRunning: true, error: null };
      return { ...others, told: [...others.told, begun] };
    }
    case 'told-end': {
      const others = withoutTold(state, message.told.flagId);
      return { ...others, told: [...others.told, message.told] };
    }
    case 'reply-end':
      return {
        ...state,
        conversation: withReply(conversation, message.reply),
        running: running?.replyId === message.reply.id ? null : running,
      };
    case 'reply-failed': {
      const isRunning = running?.replyId === message.replyId;
      const failure = { text: isRunning ? running.text : '', why: message.error.message };
      return { ...state, running: isRunning ? null : running, failure };
    }
    default:
      return state;
  }
}

/** Read for the first time, or again after the connection was lost. */
function opened(
  state: OpenConversation | null,
  { conversation, running, told = [] }: ServerMessageOf<'conversation-opened'>,
): OpenConversation {
  return {
    told,
    conversation: joined(state?.conversation, conversation),
    running: running && { ...running, turnsDropped: 0 },
    failure: null,
    isUnanswered: running === null && conversation.history.at(-1)?.role === 'user',
  };
}

/** The newest page of a conversation that is known takes the place of what is known of that page. */
function joined(known: Conversation | undefined, page: Conversation): Conversation {
  if (known?.id !== page.id) return page;
  const at = known.history.findIndex((message) => message.id === page.history[0]?.id);
  if (at <= 0) return page;
  const history = [...known.history.slice(0, at), ...page.history];
  return { ...page, history, messagesBefore: known.messagesBefore };
}

function withEarlier(
  known: Conversation,
  { history, messagesBefore }: ServerMessageOf<'history-listed'>,
): Conversation {
  // A page that was asked for before the conversation was read again does not end where it begins.
  if (messagesBefore + history.length !== known.messagesBefore) return known;
  return { ...known, history: [...history, ...known.history], messagesBefore };
}

function withMessage(known: Conversation, message: UserMessage): Conversation {
  const isKnown = known.history.some(({ id, role }) => id === message.id && role === message.role);
  return isKnown ? known : { ...known, history: [...known.history, message] };
}

/** A reply takes the place of the earlier ones to the same message; told again, it changes nothing. */
function withReply(known: Conversation, reply: Reply): Conversation {
  if (known.history.some(({ id, role }) => id === reply.id && role === reply.role)) return known;
  const isEarlier = ({ messageId }: Reply): boolean => messageId === reply.messageId;
  return { ...known, history: [...superseding(known.history, isEarlier), reply] };
}

function superseding(history: readonly Message[], isOld: (reply: Reply) => boolean): Message[] {
  return history.map((one) =>
    one.role === 'assistant' && isOld(one) ? { ...one, isSuperseded: true } : one,
  );
}

function withoutTold(state: OpenConversation, flagId: string): OpenConversation {
  const told = state.told.filter((one) => one.flagId !== flagId);
  return told.length === state.told.length ? state : { ...state, told };
}

type Delta = ServerMessageOf<'reply-delta' | 'thought-delta'>;

function longer<R extends { replyId: string; text: string; thought?: string | undefined }>(
  reply: R,
  delta: Delta,
): R {
  if (reply.replyId !== delta.replyId) return reply;
  const part = delta.type === 'reply-delta' ? 'text' : 'thought';
  return { ...reply, [part]: grown(reply[part] ?? '', delta) };
}

/** What is known already comes again after a reconnect; a text does not shrink because of it. */
function grown(known: string, { offset, text }: Delta): string {
  const whole = known.slice(0, offset) + text;
  return known.startsWith(whole) ? known : whole;
}
