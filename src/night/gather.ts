// Gathers what a night learns from: flags become scenarios, quiet turns become everyday replay,
// one flag in five is held back. It reads conversations and flags; it writes nothing.
import { createRandom } from '../base/random.ts';
import type { Flag } from '../protocol/flag.ts';
import { directiveOf } from '../scenario/directive.ts';
import { type FlaggedMoment, isDrawn } from '../scenario/moment.ts';
import type { Rendering, Scenario, ScenarioMessage } from '../scenario/scenario.ts';
import { sentencesOf } from '../scenario/words.ts';

/** A conversation as the night sees it, in order. */
export interface Conversation {
  readonly id: string;
  readonly canLearn: boolean;
  readonly rendering: Rendering;
  readonly systemPrompt?: string;
  readonly messages: readonly ConversationMessage[];
  /** Replies that another one took the place of: a flag may be on one of them. */
  readonly replaced: readonly Pick<ConversationMessage, 'id' | 'content'>[];
}

export interface ConversationMessage {
  readonly id: string;
  readonly role: 'user' | 'assistant';
  readonly content: string;
  readonly at: number;
}

export interface Gathered {
  readonly flagged: readonly FlaggedMoment[];
  /** Everyday turns to replay, so that nothing is unlearned. */
  readonly everyday: readonly Scenario[];
}

export interface GatherInput {
  /** Not withdrawn. In the order in which they were made. */
  readonly flags: readonly Flag[];
  readonly conversations: ReadonlyMap<string, Conversation>;
  readonly heldBackFrom: number;
  readonly heldBackOneIn: number;
  readonly everydayMax: number;
  /** All everyday turns together: each holds what came before it. */
  readonly everydayCharactersMax: number;
  /** More of what came before a moment reaches no model; whole old turns are left out. */
  readonly contextCharactersMax: number;
  /** All flagged moments together, as they are written; the oldest are left out. */
  readonly flaggedBytesMax: number;
  readonly seed: number;
}

/** Conversations that a person excluded, and flags whose words are gone, are left out. */
export function gather(input: GatherInput): Gathered {
  const { contextCharactersMax } = input;
  const moments = input.flags.flatMap((flag, index) => {
    const conversation = input.conversations.get(flag.conversationId);
    if (conversation === undefined || !conversation.canLearn) return [];
    const isHeldBack = index + 1 >= input.heldBackFrom && isDrawn(flag.id, input.heldBackOneIn);
    const moment = momentOf(flag, conversation, { isHeldBack, contextCharactersMax });
    return moment === undefined ? [] : [moment];
  });
  const flagged = newest(moments, input.flaggedBytesMax);
  // Whatever else was answered there is no everyday turn: it would be held as it is.
  const marked = new Set(input.flags.map((flag) => flag.messageId));
  // Nor is a copy of a turn that was flagged as missed, in a conversation that was copied.
  const missed = new Set(
    flagged.map(({ context, rejected }) => turnKey(context.messages.at(-1)?.content, rejected)),
  );
  const everyday = [...input.conversations.values()]
    .filter((conversation) => conversation.canLearn)
    .flatMap((conversation) => everydayTurns(conversation, marked, contextCharactersMax))
    .filter(({ asked, chosen }) => !missed.has(turnKey(asked, chosen)));
  const drawn = createRandom(input.seed).split('everyday').shuffle(everyday);
  return { flagged, everyday: bounded(drawn, input) };
}

function turnKey(asked: string | undefined, reply: string | undefined): string {
  return JSON.stringify([asked, reply]);
}

/** The first turns that fit; one that is too long for what is left is passed over. */
function bounded(
  turns: readonly EverydayTurn[],
  { everydayMax, everydayCharactersMax }: GatherInput,
): Scenario[] {
  const taken: Scenario[] = [];
  let left = everydayCharactersMax;
  for (const { scenario } of turns) {
    if (taken.length === everydayMax) break;
    const turn = scenario();
    const characters = turn.messages.reduce((sum, { content }) => sum + content.length, 0);
    if (characters > left) continue;
    left -= characters;
    taken.push(turn);
  }
  return taken;
}

/** The newest that fit, in their order. */
function newest(moments: readonly FlaggedMoment[], bytesMax: number): FlaggedMoment[] {
  let left = bytesMax;
  const fits = [...moments].reverse().map((moment) => {
    left -= Buffer.byteLength(JSON.stringify(moment));
    return left >= 0;
  });
  return moments.filter((_, index) => fits[moments.length - 1 - index]);
}

/** Messages that begin a turn, by the rule of the window. */
function turnStarts({ messages }: Conversation): number[] {
  return messages.flatMap(({ role }, index) => (index === 0 || role === 'user' ? [index] : []));
}

/**
 * The first message of what is kept before `end`: enough characters to fill any window, from a turn
 * at which the window's rule counts as from the conversation's beginning.
 * @param needed a message that is kept in any case
 */
function firstKept(
  conversation: Conversation,
  starts: readonly number[],
  { end, needed, charactersMax }: { end: number; needed: number; charactersMax: number },
): number {
  let oldest = end;
  for (let characters = 0; oldest > 0 && characters < charactersMax; ) {
    oldest -= 1;
    characters += conversation.messages[oldest]?.content.length ?? 0;
  }
  const turnOf = (message: number): number => starts.findLastIndex((start) => start <= message);
  const turns = turnOf(end) - turnOf(oldest) + 1;
  const step = 2 ** Math.ceil(Math.log2(2 * turns));
  const first = Math.min(turnOf(oldest), turnOf(needed));
  return starts[Math.floor(first / step) * step] ?? 0;
}

interface MomentOptions {
  readonly isHeldBack: boolean;
  readonly contextCharactersMax: number;
}

/** What a flag says of its conversation; undefined where its message is gone. */
export function momentOf(
  flag: Flag,
  whole: Conversation,
  { isHeldBack, contextCharactersMax: charactersMax }: MomentOptions,
): FlaggedMoment | undefined {
  const idOf = flag.userSpan?.messageId ?? flag.messageId;
  const end = whole.messages.findIndex((message) => message.id === flag.messageId);
  if (end < 0) return undefined;
  const direction = whole.messages.findIndex((message) => message.id === idOf);
  const needed = direction < 0 ? end : Math.min(direction, end);
  const from = firstKept(whole, turnStarts(whole), { end, needed, charactersMax });
  const conversation = { ...whole, messages: whole.messages.slice(from) };
  const at = end - from;
  const prefix = systemOf(conversation);
  const messages = [...prefix, ...conversation.messages.slice(0, at + 1).map(bare)];
  const replies = [...conversation.messages, ...conversation.replaced];
  const reply = replies.find(({ id }) => id === flag.replyId)?.content;
  const spans = [directionSpan(flag, conversation, at), ideaSpan(flag, conversation, at)];
  const isMissed = flag.kind === 'missed';
  const chosen = isMissed ? flag.betterWords : reply;
  const rejected = isMissed ? reply : undefined;
  return {
    flagId: flag.id,
    strength: flag.strength,
    isHeldBack,
    kind: flag.kind,
    updatedAt: flag.updatedAt,
    context: {
      id: `flag-${flag.id}`,
      kind: 'listen',
      messages,
      rendering: conversation.rendering,
      spans: spans.flatMap((span) =>
        span === undefined ? [] : [{ ...span, message: span.message + prefix.length }],
      ),
      source: { origin: 'flag', cluster: conversation.id, domain: 'talk' },
    },
    ...(isMissed && flag.reason ? { reason: flag.reason } : {}),
    ...(chosen ? { chosen } : {}),
    ...(rejected === undefined || rejected === chosen || rejected === '' ? {} : { rejected }),
  };
}

type MomentSpan = FlaggedMoment['context']['spans'][number];

const bare = ({ role, content }: ConversationMessage): ScenarioMessage => ({ role, content });

function systemOf(conversation: Conversation): ScenarioMessage[] {
  return conversation.systemPrompt ? [{ role: 'system', content: conversation.systemPrompt }] : [];
}

/** Of a longer message, only the sentence that directs is said again. */
const WHOLE_MESSAGE_MAX = 240;

/**
 * The marked words, else the person's last message that directs; where it is short all of it but
 * questions at its ends, as what is wanted often stands in the sentence beside. Where none reads
 * like a directive, the last short statement that followed upon an answer to the person's question:
 * "It will be green." after "Which colour would you take?". Without one the person's comment says
 * what was asked, else it is the whole message that the reply answers.
 */
function directionSpan(flag: Flag, conversation: Conversation, at: number): MomentSpan | undefined {
  const feature = 'direction' as const;
  const { messages } = conversation;
  if (flag.userSpan !== null) {
    const { messageId, span } = flag.userSpan;
    const message = messages.findIndex(({ id }) => id === messageId);
    const isInside = span.start < span.end && span.end <= (messages[message]?.content ?? '').length;
    return isInside ? { feature, message, start: span.start, end: span.end } : undefined;
  }
  const said = messages.flatMap(({ role, content }, message) => {
    return role === 'user' && message <= at ? [{ content, message }] : [];
  });
  for (const { content, message } of said.toReversed()) {
    const directive = directiveOf(content);
    const span = directive && (statementOf(content) ?? placeOf(content, directive));
    if (span) return { feature, message, ...span };
  }
  for (const [index, { content, message }] of [...said.entries()].toReversed()) {
    const isUponAnswer = said[index - 1]?.content.trimEnd().endsWith('?') ?? false;
    const span = isUponAnswer ? statementOf(content) : undefined;
    if (span) return { feature, message, ...span };
  }
  const end = messages[at]?.content.length ?? 0;
  return flag.reason || end === 0 ? undefined : { feature, message: at, start: 0, end };
}

type Place = Pick<MomentSpan, 'start' | 'end'>;

/** From the first to the last sentence that asks nothing, of a short message. */
function statementOf(content: string): Place | undefined {
  if (content.length > WHOLE_MESSAGE_MAX) return undefined;
  const told = sentencesOf(content).filter((sentence) => !sentence.endsWith('?'));
  const [first, last] = [told[0], told.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  return { start: content.indexOf(first), end: content.lastIndexOf(last) + last.length };
}

function placeOf(content: string, sentence: string): Place | undefined {
  const start = content.indexOf(sentence);
  return start < 0 ? undefined : { start, end: start + sentence.length };
}

/** Where the reply's drifting words stood in an earlier reply: the model's own idea. */
function ideaSpan(flag: Flag, conversation: Conversation, at: number): MomentSpan | undefined {
  const words = flag.replySpan?.text;
  if (words === undefined) return undefined;
  const isIdea = (message: ConversationMessage, index: number): boolean =>
    index < at && message.role === 'assistant' && message.content.includes(words);
  const index = conversation.messages.findLastIndex(isIdea);
  const start = conversation.messages[index]?.content.indexOf(words) ?? -1;
  if (start < 0) return undefined;
  return { feature: 'own-idea', message: index, start, end: start + words.length };
}

/** One that may be drawn: what came before it is only put together when it is. */
interface EverydayTurn {
  readonly asked: string;
  readonly chosen: string;
  readonly scenario: () => Scenario;
}

/** Each answered turn in which nobody marked a reply. */
function everydayTurns(
  conversation: Conversation,
  marked: ReadonlySet<string>,
  charactersMax: number,
): EverydayTurn[] {
  const prefix = systemOf(conversation);
  const starts = turnStarts(conversation);
  const said = conversation.messages.map(bare);
  return conversation.messages.flatMap((message, at) => {
    const before = conversation.messages[at - 1];
    if (message.role !== 'assistant' || before?.role !== 'user') return [];
    if (marked.has(before.id) || message.content === '') return [];
    const end = at - 1;
    const scenario = (): Scenario => ({
      id: `log-${conversation.id}-${message.id}`,
      kind: 'ordinary',
      messages: [
        ...prefix,
        ...said.slice(firstKept(conversation, starts, { end, needed: end, charactersMax }), at),
      ],
      spans: [],
      rendering: conversation.rendering,
      chosen: message.content,
      source: { origin: 'log', cluster: conversation.id, domain: 'talk' },
    });
    return [{ asked: before.content, chosen: message.content, scenario }];
  });
}
