// The settings of one reply: the configuration's, then the talk's, then those of the request.
import type { SamplingSettings } from '../engine/engine.ts';
import type { ConversationSettings } from '../protocol/conversation.ts';

/** What the configuration says about replies; every field has a value. */
export interface ChatDefaults {
  readonly systemPrompt: string;
  readonly replyTokensMax: number;
  readonly stop: readonly string[];
  readonly sampling: Omit<SamplingSettings, 'seed'>;
}

export interface ReplySettings {
  readonly systemPrompt: string;
  readonly replyTokensMax: number;
  readonly stop: readonly string[];
  readonly sampling: SamplingSettings;
}

/** Later layers win. Without a seed `drawSeed` gives one, so that the log can name it. */
export function resolveSettings(
  defaults: ChatDefaults,
  layers: readonly ConversationSettings[],
  drawSeed: () => number,
): ReplySettings {
  const last = <K extends keyof ConversationSettings>(key: K) =>
    layers.findLast((layer) => layer[key] !== undefined)?.[key];
  const { sampling } = defaults;
  return {
    systemPrompt: last('systemPrompt') ?? defaults.systemPrompt,
    replyTokensMax: last('replyTokensMax') ?? defaults.replyTokensMax,
    stop: last('stop') ?? defaults.stop,
    sampling: {
      temperature: last('temperature') ?? sampling.temperature,
      topK: last('topK') ?? sampling.topK,
      topP: last('topP') ?? sampling.topP,
      minP: last('minP') ?? sampling.minP,
      repetitionPenalty: last('repetitionPenalty') ?? sampling.repetitionPenalty,
      seed: last('seed') ?? drawSeed(),
    },
  };
}
