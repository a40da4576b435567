// A chat renderer for tests: one token a word, control tokens 1 (begin), 2 (end), 3 to 5 (roles).

import { sha256 } from '../../src/base/hash.ts';
import type { ChatRenderer } from '../../src/scenario/example.ts';

const ROLE_IDS: Record<string, number> = { system: 3, user: 4, assistant: 5 };
const BEGIN = 1;
const END = 2;
const CONTROL_IDS = 6;

/** Words become ids 6 … vocabularySize − 1 by hash. */
export function wordRenderer(vocabularySize: number): ChatRenderer {
  const idOf = (word: string): number =>
    CONTROL_IDS + (Number.parseInt(sha256(word).slice(0, 8), 16) % (vocabularySize - CONTROL_IDS));
  const wordsOf = (text: string) => [...text.matchAll(/\S+/g)];

  const renderChat: ChatRenderer['renderChat'] = (messages, options = {}) => {
    const ids = [BEGIN];
    const places = messages.map(({ role, content }) => {
      const start = ids.length;
      ids.push(ROLE_IDS[role] ?? 3, ...wordsOf(content).map(([word]) => idOf(word)), END);
      return {
        start,
        end: ids.length,
        contentStart: start + 1,
        contentEnd: ids.length - 1,
        isWritten: true,
      };
    });
    if (options.addGenerationPrompt) ids.push(ROLE_IDS.assistant as number);
    return {
      ids,
      text: messages.map(({ content }) => content).join('\n'),
      messages: places,
      spanToTokens(message, start, end) {
        const words = wordsOf(messages[message]?.content ?? '');
        const first = words.findIndex((w) => w.index + w[0].length > start);
        const last = words.findLastIndex((w) => w.index < end);
        const base = places[message]?.contentStart ?? 0;
        return [base + first, base + last + 1];
      },
    };
  };
  return {
    renderChat,
    renderReply: (messages, reply) => ({
      prompt: renderChat(messages, { addGenerationPrompt: true }),
      replyIds: [...wordsOf(reply).map(([word]) => idOf(word)), END],
    }),
  };
}
