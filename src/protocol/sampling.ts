// How a reply's tokens are drawn: each setting once, with its bounds, its values and its words.
// Whoever knows of sampling derives from here: configuration, log, engine, options, web client. It
// is free of zod, so that the web client can read it; the schemas are in sampling-schema.ts.

export interface SamplingRule {
  readonly label: string;
  /** For help texts and documentation. */
  readonly description: string;
  /** In generation_config.json and in OpenAI's API. */
  readonly externalName: string;
  readonly min: number;
  /** The value must be above `min`. */
  readonly isMinExcluded?: true;
  readonly max?: number;
  /** Of the field in a form; 1: whole numbers only. */
  readonly step: number;
  /** Where neither the model nor a person says something. */
  readonly builtIn: number;
  /** The value that leaves the distribution as it is; a temperature of 0 needs no other setting. */
  readonly off: number;
}

export const SAMPLING = {
  temperature: {
    label: 'Temperature',
    description: '0 always takes the likeliest token',
    externalName: 'temperature',
    min: 0,
    max: 5,
    step: 0.1,
    builtIn: 0.7,
    off: 0,
  },
  topP: {
    label: 'Top p',
    description: 'only the likeliest tokens that together reach this probability; 1 is off',
    externalName: 'top_p',
    min: 0,
    max: 1,
    step: 0.01,
    builtIn: 0.95,
    off: 1,
  },
  topK: {
    label: 'Top k',
    description: 'only the k likeliest tokens; 0 is off',
    externalName: 'top_k',
    min: 0,
    step: 1,
    builtIn: 40,
    off: 0,
  },
  minP: {
    label: 'Min p',
    description: 'only tokens at least this share as likely as the likeliest; 0 is off',
    externalName: 'min_p',
    min: 0,
    max: 1,
    step: 0.01,
    builtIn: 0,
    off: 0,
  },
  repetitionPenalty: {
    label: 'Repetition penalty',
    description: 'above 1, tokens that were used become less likely; 1 is off',
    externalName: 'repetition_penalty',
    min: 0,
    isMinExcluded: true,
    max: 10,
    step: 0.01,
    builtIn: 1,
    off: 1,
  },
} as const satisfies Readonly<Record<string, SamplingRule>>;

export type SamplingName = keyof typeof SAMPLING;
export const SAMPLING_NAMES = Object.keys(SAMPLING) as readonly SamplingName[];

export type Sampling = Readonly<Record<SamplingName, number>>;

export interface SamplingSettings extends Sampling {
  /** The same seed repeats a reply, whatever else is in the batch (4 bits: docs/quantised.md). */
  readonly seed: number;
}

/** What one request does to the model's logits before a token is drawn from them. */
export interface Adjustment {
  /** Taken off the logit of each token that the reply holds already … */
  readonly presencePenalty?: number | undefined;
  /** … and this for each time that it holds it. */
  readonly frequencyPenalty?: number | undefined;
  /** Added to the logits of these tokens. */
  readonly bias?: readonly (readonly [id: number, added: number])[] | undefined;
}

export const SEED_MAX = 2 ** 32 - 1;

/** What one place says about sampling: the model, the configuration, a conversation, a request. */
export type SamplingLayer = { readonly [K in SamplingName]?: number | undefined };

/** Something for each setting. */
export function eachSampling<T>(
  make: (rule: SamplingRule, name: SamplingName) => T,
): Record<SamplingName, T> {
  const entries = SAMPLING_NAMES.map((name) => [name, make(SAMPLING[name], name)]);
  return Object.fromEntries(entries) as Record<SamplingName, T>;
}

/** The least value that a form or an option takes. */
export const leastOf = ({ min, isMinExcluded, step }: SamplingRule): number =>
  isMinExcluded ? step : min;

/** Always the likeliest token, unchanged by anything. */
export const GREEDY: Sampling = eachSampling(({ off }) => off);

/**
 * Later layers win; what none of them says is built in. A temperature of 0 switches off what the
 * layers before it say: it is greedy.
 */
export function resolveSampling(layers: readonly SamplingLayer[]): Sampling {
  const from = layers.findLastIndex(({ temperature }) => temperature !== undefined);
  const isGreedy = layers[from]?.temperature === 0;
  const said = isGreedy ? [GREEDY, ...layers.slice(from)] : layers;
  return eachSampling(
    ({ builtIn }, name) => said.findLast((layer) => layer[name] !== undefined)?.[name] ?? builtIn,
  );
}

type External<T> = { [K in SamplingName as (typeof SAMPLING)[K]['externalName']]: T };

/** Something for each setting, under its name outside. */
export function eachExternalSampling<T>(make: (name: SamplingName) => T): External<T> {
  const entries = SAMPLING_NAMES.map((name) => [SAMPLING[name].externalName, make(name)]);
  return Object.fromEntries(entries) as External<T>;
}

/** Values under their names outside as a layer; null is absent. */
export function fromExternal(values: Partial<External<number | null | undefined>>): SamplingLayer {
  return eachSampling((_, name) => values[SAMPLING[name].externalName] ?? undefined);
}
