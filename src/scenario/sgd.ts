// Scenarios from the dialogue acts of Schema-Guided Dialogue: plain pairs and crossed pairs.
import { crc32 } from 'node:zlib';
import { createRandom, type Random } from '../base/random.ts';
import { parseScenario, type Scenario, type ScenarioMessage } from './scenario.ts';
import { sentencesOf } from './words.ts';

export interface SgdTurn {
  readonly role: 'user' | 'assistant';
  readonly text: string;
  readonly acts: readonly (readonly [act: string, slot: string, value: string])[];
}

export interface SgdDialogue {
  readonly id: string;
  readonly services: readonly string[];
  readonly turns: readonly SgdTurn[];
}

/** A moment in which the person directs; `id` is dialogue#index of the directing turn. */
export interface SgdMoment {
  readonly id: string;
  readonly kind: string;
  readonly changes: readonly (readonly [slot: string, before: string, after: string])[];
  readonly reply: string;
  readonly foil?: string | null | undefined;
}

/** Held back from pre-training: nights, flags and dreams draw on these only. */
export function isHeldBack(dialogueId: string): boolean {
  return crc32(dialogueId) % 3 === 0;
}

/** The kind of crossed pair that a scenario of `crossedPairs` belongs to. */
export function sgdKind(scenario: Scenario): string {
  return scenario.id.split(':')[1] ?? '';
}

interface Moment {
  readonly moment: SgdMoment;
  readonly dialogue: SgdDialogue;
  readonly at: number;
}

function located(moments: readonly SgdMoment[], dialogues: readonly SgdDialogue[]): Moment[] {
  const byId = new Map(dialogues.map((dialogue) => [dialogue.id, dialogue]));
  return moments.flatMap((moment) => {
    const [id = '', turn = ''] = moment.id.split('#');
    const dialogue = byId.get(id);
    const at = Number(turn);
    return dialogue?.turns[at]?.role === 'user' ? [{ moment, dialogue, at }] : [];
  });
}

/** A raw value that no person or assistant would say; such foils are dropped. */
const RAW_VALUE = /\bdontcare\b|[{}<>_]|\b\d{4}-\d{2}-\d{2}\b/;

/** Every moment with a usable foil as it stands: real reply against foil. Never the headline. */
export function plainPairs(
  moments: readonly SgdMoment[],
  dialogues: readonly SgdDialogue[],
): Scenario[] {
  return located(moments, dialogues).flatMap(({ moment, dialogue, at }) => {
    const { foil, reply } = moment;
    if (!foil || foil === reply || RAW_VALUE.test(foil)) return [];
    const id = `plain:${moment.kind}:${moment.id}`;
    const before = moment.changes[0]?.[1] ?? '';
    return [
      scenarioOf({
        id,
        dialogue,
        messages: messagesOf(dialogue, at),
        chosen: reply,
        rejected: foil,
        before,
      }),
    ];
  });
}

/**
 * Crossed pairs: the same two candidates in two contexts in which opposite ones are right. After a
 * decline and after an accept of the same offer; and with two values exchanged throughout the
 * context. Two scenarios a pair, sides a (as it happened) and b (crossed).
 */
export function crossedPairs(
  moments: readonly SgdMoment[],
  dialogues: readonly SgdDialogue[],
  seed = 0,
): Scenario[] {
  const random = createRandom(`sgd:${seed}`);
  return [
    ...declinePairs(dialogues, random),
    ...located(moments, dialogues).flatMap((moment) => valuePair(moment)),
  ];
}

const isOnly = (turn: SgdTurn | undefined, acts: readonly string[]): boolean =>
  turn !== undefined && turn.acts.length > 0 && turn.acts.every(([act]) => acts.includes(act));

/** Index of the offer, its intent, and what the person said to it. */
function offers(dialogue: SgdDialogue): { at: number; intent: string }[] {
  return dialogue.turns.flatMap((turn, at) => {
    const offer = turn.acts.find(([act]) => act === 'OFFER_INTENT');
    return turn.role === 'assistant' && offer !== undefined ? [{ at, intent: offer[2] }] : [];
  });
}

function declinePairs(dialogues: readonly SgdDialogue[], random: Random): Scenario[] {
  const accepts = new Map<string, { yes: string; next: string; from: string }[]>();
  for (const dialogue of dialogues) {
    for (const { at, intent } of offers(dialogue)) {
      const [yes, next] = [dialogue.turns[at + 1], dialogue.turns[at + 2]];
      if (!isOnly(yes, ['AFFIRM_INTENT']) || !isOnly(next, ['REQUEST', 'CONFIRM'])) continue;
      // A confirmation names values of its own dialogue; only a bare question fits another one.
      if (yes === undefined || next === undefined || !isOnly(next, ['REQUEST'])) continue;
      const found = { yes: yes.text, next: next.text, from: dialogue.id };
      accepts.set(intent, [...(accepts.get(intent) ?? []), found]);
    }
  }
  return dialogues.flatMap((dialogue) =>
    offers(dialogue).flatMap(({ at, intent }) => {
      const [no, after] = [dialogue.turns[at + 1], dialogue.turns[at + 2]];
      const isDecline = isOnly(no, ['NEGATE_INTENT', 'THANK_YOU', 'GOODBYE']);
      if (!isDecline || !isOnly(after, ['REQ_MORE', 'GOODBYE']) || after === undefined) return [];
      const others = (accepts.get(intent) ?? []).filter((found) => found.from !== dialogue.id);
      if (others.length === 0) return [];
      const { yes, next } = random.pick(others);
      const declined = messagesOf(dialogue, at + 1);
      const accepted = [...declined.slice(0, -1), { role: 'user' as const, content: yes }];
      const pair = `decline:${dialogue.id}#${at + 1}`;
      return [
        sideOf({ pair, side: 'a', dialogue, messages: declined, right: after.text, wrong: next }),
        sideOf({ pair, side: 'b', dialogue, messages: accepted, right: next, wrong: after.text }),
      ];
    }),
  );
}

const escaped = (value: string): string => value.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const whole = (value: string): RegExp =>
  new RegExp(`(?<![\\p{L}\\p{N}])${escaped(value)}(?![\\p{L}\\p{N}])`, 'giu');

/** Both values exchanged wherever they stand. */
export function exchangeValues(text: string, a: string, b: string): string {
  const marker = '\u0000';
  return text.replace(whole(a), marker).replace(whole(b), a).replaceAll(marker, b);
}

const has = (text: string, value: string): boolean => whole(value).test(text);

function valuePair({ moment, dialogue, at }: Moment): Scenario[] {
  const messages = messagesOf(dialogue, at);
  const context = messages.map((m) => m.content).join('\n');
  const values = exchangeable(moment, context);
  if (values === undefined) return [];
  const { before, after, foil } = values;
  const crossed = messages.map((m) => ({
    ...m,
    content: exchangeValues(m.content, before, after),
  }));
  const pair = `${moment.kind}:${moment.id}`;
  const shared = { pair, dialogue };
  return [
    sideOf({ ...shared, side: 'a', messages, right: moment.reply, wrong: foil, before }),
    sideOf({
      ...shared,
      side: 'b',
      messages: crossed,
      right: foil,
      wrong: moment.reply,
      before: after,
    }),
  ];
}

/** The two values and the reply with the old one in the new one's place, where that is clean. */
function exchangeable(
  moment: SgdMoment,
  context: string,
): { before: string; after: string; foil: string } | undefined {
  const { reply, foil, kind, changes } = moment;
  if (kind === 'decline_push' || !foil || RAW_VALUE.test(foil)) return undefined;
  const named = changes.map(([, before, after]) => ({ before, after }));
  const guessed = kind === 'reject_offer_alts' ? differingWords(reply, foil) : undefined;
  const candidates = [...named, ...(guessed === undefined ? [] : [guessed])];
  for (const { before, after } of candidates) {
    if (before === '' || after === '' || before.length < 2 || after.length < 2) continue;
    if (has(before, after) || has(after, before)) continue;
    const isInContext =
      has(context, before) && (kind === 'reject_offer_alts' || has(context, after));
    if (!isInContext || !has(reply, after) || has(reply, before)) continue;
    return { before, after, foil: reply.replace(whole(after), before) };
  }
  return undefined;
}

/** The one stretch in which reply and foil differ, if there is only one. */
function differingWords(
  reply: string,
  foil: string,
): { before: string; after: string } | undefined {
  const a = reply.split(' ');
  const b = foil.split(' ');
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let tail = 0;
  while (
    tail < a.length - start &&
    tail < b.length - start &&
    a[a.length - 1 - tail] === b[b.length - 1 - tail]
  ) {
    tail++;
  }
  const trim = (words: string[]): string => words.join(' ').replace(/[.,?!]+$/, '');
  const after = trim(a.slice(start, a.length - tail));
  const before = trim(b.slice(start, b.length - tail));
  return after === '' || before === '' ? undefined : { before, after };
}

const messagesOf = (dialogue: SgdDialogue, at: number): ScenarioMessage[] =>
  dialogue.turns.slice(0, at + 1).map((turn) => ({ role: turn.role, content: turn.text }));

interface Side {
  readonly pair: string;
  readonly side: 'a' | 'b';
  readonly dialogue: SgdDialogue;
  readonly messages: readonly ScenarioMessage[];
  readonly right: string;
  readonly wrong: string;
  readonly before?: string;
}

function sideOf({ pair, side, dialogue, messages, right, wrong, before = '' }: Side): Scenario {
  const id = `crossed:${pair}:${side}`;
  const scenario = scenarioOf({ id, dialogue, messages, chosen: right, rejected: wrong, before });
  return { ...scenario, pair: { id: pair, side } };
}

/** The direction is the last turn; the own idea is what the assistant said it would do before. */
function scenarioOf(parts: {
  id: string;
  dialogue: SgdDialogue;
  messages: readonly ScenarioMessage[];
  chosen: string;
  rejected: string;
  before: string;
}): Scenario {
  const { id, dialogue, messages, chosen, rejected, before } = parts;
  const last = messages.length - 1;
  const direction = messages[last]?.content ?? '';
  const idea = ownIdea(messages, before);
  return parseScenario(
    {
      id,
      kind: 'listen',
      messages,
      spans: [
        { feature: 'direction', message: last, start: 0, end: direction.length },
        ...(idea === undefined ? [] : [idea]),
      ],
      chosen,
      rejected,
      source: { origin: 'sgd', cluster: dialogue.id, domain: dialogue.services.join('+') },
    },
    id,
  );
}

/** The assistant's latest sentence that holds the old value; of an offer, its last sentence. */
function ownIdea(
  messages: readonly ScenarioMessage[],
  before: string,
): { feature: 'own-idea'; message: number; start: number; end: number } | undefined {
  const isIdea = (text: string): boolean => before === '' || has(text, before);
  const message = messages.findLastIndex((m) => m.role === 'assistant' && isIdea(m.content));
  const said = messages[message]?.content ?? '';
  const idea = sentencesOf(said).findLast(isIdea);
  if (idea === undefined) return undefined;
  const start = said.lastIndexOf(idea);
  return { feature: 'own-idea', message, start, end: start + idea.length };
}
