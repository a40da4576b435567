// The thought with which replies of some models begin: its marks, and whether a model writes it.
import type { TokenizerFiles } from './tokenizer-file.ts';

export const THOUGHT_START = '<think>';
export const THOUGHT_END = '</think>';

/**
 * `none`: replies have no thoughts. `written`: the template writes or drops those of earlier
 * replies. `unwritten`: it knows nothing of them, so that none are shown to it.
 */
export type Thoughts = 'none' | 'written' | 'unwritten';

export function thoughtsOf({ templates, addedTokens }: TokenizerFiles): Thoughts {
  const template = templates.get('default') ?? [...templates.values()][0] ?? '';
  if (template.includes(THOUGHT_END)) return 'written';
  return addedTokens.some(({ content }) => content === THOUGHT_END) ? 'unwritten' : 'none';
}

/** A prompt that the template ended with the beginning of a thought. */
export function endsInThought(prompt: string): boolean {
  return prompt.trimEnd().endsWith(THOUGHT_START);
}
