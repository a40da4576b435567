// The events of live chat for its listener (the server's event hub): plain calls, no sockets.
import type { ConversationSummary, Reply, UserMessage } from '../protocol/conversation.ts';
import type { Flag, ToldReply } from '../protocol/flag.ts';
import type { ServerMessageOf } from '../protocol/server-message.ts';
import type { RunningReply } from './running-reply.ts';

export type ReplyEnding = ServerMessageOf<'reply-end'> | ServerMessageOf<'reply-failed'>;
export type FlagChange = 'added' | 'edited' | 'withdrawn';

/** Called in the order in which things happen; listeners return at once and never throw. */
export interface ChatEvents {
  /** A new message is on the disk. */
  messageStored(conversationId: string, message: UserMessage, by?: object): void;
  replyStarted(reply: RunningReply): void;
  /** Its text has grown. */
  replyAdvanced(reply: RunningReply): void;
  replyEnded(reply: RunningReply, ending: ReplyEnding): void;
  /** The last word of a told reply, after one or two that ran. */
  toldEnded(conversationId: string, told: ToldReply): void;
  /** A reply is on the disk that did not run just now. */
  replyPlaced(conversationId: string, reply: Reply): void;
  conversationChanged(change: 'created' | 'updated', summary: ConversationSummary): void;
  conversationDeleted(conversationId: string): void;
  flagChanged(change: FlagChange, flag: Flag): void;
}
