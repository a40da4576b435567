// The reply that listens and the one that does not: found by asking the model, guided and unguided.
import type { Random } from '../base/random.ts';
import { checkReply } from '../scenario/check.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { Draft } from './draft.ts';
import type { Message, TurnWriter } from './writer.ts';

/** A scenario whose candidates are still to be found. */
export type OpenScenario = Omit<Scenario, 'chosen' | 'rejected'>;

export interface CandidateOptions {
  readonly writer: TurnWriter;
  readonly random: Random;
  /** Stands before the talk while `chosen` is looked for, and is removed again. */
  readonly guidance: string;
  readonly retries: number;
  readonly tokensMax: number;
}

export interface Found<From extends string> {
  readonly text: string;
  readonly from: From;
}

/** Cooler than scenes: a reply is to be typical. */
const TEMPERATURE = 0.7;

/** The guidance joins the system message, or becomes one. */
export function withGuidance(messages: readonly Message[], guidance: string): Message[] {
  const [first, ...rest] = messages;
  if (first?.role !== 'system') return [{ role: 'system', content: guidance }, ...messages];
  return [{ role: 'system', content: `${first.content} ${guidance}` }, ...rest];
}

/** Whether a reply listens. Candidates do not count here; the check of the kind decides. */
export function passes(scenario: OpenScenario, reply: string): boolean {
  return checkReply({ ...scenario, chosen: reply }, reply).passes;
}

async function sample(
  messages: readonly Message[],
  { writer, random, tokensMax }: CandidateOptions,
): Promise<string | undefined> {
  const reply = await writer.write({
    messages,
    role: 'assistant',
    tokensMax,
    seed: random.uint32(),
    temperature: TEMPERATURE,
  });
  // A reply that ran into the limit stops in the middle of a word.
  return reply.isEnded && reply.text !== '' ? reply.text : undefined;
}

/**
 * A listening reply by the model itself with guidance in its prompt; undefined when it finds none.
 * @param listens whether a reply is one
 */
export async function findChosen(
  messages: readonly Message[],
  options: CandidateOptions,
  listens: (reply: string) => boolean,
): Promise<Found<'guided'> | undefined> {
  return firstOf(withGuidance(messages, options.guidance), options, listens, 'guided');
}

/**
 * A reply without guidance that does not listen; undefined when all of them do.
 * @param drifts whether a reply is one
 */
export async function findRejected(
  messages: readonly Message[],
  options: CandidateOptions,
  drifts: (reply: string) => boolean,
): Promise<Found<'unguided'> | undefined> {
  return firstOf(messages, options, drifts, 'unguided');
}

async function firstOf<From extends string>(
  messages: readonly Message[],
  options: CandidateOptions,
  isRight: (reply: string) => boolean,
  from: From,
): Promise<Found<From> | undefined> {
  for (let attempt = 0; attempt <= options.retries; attempt++) {
    const text = await sample(messages, options);
    if (text !== undefined && isRight(text)) return { text, from };
  }
  return undefined;
}

/** What a draft says of the candidates that were found for it. */
export function told(
  chosen: Found<Draft['chosenFrom']> | undefined,
  rejected: Found<Draft['rejectedFrom']> | undefined,
) {
  return {
    ...(chosen ? { chosen: chosen.text } : { problem: 'no listening reply was found' }),
    ...(rejected && { rejected: rejected.text }),
    chosenFrom: chosen?.from ?? 'nobody',
    rejectedFrom: rejected?.from ?? 'nobody',
  };
}
