// The settings of one reply: the configuration's, then the conversation's, then the request's.
import type { ConversationSettings, TemplateVariables } from '../protocol/conversation.ts';
import { resolveSampling, type Sampling, type SamplingSettings } from '../protocol/sampling.ts';

/** What the configuration says about replies; every field has a value. */
export interface ChatDefaults {
  readonly systemPrompt: string;
  readonly replyTokensMax: number;
  readonly stop: readonly string[];
  readonly sampling: Sampling;
}

export interface ReplySettings {
  readonly systemPrompt: string;
  readonly replyTokensMax: number;
  readonly stop: readonly string[];
  readonly sampling: SamplingSettings;
  /** Beside those of the configuration, which the tokenizer knows. */
  readonly templateVariables: TemplateVariables;
}

/** Later layers win. Without a seed `drawSeed` gives one, so that the log can name it. */
export function resolveSettings(
  defaults: ChatDefaults,
  layers: readonly ConversationSettings[],
  drawSeed: () => number,
): ReplySettings {
  const last = <K extends keyof ConversationSettings>(key: K) =>
    layers.findLast((layer) => layer[key] !== undefined)?.[key];
  return {
    systemPrompt: last('systemPrompt') ?? defaults.systemPrompt,
    replyTokensMax: last('replyTokensMax') ?? defaults.replyTokensMax,
    stop: last('stop') ?? defaults.stop,
    templateVariables: Object.assign({}, ...layers.map((layer) => layer.templateVariables)),
    sampling: {
      ...resolveSampling([defaults.sampling, ...layers]),
      seed: last('seed') ?? drawSeed(),
    },
  };
}
