// Converts Open WebUI's exported chats and ratings to conversations and flags. Pure functions.
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { describeIssues } from '../../base/errors.ts';
import { spoken } from '../../conversation/spoken.ts';
import type {
  ConversationImportInput,
  ImportedFlag,
  ImportedMessage,
} from '../../protocol/http.ts';

const Rating = z.union([z.number(), z.string()]).nullish();

const Annotation = z.looseObject({
  rating: Rating,
  reason: z.string().nullish(),
  comment: z.string().nullish(),
});

const Message = z.looseObject({
  id: z.string(),
  parentId: z.string().nullish(),
  role: z.string(),
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
    system: z.string().nullish(),
    history: z
      .looseObject({
        messages: z.record(z.string(), Message).default({}),
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

/** The export; each of its entries is checked on its own. */
export const OpenWebuiFile = z.array(z.unknown());

/** What an export has, and what of it cannot be read, with its place and the reason. */
export interface OpenWebuiExport {
  readonly conversations: readonly {
    readonly place: string;
    readonly conversation: ConversationImportInput;
  }[];
  readonly skipped: readonly string[];
}

/** Seconds, milliseconds or nanoseconds since 1970: versions differ. */
function milliseconds(time: number | null | undefined, otherwise: number): number {
  if (time === null || time === undefined || time <= 0 || time > 1e20) return otherwise;
  if (time > 1e17) return Math.floor(time / 1e6);
  return Math.floor(time > 1e11 ? time : time * 1000);
}

/** An id of Open WebUI as an id of Attune; hashed where it does not fit. */
function ourId(prefix: string, id: string): string {
  const whole = `${prefix}${id}`;
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(whole)) return whole;
  return prefix + createHash('sha256').update(id).digest('hex').slice(0, 32);
}

function textOf({ role, content }: Message): string {
  const parts = typeof content === 'string' ? [{ text: content }] : (content ?? []);
  const text = parts.map((part) => part.text ?? '').join('\n');
  return role === 'assistant' ? spoken(text) : text;
}

/** The branch that was shown, oldest first. */
function shownMessages({ chat }: Chat): Message[] {
  const { history } = chat;
  const byId = history?.messages ?? {};
  const shown: Message[] = [];
  const seen = new Set<string>();
  for (let id = history?.currentId; id && !seen.has(id); id = byId[id]?.parentId) {
    seen.add(id);
    const message = byId[id];
    if (message !== undefined) shown.push(message);
  }
  return shown.length > 0 ? shown.reverse() : (chat.messages ?? []);
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
  const begun = milliseconds(chat.created_at, now);
  const messages: ImportedMessage[] = [];
  const flags: ImportedFlag[] = [];
  for (const message of shownMessages(chat)) {
    const text = textOf(message);
    const { role } = message;
    if ((role !== 'user' && role !== 'assistant') || text === '') continue;
    const at = milliseconds(message.timestamp, messages.at(-1)?.at ?? begun);
    const imported: ImportedMessage = { id: ourId('owui-', message.id), role, text, at };
    messages.push(imported);
    const marks = [message.annotation, feedback.get(message.id)?.data];
    flags.push(
      ...flagFor(
        imported,
        marks.filter((mark) => mark !== null && mark !== undefined),
      ),
    );
  }
  if (messages.length === 0) return undefined;
  const title =
    (chat.title ?? chat.chat.title ?? '').trim().slice(0, 200) || 'Imported conversation';
  const system = chat.chat.system ?? '';
  const settings = system === '' ? {} : { systemPrompt: system };
  return { id: ourId('owui-', chat.id), title, origin: 'import', settings, messages, flags };
}

/** Ratings are matched by message; a rating may hold its own chat. An odd entry costs itself only. */
export function readOpenWebui(entries: readonly unknown[], now: number): OpenWebuiExport {
  const chats = new Map<string, { readonly chat: Chat; readonly place: string }>();
  const feedback = new Map<string, Feedback>();
  const skipped: string[] = [];
  for (const [index, entry] of entries.entries()) {
    const place = `entry ${index + 1}`;
    const isChat = typeof entry === 'object' && entry !== null && 'chat' in entry;
    const parsed = isChat ? Chat.safeParse(entry) : Feedback.safeParse(entry);
    if (!parsed.success) {
      skipped.push(`${place}: ${describeIssues(parsed.error)}`);
    } else if ('chat' in parsed.data) {
      const chat = Chat.parse(parsed.data);
      chats.set(chat.id, { chat, place });
    } else {
      const rating = Feedback.parse(parsed.data);
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
  return { conversations, skipped };
}
