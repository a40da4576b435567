// Saying again: a sentence of the person repeated just before the reply. So a model is told.

/** `sentence`, and after it what was said last. */
export const saidAgain = (sentence: string, said: string): string =>
  `As I said: "${sentence}" ${said}`;

/**
 * The conversation in which the last message begins with `sentence` again. Everything before that
 * message stays as it was, so that its keys and values can be shared.
 */
export function restate<M extends { readonly content: string }>(
  messages: readonly M[],
  sentence: string,
): M[] {
  const last = messages.at(-1);
  if (last === undefined) return [];
  return [...messages.slice(0, -1), { ...last, content: saidAgain(sentence, last.content) }];
}
