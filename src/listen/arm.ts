// The arms of the listening test: what is added to a scene before the model is asked.
import { directiveOf, restate, saidAgain } from '../scenario/directive.ts';
import { sentencesOf } from '../scenario/words.ts';
import { names } from './generate.ts';
import type { Scene, SceneMessage } from './scene.ts';

/**
 * `told`: what decides, said again just before the reply. `placebo`: another sentence of the person
 * said again in the same way. `system`: general advice. `rule`: the person's last directive, found
 * without knowing what decides, said again in every turn.
 */
export const ARMS = ['untold', 'told', 'placebo', 'system', 'rule'] as const;
export type Arm = (typeof ARMS)[number];

/** The best general advice that we could think of, in three wordings. */
export const ADVICE: readonly string[] = [
  'Listen carefully. Go by what the user has decided, also where you had suggested something else, ' +
    'and stay with the latest decision until the user changes it.',
  'You are an attentive assistant. Before each reply, recall what the user asked for and what they ' +
    'told you about themselves, and build your answer on that rather than on your own proposals.',
  'The wishes of the user come first. Read the whole conversation again before you answer. Object ' +
    'when a request contradicts something they told you, ask when something is missing, and ' +
    'never return to an idea of yours that they did not take up.',
];

/** @param wording which of `ADVICE`; only the arm `system` looks at it */
export function armMessages(scene: Scene, arm: Arm, wording = 0): readonly SceneMessage[] {
  const { messages, deciding } = scene;
  switch (arm) {
    case 'untold':
      return messages;
    case 'told':
      return restate(messages, deciding.text);
    case 'placebo':
      return restate(messages, placeboSentence(scene));
    case 'system':
      return [{ role: 'system', content: ADVICE[wording] as string }, ...messages];
    case 'rule':
      return repeatDirectives(messages);
  }
}

/** What the person said in the message, or in a part of it, that decides nothing; nearest in length. */
export function placeboSentence({ messages, deciding, right, other }: Scene): string {
  const said = messages
    .slice(0, -1)
    .flatMap(({ role, content }, i) =>
      role === 'user' && i !== deciding.message ? [content, ...sentencesOf(content)] : [],
    );
  const opening = sentencesOf(messages[0]?.content ?? '');
  const candidates = [...said, ...opening].filter(
    (text) =>
      !names(text, right) &&
      !names(text, other) &&
      !deciding.text.includes(text) &&
      !text.includes(deciding.text),
  );
  const off = (text: string): number => Math.abs(text.length - deciding.text.length);
  const [nearest = opening[0] ?? ''] = [...candidates].sort((a, b) => off(a) - off(b));
  return nearest;
}

/** The whole message is repeated, since what a decision refers to may stand in its other sentence. */
export function repeatDirectives(messages: readonly SceneMessage[]): SceneMessage[] {
  let last: string | undefined;
  return messages.map((message) => {
    if (message.role !== 'user') return message;
    const repeated =
      last === undefined ? message : { ...message, content: saidAgain(last, message.content) };
    if (directiveOf(message.content) !== undefined) last = message.content;
    return repeated;
  });
}
