// Converts Open WebUI's exported chats and ratings to conversations and flags. Pure functions.
import { z } from 'zod';
import { describeIssues } from '../../base/errors.ts';
import type {
  ConversationImportInput,
  ImportedFlag,
  ImportedMessage,
} from '../../protocol/http.ts';
import {
  type Archive,
  branch,
  conversationFrom,
  type Entry,
  milliseconds,
  ourId,
} from './archive.ts';

const Rating = z.union([z.number(), z.string()]).nullish();

const Annotation = z.looseObject({
  rating: Rating,
  reason: z.string().nullish(),
  comment: z.string().nullish(),
});

/** Open WebUI itself repairs messages that lack something. */
const Message = z.looseObject({
  id: z.string().nullish(),
  parentId: z.string().nullish(),
  role: z.string().nullish(),
  content: z.union([z.string(), z.array(z.looseObject({ text: z.string().optional() }))]).nullish(),
  timestamp: z.number().nullish(),
  annotation: Annotation.nullish(),
});
type Message = z.infer<typeof Message>;

/** One chat of "Export chats": a tree of messages and the leaf that is shown. */
const Chat = z.looseObject({
  id: z.string(),
  title: z.string().nullish(),
  created_at: z.number().nullish(),
  chat: z.looseObject({
    title: z.string().nullish(),
    /** The person's own for all chats … */
    system: z.string().nullish(),
    /** … and that of this chat. */
    params: z.looseObject({ system: z.string().nullish() }).nullish(),
    history: z
      .looseObject({
        messages: z.record(z.string(), Message).nullish(),
        currentId: z.string().nullish(),
      })
      .nullish(),
    messages: z.array(Message).nullish(),
  }),
});
type Chat = z.infer<typeof Chat>;

/** One rating of "Export feedback". */
const Feedback = z.looseObject({
  type: z.string(),
  data: Annotation,
  meta: z.looseObject({ chat_id: z.string().nullish(), message_id: z.string().nullish() }),
  snapshot: z.looseObject({ chat: Chat.nullish() }).nullish(),
});
type Feedback = z.infer<typeof Feedback>;

function textOf({ content }: Message): string {
  const parts = typeof content === 'string' ? [{ text: content }] : (content ?? []);
  return parts.map((part) => part.text ?? '').join('\n');
}

/** The branch that was shown, oldest first. */
function shownMessages({ chat }: Chat): Message[] {
  const byId = chat.history?.messages ?? {};
  const shown = branch(chat.history?.currentId, (id) => {
    const node = byId[id];
    return node && { node: { ...node, id: node.id ?? id }, parent: node.parentId };
  });
  return shown.length > 0 ? shown : (chat.messages ?? []);
}

function ratingOf(rating: z.infer<typeof Rating>): number {
  const value = Number(rating ?? 0);
  return Number.isFinite(value) ? value : 0;
}

function flagFor(
  message: ImportedMessage,
  marks: readonly z.infer<typeof Annotation>[],
): ImportedFlag[] {
  const mark = marks.find(({ rating }) => ratingOf(rating) !== 0);
  if (message.role !== 'assistant' || mark === undefined) return [];
  const words = [mark.reason, mark.comment].filter((one) => one !== null && one !== undefined);
  return [
    {
      id: ourId('owui-flag-', message.id.replace(/^owui-/, '')),
      replyId: message.id,
      kind: ratingOf(mark.rating) > 0 ? 'good' : 'missed',
      reason: words.join(': ').trim() || null,
      betterWords: null,
      strength: 2,
    },
  ];
}

function importOf(
  chat: Chat,
  feedback: ReadonlyMap<string, Feedback>,
  now: number,
): ConversationImportInput | undefined {
  const said = shownMessages(chat).map((message, index) => {
    const { id = `${chat.id}-${index}`, role, timestamp } = message;
    return { ...message, id: id ?? '', role: role ?? '', text: textOf(message), at: timestamp };
  });
  const conversation = conversationFrom({
    ...{ prefix: 'owui-', id: chat.id, title: chat.title ?? chat.chat.title, said },
    system: chat.chat.params?.system || chat.chat.system,
    at: milliseconds(chat.created_at, now),
  });
  if (conversation === undefined) return undefined;
  const byId = new Map(said.map((one) => [ourId('owui-', one.id), one]));
  const flags = conversation.messages.flatMap((message) => {
    const { annotation, id = '' } = byId.get(message.id) ?? {};
    const marks = [annotation, feedback.get(id)?.data];
    return flagFor(
      message,
      marks.filter((mark) => mark !== null && mark !== undefined),
    );
  });
  return { ...conversation, flags };
}

/** Ratings are matched by message; a rating may hold its own chat. An odd entry costs itself only. */
export function readOpenWebui(entries: readonly Entry[], now: number): Archive {
  const chats = new Map<string, { readonly chat: Chat; readonly place: string }>();
  const feedback = new Map<string, Feedback & { readonly place: string }>();
  const skipped: string[] = [];
  for (const { place, value } of entries) {
    const entry = wrapped(value, place);
    const isChat = typeof entry === 'object' && entry !== null && 'chat' in entry;
    const parsed = isChat ? Chat.safeParse(entry) : Feedback.safeParse(entry);
    if (!parsed.success) {
      skipped.push(`${place}: ${describeIssues(parsed.error)}`);
    } else if ('chat' in parsed.data) {
      const chat = Chat.parse(parsed.data);
      chats.set(chat.id, { chat, place });
    } else {
      const rating = { ...Feedback.parse(parsed.data), place };
      if (rating.meta.message_id) feedback.set(rating.meta.message_id, rating);
      const chat = rating.snapshot?.chat;
      if (chat && !chats.has(chat.id)) chats.set(chat.id, { chat, place });
    }
  }
  const conversations = [...chats.values()].flatMap(({ chat, place }) => {
    const conversation = importOf(chat, feedback, now);
    const named = `${place} (${JSON.stringify(conversation?.title)})`;
    return conversation === undefined ? [] : [{ place: named, conversation }];
  });
  const said = new Set(
    conversations.flatMap((one) => one.conversation.messages.map(({ id }) => id)),
  );
  for (const [id, { place }] of feedback) {
    if (!said.has(ourId('owui-', id))) skipped.push(`${place}: what it rates is not in this file`);
  }
  return { conversations, skipped };
}

/** Earlier versions export what is now the `chat` of an entry. */
function wrapped(value: unknown, place: string): unknown {
  const parsed = z.looseObject({ id: z.string().nullish() }).safeParse(value);
  if (!parsed.success || 'chat' in parsed.data) return value;
  if (!('history' in parsed.data) && !('messages' in parsed.data)) return value;
  return { ...parsed.data, id: parsed.data.id ?? place, chat: parsed.data };
}
