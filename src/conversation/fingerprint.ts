// Recognises a conversation, or words of it, by hashes: OpenAI requests name no conversation.
import { createHash } from 'node:crypto';
import { createPace } from '../base/pace.ts';
import { fold } from './fold.ts';
import { spoken } from './spoken.ts';
import type { ConversationState, Entry } from './state.ts';

export interface SaidMessage {
  readonly role: 'user' | 'assistant';
  readonly text: string;
}

const hashOf = (text: string): string => createHash('sha256').update(text).digest('base64url');

/** Clients trim what they send back, and leave out thoughts: neither counts. */
const link = (before: string, { role, text }: SaidMessage): string =>
  hashOf(before + JSON.stringify([role, (role === 'user' ? text : spoken(text)).trim()]));

const sealed = (systemPrompt: string, chain: string): string =>
  hashOf(JSON.stringify(systemPrompt) + chain);

export interface Fingerprints {
  /**
   * Up to and including the last user message: the same request again is a regenerate. Null for
   * conversations that were begun elsewhere: nobody expects a stranger's "hello" to be answered
   * again there.
   */
  readonly asked: string | null;
  /** Everything: a request that goes on from here belongs to this conversation. */
  readonly said: string;
}

/** Hashes up to the last user message, to what was said last, and with it; grows with the entries. */
interface Chain {
  entries: number;
  asked: string;
  before: string;
  said: string;
}

/** Fingerprints of a request that says `last` after what was said before: up to it, and with it. */
export async function fingerprintsAt(
  systemPrompt: string,
  before: readonly SaidMessage[],
  last: SaidMessage,
): Promise<{ readonly said: string; readonly asked: string }> {
  const pace = createPace();
  let chain = '';
  for (const message of before) {
    chain = link(chain, message);
    await pace();
  }
  return { said: sealed(systemPrompt, chain), asked: sealed(systemPrompt, link(chain, last)) };
}

const chains = new WeakMap<readonly Entry[], Chain>();

/** Fingerprints of a conversation as it is; what was hashed of it before is not hashed again. */
export function fingerprintsOf({ entries, settings, origin }: ConversationState): Fingerprints {
  const chain = grown(entries, entries.length);
  const system = settings.systemPrompt ?? '';
  return {
    asked: origin === 'openai' ? sealed(system, chain.asked) : null,
    said: sealed(system, chain.said),
  };
}

/** The chain of the first entries at least. */
export function grown(entries: readonly Entry[], count: number): Chain {
  const chain = chains.get(entries) ?? { entries: 0, asked: '', before: '', said: '' };
  while (chain.entries < count) {
    if (!grow(chain, entries)) restart(chain, entries);
  }
  chains.set(entries, chain);
  return chain;
}

/** Takes in the next entry. False: it changes what was hashed before. */
function grow(chain: Chain, entries: readonly Entry[]): boolean {
  const entry = entries[chain.entries] as Entry;
  const before = entries[chain.entries - 1];
  if (entry.type === 'message') {
    say(chain, { role: 'user', text: entry.text });
  } else {
    const isAnew = before?.type === 'reply' && before.id === entry.replaces;
    if (entry.replaces !== null && !isAnew) return false;
    if (isAnew) chain.said = chain.before;
    say(chain, { role: 'assistant', text: entry.text });
  }
  chain.entries++;
  return true;
}

function restart(chain: Chain, entries: readonly Entry[]): void {
  Object.assign(chain, { asked: '', before: '', said: '' });
  for (const entry of entries) {
    if (entry.type === 'reply' && entry.isSuperseded) continue;
    say(chain, { role: entry.type === 'message' ? 'user' : 'assistant', text: entry.text });
  }
  chain.entries = entries.length;
}

function say(chain: Chain, message: SaidMessage): void {
  chain.before = chain.said;
  chain.said = link(chain.said, message);
  if (message.role === 'user') chain.asked = chain.said;
}

// Recognises words that were said before: what begins with the words of another conversation is a
// copy, and what the person decided about the first holds for it as well.

/** Shorter messages are said in many conversations. */
const CHARACTERS_MIN = 16;
/** Characters of a hash, 48 bits. */
const WIDTH = 8;

/** The hash of a message; empty where it is too short to be recognised. */
export function wordHash(text: string): string {
  const folded = fold(text).trim();
  if (folded.length < CHARACTERS_MIN) return '';
  return createHash('sha256').update(folded).digest('base64url').slice(0, WIDTH);
}

const known = new WeakMap<readonly Entry[], { readonly count: number; readonly words: string }>();

/** Hashes of all messages, one after the other; what was hashed before is not hashed again. */
export function wordsOf(entries: readonly Entry[], upTo = entries.length): string {
  const { count, words } = known.get(entries) ?? { count: 0, words: '' };
  if (count >= upTo) return words;
  const grown =
    words +
    entries
      .slice(count, upTo)
      .map(({ text }) => wordHash(text))
      .join('');
  known.set(entries, { count: upTo, words: grown });
  return grown;
}

/** How many of the messages behind `words` are among these hashes. */
export function countShared(words: string, hashes: ReadonlySet<string>): number {
  let shared = 0;
  for (let at = 0; at < words.length; at += WIDTH) {
    if (hashes.has(words.slice(at, at + WIDTH))) shared++;
  }
  return shared;
}
