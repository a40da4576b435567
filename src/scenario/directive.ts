// A person's directive: finding it among their sentences, and saying it again.
import { sentencesOf, wordsOf } from './words.ts';

// What people say when they direct: a wish, a decision, a demand. Never a question.
const DIRECTIVE =
  /^(?:no\b|not\b|please\b|forget\b|take\b|use\b|make\b|keep\b|do\b|go\b|stop\b|don'?t\b|scrap\b|never\b)|\b(?:i(?:'d| would)(?: much)? (?:like|rather|prefer)|i (?:want|prefer|choose|insist|need you)|i(?:'m| am) (?:going (?:to|with)|taking|using|choosing|picking|sticking)|i(?:'ve| have) (?:decided|made up|changed)|i(?:'ll| will) (?:take|have|follow|trust|go)|we(?:'ll| will| are going to) (?:take|have|do|go|use)|let'?s|let it be|make it|make that|it has to be|it is,|my (?:choice|decision)|(?:has|have) to be|instead\b|that'?s (?:settled|final|decided))/i;

/** The last sentence of a message that reads like a directive. */
export function directiveOf(content: string): string | undefined {
  return sentencesOf(content).findLast(
    (sentence) =>
      !sentence.endsWith('?') &&
      wordsOf(sentence).length > 1 &&
      DIRECTIVE.test(sentence.replaceAll('’', "'")),
  );
}

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
