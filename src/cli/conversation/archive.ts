// Converts the exports of ChatGPT, Claude and Open WebUI, and lines of ShareGPT and of OpenAI's
// fine-tuning, to conversations. Pure functions; an odd entry costs itself only.
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { describeIssues } from '../../base/errors.ts';
import { spoken } from '../../conversation/spoken.ts';
import type {
  ConversationImportInput,
  ImportedFlag,
  ImportedMessage,
} from '../../protocol/http.ts';

/** An entry of a file, with where it is there. */
export interface Entry {
  readonly place: string;
  readonly value: unknown;
}

/** What an export has, and what of it cannot be read, with its place and the reason. */
export interface Archive {
  readonly conversations: readonly {
    readonly place: string;
    readonly conversation: ConversationImportInput;
  }[];
  readonly skipped: readonly string[];
}

/** Seconds, milliseconds or nanoseconds since 1970, or a date: programs and versions differ. */
export function milliseconds(time: number | string | null | undefined, otherwise: number): number {
  const given = typeof time === 'string' ? Date.parse(time) : time;
  if (given === null || given === undefined || !(given > 0) || given > 1e20) return otherwise;
  if (given > 1e17) return Math.floor(given / 1e6);
  return Math.floor(given > 1e11 ? given : given * 1000);
}

/** An id of another program as an id of Attune; hashed where it does not fit. */
export function ourId(prefix: string, id: string): string {
  const whole = `${prefix}${id}`;
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(whole)) return whole;
  return prefix + createHash('sha256').update(id).digest('hex').slice(0, 32);
}

/** From the first message of a tree to a leaf of it; a tree that bites its tail ends there. */
export function branch<T>(
  leaf: string | null | undefined,
  nodeOf: (
    id: string,
  ) => { readonly node: T; readonly parent?: string | null | undefined } | undefined,
): T[] {
  const shown: T[] = [];
  const seen = new Set<string>();
  for (let id = leaf; id && !seen.has(id); ) {
    seen.add(id);
    const found = nodeOf(id);
    if (found === undefined) break;
    shown.push(found.node);
    id = found.parent;
  }
  return shown.reverse();
}

interface Said {
  readonly id: string;
  readonly role: string;
  readonly text: string;
  readonly at?: number | string | null | undefined;
}

interface Talk {
  readonly prefix: string;
  readonly id: string;
  readonly title?: string | null | undefined;
  readonly system?: string | null | undefined;
  readonly at: number;
  readonly said: readonly Said[];
}

/** What person and model said; undefined: nothing. */
export function conversationFrom(talk: Talk): ConversationImportInput | undefined {
  const { prefix, id, title, system, at } = talk;
  const messages: ImportedMessage[] = [];
  for (const one of talk.said) {
    const role = ROLES[one.role];
    const text = role === 'assistant' ? spoken(one.text) : one.text;
    if (role === undefined || text.trim() === '') continue;
    const time = milliseconds(one.at, messages.at(-1)?.at ?? at);
    messages.push({ id: ourId(prefix, one.id), role, text, at: time });
  }
  if (messages.length === 0) return undefined;
  const named = (title ?? '').trim().slice(0, 200).trim() || 'Imported conversation';
  const settings = system ? { systemPrompt: system } : {};
  return { id: ourId(prefix, id), title: named, origin: 'import', settings, messages };
}

const ROLES: Readonly<Record<string, 'user' | 'assistant' | undefined>> = {
  ...{ user: 'user', human: 'user', prompter: 'user' },
  ...{ assistant: 'assistant', gpt: 'assistant', chatgpt: 'assistant', bard: 'assistant' },
  ...{ model: 'assistant', bing: 'assistant' },
};

const Text = z.string().nullish();
const Time = z.union([z.number(), z.string()]).nullish();

const ChatgptMessage = z.looseObject({
  author: z.looseObject({ role: z.string() }),
  create_time: Time,
  content: z.looseObject({ content_type: z.string(), parts: z.array(z.unknown()).nullish() }),
  recipient: Text,
  metadata: z
    .looseObject({ is_visually_hidden_from_conversation: z.boolean().nullish() })
    .nullish(),
});
const Chatgpt = z.looseObject({
  id: Text,
  conversation_id: Text,
  title: Text,
  create_time: Time,
  current_node: Text,
  mapping: z.record(z.string(), z.looseObject({ message: z.unknown(), parent: Text })),
});

/** Tools, thoughts and what is hidden are no words of the conversation. */
function chatgptWords(id: string, value: unknown): Said[] {
  const parsed = ChatgptMessage.safeParse(value);
  if (!parsed.success) return [];
  const { author, content, recipient, metadata, create_time: at } = parsed.data;
  const isSaid = ['text', 'multimodal_text'].includes(content.content_type);
  const isHidden = metadata?.is_visually_hidden_from_conversation === true;
  if (!isSaid || isHidden || (recipient ?? 'all') !== 'all') return [];
  const parts = (content.parts ?? []).filter((part) => typeof part === 'string');
  return [{ id, role: author.role, text: parts.join('\n'), at }];
}

function chatgpt(chat: z.infer<typeof Chatgpt>, now: number): ConversationImportInput | undefined {
  const { mapping, title } = chat;
  const leaf = chat.current_node ?? Object.keys(mapping).at(-1);
  const nodes = branch(leaf, (id) => {
    const node = mapping[id];
    return node && { node: { id, message: node.message }, parent: node.parent };
  });
  const said = nodes.flatMap(({ id, message }) => chatgptWords(id, message));
  const id = chat.conversation_id ?? chat.id ?? Object.keys(mapping).join();
  return conversationFrom({
    prefix: 'cgpt-',
    id,
    title,
    at: milliseconds(chat.create_time, now),
    said,
  });
}

const Claude = z.looseObject({
  uuid: z.string(),
  name: Text,
  created_at: Time,
  chat_messages: z.array(
    z.looseObject({
      uuid: z.string(),
      sender: z.string(),
      text: Text,
      created_at: Time,
      content: z.array(z.looseObject({ type: z.string(), text: Text })).nullish(),
    }),
  ),
});

function claude(chat: z.infer<typeof Claude>, now: number): ConversationImportInput | undefined {
  const said = chat.chat_messages.map(({ uuid, sender, text, content, created_at: at }) => {
    const words = (content ?? []).filter((part) => part.type === 'text').map((part) => part.text);
    return { id: uuid, role: sender, text: words.length > 0 ? words.join('\n') : (text ?? ''), at };
  });
  const { uuid: id, name: title } = chat;
  return conversationFrom({
    prefix: 'cld-',
    id,
    title,
    at: milliseconds(chat.created_at, now),
    said,
  });
}

const Content = z
  .union([z.string(), z.array(z.looseObject({ text: Text }))])
  .nullish()
  .transform((content) =>
    typeof content === 'string'
      ? content
      : (content ?? []).map(({ text }) => text ?? '').join('\n'),
  );
const Line = z.union([
  z
    .looseObject({
      messages: z.array(z.looseObject({ role: z.string(), content: Content })).min(1),
    })
    .transform(({ messages, ...more }) => ({ more, said: messages })),
  z
    .looseObject({
      conversations: z.array(z.looseObject({ from: z.string(), value: z.string() })).min(1),
    })
    .transform(({ conversations, ...more }) => ({
      more,
      said: conversations.map(({ from, value }) => ({ role: from, content: value })),
    })),
]);

function line({ more, said }: z.infer<typeof Line>, now: number) {
  const words = said.map(({ role, content }) => [role, content]);
  const hash = createHash('sha256').update(JSON.stringify(words)).digest('hex').slice(0, 32);
  const id = typeof more.id === 'string' && more.id !== '' ? more.id : hash;
  const isSystem = ({ role }: { role: string }): boolean => /^(?:system|developer)$/.test(role);
  return conversationFrom({
    ...{ prefix: 'jsonl-', id, at: now },
    title:
      typeof more.title === 'string' ? more.title : said.find((one) => !isSystem(one))?.content,
    system: said
      .filter(isSystem)
      .map(({ content }) => content)
      .join('\n\n'),
    said: said.map(({ role, content }, index) => ({ id: `${id}-${index}`, role, text: content })),
  });
}

function reader<S extends z.ZodType>(
  schema: S,
  convert: (value: z.infer<S>, now: number) => ConversationImportInput | undefined,
) {
  return (entries: readonly Entry[], now: number): Archive => {
    const skipped: string[] = [];
    const conversations = entries.flatMap(({ place, value }) => {
      const parsed = schema.safeParse(value);
      if (!parsed.success) {
        skipped.push(`${place}: ${describeIssues(parsed.error)}`);
        return [];
      }
      const conversation = convert(parsed.data, now);
      if (conversation === undefined) skipped.push(`${place}: nobody says anything in it`);
      return conversation === undefined
        ? []
        : [{ place: `${place} (${JSON.stringify(conversation.title)})`, conversation }];
    });
    return { conversations, skipped };
  };
}

export const ARCHIVES = {
  chatgpt: reader(Chatgpt, chatgpt),
  claude: reader(Claude, claude),
  jsonl: reader(Line, line),
} as const;

// Converts Open WebUI's exported chats and ratings to conversations and flags. Pure functions.

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
