// Our own engine as what is tested: likelihoods from scoring, greedy replies; nothing is kept.
import type { Engine } from '../engine/engine.ts';
import { GREEDY } from '../protocol/sampling.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { type Listener, meanOf } from './listener.ts';

export interface EngineListenerOptions {
  /** Closed with the listener. */
  readonly engine: Engine;
  readonly tokenizer: Pick<Tokenizer, 'renderChat' | 'renderReply' | 'decode' | 'stopIds'>;
  readonly name: string;
  readonly replyTokensMax: number;
}

export function createEngineListener(options: EngineListenerOptions): Listener {
  const { engine, tokenizer, name, replyTokensMax } = options;
  return {
    name,
    likelihood: 'scored by our engine under the chat template of the model',
    notices: [],
    async reply(messages, signal) {
      const { ids } = tokenizer.renderChat(messages, { addGenerationPrompt: true });
      const start = performance.now();
      let firstTokenMs: number | undefined;
      const result = await engine.generate(
        { ids, sampling: { ...GREEDY, seed: 0 }, replyTokensMax, stopIds: tokenizer.stopIds },
        () => {
          firstTokenMs ??= performance.now() - start;
        },
        signal,
      );
      signal?.throwIfAborted();
      return {
        text: tokenizer.decode(result.ids).trim(),
        promptTokens: ids.length,
        replyTokens: result.ids.length,
        firstTokenMs: firstTokenMs ?? performance.now() - start,
      };
    },
    async score(messages, beginnings, signal) {
      const sequences = beginnings.map((beginning) => {
        const { prompt, replyIds } = tokenizer.renderReply(messages, beginning);
        const end = replyIds.findIndex((id) => tokenizer.stopIds.includes(id));
        const begun = end < 0 ? replyIds : replyIds.slice(0, end);
        return { ids: [...prompt.ids, ...begun], from: prompt.ids.length };
      });
      return (await engine.score({ sequences }, signal)).map(meanOf);
    },
    close: () => engine.close(),
  };
}
