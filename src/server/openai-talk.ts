// Finds the talk that an OpenAI request goes on with: such requests carry all that was said.
import { randomUUID } from 'node:crypto';
import { AttuneError } from '../base/errors.ts';
import { fingerprint, type SaidMessage } from '../conversation/fingerprint.ts';
import {
  foreignReply,
  type HeaderRecord,
  LOG_SCHEMA_VERSION,
  type LogRecord,
} from '../conversation/record.ts';
import type { ChatCompletionRequest, OpenaiMessage } from '../protocol/openai.ts';

/** How a request is answered: say the last message in a talk, or answer its last one again. */
export type Continuation =
  | {
      readonly kind: 'say';
      readonly conversationId: string;
      readonly text: string;
      readonly beginning?: readonly [HeaderRecord, ...LogRecord[]];
    }
  | { readonly kind: 'regenerate'; readonly conversationId: string };

function textOf({ content }: OpenaiMessage): string {
  return typeof content === 'string' ? content : content.map(({ text }) => text).join('\n');
}

interface Split {
  readonly systemPrompt: string;
  readonly before: readonly SaidMessage[];
  readonly last: SaidMessage;
}

/** @throws message-invalid when the last message is not the user's */
function split(messages: readonly OpenaiMessage[]): Split {
  const isSystem = ({ role }: OpenaiMessage): boolean => role === 'system' || role === 'developer';
  const systemPrompt = messages.filter(isSystem).map(textOf).join('\n\n');
  const said = messages
    .filter((message) => !isSystem(message))
    .map((message): SaidMessage => {
      return { role: message.role === 'user' ? 'user' : 'assistant', text: textOf(message) };
    });
  const last = said.at(-1);
  if (last?.role !== 'user' || last.text === '') {
    throw new AttuneError('message-invalid', 'The last message must be a user message with text.', {
      param: 'messages',
    });
  }
  return { systemPrompt, before: said.slice(0, -1), last };
}

/** What was said before, as records of a new talk. */
function historyRecords(before: readonly SaidMessage[], at: number): LogRecord[] {
  let messageId = randomUUID() as string;
  return before.map(({ role, text }): LogRecord => {
    const id = randomUUID();
    if (role === 'user') {
      messageId = id;
      return { type: 'message', id, at, text };
    }
    return foreignReply({ id, messageId, at, text });
  });
}

/** What continues a talk needs to know. */
export interface TalkFinder {
  findByFingerprint(key: 'asked' | 'said', fingerprint: string): string | undefined;
}

/**
 * The talk in which exactly the messages before the last were said goes on, wherever it was begun;
 * the same request again (a client's "regenerate", or its retry) answers its last message anew, in
 * a talk of this route; undefined: no such talk.
 * @throws message-invalid
 */
export function continueTalk(
  request: ChatCompletionRequest,
  store: TalkFinder,
): Continuation | undefined {
  const { systemPrompt, before, last } = split(request.messages);
  const asked = store.findByFingerprint('asked', fingerprint(systemPrompt, [...before, last]));
  if (asked !== undefined) return { kind: 'regenerate', conversationId: asked };
  const said = store.findByFingerprint('said', fingerprint(systemPrompt, before));
  if (said === undefined || before.length === 0) return undefined;
  return { kind: 'say', conversationId: said, text: last.text };
}

/** A talk of its own, that begins with what was said before. @throws message-invalid */
export function newTalk(request: ChatCompletionRequest, at: number): Continuation {
  const { systemPrompt, before, last } = split(request.messages);
  const id = randomUUID();
  const header: HeaderRecord = {
    type: 'conversation',
    schemaVersion: LOG_SCHEMA_VERSION,
    id,
    at,
    origin: 'openai',
    title: '',
    settings: systemPrompt === '' ? {} : { systemPrompt },
    canLearn: true,
  };
  const beginning = [header, ...historyRecords(before, at)] as const;
  return { kind: 'say', conversationId: id, text: last.text, beginning };
}
