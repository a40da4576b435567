// Listeners that follow one rule, whatever the conversation says.
import type { Listener } from '../../src/listen/listener.ts';
import type { SceneMessage } from '../../src/listen/scene.ts';

export interface FakeRule {
  readonly reply: (messages: readonly SceneMessage[]) => string;
  readonly score?: (messages: readonly SceneMessage[], beginning: string) => number;
}

export function fakeListener({ reply, score }: FakeRule): Listener {
  return {
    name: 'fake',
    likelihood: 'made up',
    notices: [],
    reply: async (messages) => ({
      text: reply(messages),
      promptTokens: messages.map(({ content }) => content.length).reduce((a, b) => a + b, 0),
      replyTokens: 1,
      firstTokenMs: 1,
    }),
    ...(score === undefined
      ? {}
      : { score: async (messages, beginnings) => beginnings.map((text) => score(messages, text)) }),
    close: async () => undefined,
  };
}
