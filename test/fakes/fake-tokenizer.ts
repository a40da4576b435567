// A tokenizer without a model: one id a UTF-16 code unit, and markers around each message.
import type { ChatTokenizer, ChatTokens } from '../../src/tokenizer/chat-tokenizer.ts';
import type { ChatMessage } from '../../src/tokenizer/rendered-chat.ts';
import type { StreamDecoder } from '../../src/tokenizer/token-bytes.ts';

const ROLE_IDS = { system: 65_537, user: 65_538, assistant: 65_539, tool: 65_541 } as const;
export const END_ID = 65_540;
export const FAKE_VOCABULARY = 65_542;

export function idsOf(text: string): number[] {
  return Array.from({ length: text.length }, (_, at) => text.charCodeAt(at));
}

/** What a prompt says, for expectations. */
export function textOfIds(ids: readonly number[]): string {
  const names = new Map<number, string>([
    [ROLE_IDS.system, '<system>'],
    [ROLE_IDS.user, '<user>'],
    [ROLE_IDS.assistant, '<assistant>'],
    [ROLE_IDS.tool, '<tool>'],
    [END_ID, '<end>'],
  ]);
  return ids.map((id) => names.get(id) ?? String.fromCharCode(id)).join('');
}

function render(messages: readonly ChatMessage[], addGenerationPrompt: boolean) {
  const ids: number[] = [];
  const places = messages.map(({ role, content, ids: said }) => {
    const start = ids.length;
    ids.push(ROLE_IDS[role as keyof typeof ROLE_IDS], ...(said ?? idsOf(content)), END_ID);
    const end = ids.length;
    return { start, end, contentStart: start + 1, contentEnd: end - 1, isWritten: true };
  });
  if (addGenerationPrompt) ids.push(ROLE_IDS.assistant);
  return { ids, messages: places, isThinking: false } satisfies Omit<ChatTokens, 'spans'>;
}

function createStreamDecoder(): StreamDecoder {
  let half = '';
  return {
    push(id) {
      const text = half + String.fromCharCode(id);
      const isHalf = /[\uD800-\uDBFF]$/.test(text);
      half = isHalf ? text.slice(-1) : '';
      return isHalf ? text.slice(0, -1) : text;
    },
    end: () => (half === '' ? '' : '\uFFFD'),
  };
}

export const fakeTokenizer: ChatTokenizer = {
  encoding: 'e'.repeat(64),
  stopIds: [END_ID],
  notices: [],
  thoughts: 'none',
  takesTools: true,
  encodeRaw: async (text) => idsOf(text),
  controlIds: new Set([...Object.values(ROLE_IDS), END_ID]),
  renderChat: async (messages, { addGenerationPrompt = false, spans = [], prefill = '' } = {}) => {
    const chat = render(messages, addGenerationPrompt);
    chat.ids.push(...idsOf(prefill));
    const placed = spans.map(({ message, start, end }) => {
      const from = chat.messages[message]?.contentStart ?? 0;
      return [from + start, from + end] as const;
    });
    return { ...chat, spans: placed };
  },
  decode: textOfIds,
  createStreamDecoder,
  tokenText: (id) => String.fromCharCode(id),
  tokenBytes: (id) => Buffer.from(String.fromCharCode(id), 'utf8'),
  close: async () => undefined,
};
