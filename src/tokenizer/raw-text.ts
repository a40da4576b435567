// Text without a chat template to ids: what a tokenizer puts before it, and control tokens by name.
import { z } from 'zod';
import type { TextEncoderParts } from './encoder.ts';
import type { TokenizerFiles } from './tokenizer-file.ts';

const templateProcessing = z.object({
  type: z.literal('TemplateProcessing'),
  single: z.array(z.looseObject({ SpecialToken: z.object({ id: z.string() }).optional() })),
  special_tokens: z.record(z.string(), z.object({ ids: z.array(z.int().min(0)) })),
});
const processorSequence = z.object({
  type: z.literal('Sequence'),
  processors: z.array(z.unknown()),
});

/** The tokens that the post-processor writes before a text: BOS, for many. */
export function prefixIds(postProcessor: unknown): number[] {
  const sequence = processorSequence.safeParse(postProcessor);
  if (sequence.success) {
    const templates = sequence.data.processors.map((one) => templateProcessing.safeParse(one));
    return templates.flatMap((one) => (one.success ? prefixIds(one.data) : []));
  }
  const parsed = templateProcessing.safeParse(postProcessor);
  if (!parsed.success) return [];
  const { single, special_tokens: special } = parsed.data;
  const text = single.findIndex((item) => item.SpecialToken === undefined);
  return single
    .slice(0, Math.max(0, text))
    .flatMap((item) => special[item.SpecialToken?.id ?? '']?.ids ?? []);
}

/** A prompt in which the names of control tokens are those tokens; BOS comes first, once. */
export function createRawEncoder(
  { definition }: Pick<TokenizerFiles, 'definition'>,
  encoder: TextEncoderParts,
): (text: string) => number[] {
  const prefix = prefixIds(definition.post_processor);
  return (text) => {
    const ids = encoder.encode(text, { mayUse: () => true }).flatMap((piece) => piece.ids);
    return prefix.every((id, at) => ids[at] === id) ? ids : [...prefix, ...ids];
  };
}
