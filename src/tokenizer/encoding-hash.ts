// The identity of what turns chats into token ids; the base hash of a model is over weights only.
import { createHash } from 'node:crypto';
import type { TokenizerFiles } from './tokenizer-file.ts';

/**
 * sha256 over vocabulary, merges, the steps around them, added and named tokens, and templates,
 * each as the model's files have it. What only decodes, or ends a reply, is left out.
 */
export function encodingHash(files: TokenizerFiles): string {
  const { definition, vocabulary, merges, addedTokens, namedTokens, templates } = files;
  const { model, normalizer, pre_tokenizer, post_processor } = definition;
  const hash = createHash('sha256');
  for (const part of [
    [model, normalizer, pre_tokenizer, post_processor],
    [...vocabulary.keys()],
    [...vocabulary.values()],
    merges,
    addedTokens.map(({ id, content, isControl }) => [id, content, isControl]),
    namedTokens,
    [...templates].sort(),
  ]) {
    // A line each, so that nothing moves from one part to the next unseen.
    hash.update(`${JSON.stringify(part)}\n`);
  }
  return hash.digest('hex');
}
