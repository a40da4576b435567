// Recognises a talk by what was said in it: the OpenAI routes send whole talks and name none.
import { createHash } from 'node:crypto';
import type { ConversationState } from './state.ts';

export interface SaidMessage {
  readonly role: 'user' | 'assistant';
  readonly text: string;
}

/** One hash of a system prompt and the messages in order. */
export function fingerprint(systemPrompt: string, messages: readonly SaidMessage[]): string {
  const hash = createHash('sha256').update(JSON.stringify(systemPrompt));
  for (const { role, text } of messages) hash.update(JSON.stringify([role, text]));
  return hash.digest('base64url');
}

export interface Fingerprints {
  /** Up to and including the last user message: the same request again is a regenerate. */
  readonly asked: string;
  /** Everything: a request that goes on from here belongs to this talk. */
  readonly said: string;
}

/** Fingerprints of a talk as it stands; null when it did not come over the OpenAI routes. */
export function fingerprintsOf(state: ConversationState): Fingerprints | null {
  if (state.origin !== 'openai') return null;
  const said: SaidMessage[] = [];
  let asked = 0;
  for (const entry of state.entries) {
    if (entry.type === 'reply' && entry.isSuperseded) continue;
    said.push({ role: entry.type === 'message' ? 'user' : 'assistant', text: entry.text });
    if (entry.type === 'message') asked = said.length;
  }
  const system = state.settings.systemPrompt ?? '';
  return { asked: fingerprint(system, said.slice(0, asked)), said: fingerprint(system, said) };
}
