// A Speech without a model: one id a UTF-16 code unit, and markers around each message.
import type { Speech } from '../../src/chat/speech.ts';

const ROLE_IDS = { system: 65_537, user: 65_538, assistant: 65_539 } as const;
export const END_ID = 65_540;
export const FAKE_VOCABULARY = 65_541;

export function idsOf(text: string): number[] {
  return Array.from({ length: text.length }, (_, at) => text.charCodeAt(at));
}

/** What a prompt says, for expectations. */
export function textOfIds(ids: readonly number[]): string {
  const names = new Map<number, string>([
    [ROLE_IDS.system, '<system>'],
    [ROLE_IDS.user, '<user>'],
    [ROLE_IDS.assistant, '<assistant>'],
    [END_ID, '<end>'],
  ]);
  return ids.map((id) => names.get(id) ?? String.fromCharCode(id)).join('');
}

export const fakeSpeech: Speech = {
  stopIds: [END_ID],
  render: (messages) => [
    ...messages.flatMap(({ role, content, ids }) => [
      ROLE_IDS[role],
      ...(ids ?? idsOf(content)),
      END_ID,
    ]),
    ROLE_IDS.assistant,
  ],
  messageTokens: (messages) => messages.map(({ content, ids }) => (ids ?? content).length + 2),
  decoder() {
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
  },
  tokenText: (id) => String.fromCharCode(id),
};
