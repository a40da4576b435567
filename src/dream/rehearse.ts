// Conversations that the model holds with itself, from nothing: samples of what it says, to be
// rehearsed while it learns, so that everything else stays as it was.
import { eachAtOnce } from '../base/each.ts';
import { isAttuneError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { parseScenario, type Scenario } from '../scenario/scenario.ts';
import type { Message, Writer } from './writer.ts';

export interface RehearsalOptions {
  /** At temperature 1 with nothing cut off: these are to be the model's own distribution. */
  readonly writer: Writer;
  readonly random: Random;
  readonly conversations: number;
  /** Conversations that are written at once. */
  readonly batchSize: number;
  readonly onProgress?: (done: number, conversations: number) => void;
}

const TURN_TOKENS_MAX = 48;
/** Turns of a conversation: 2 or 4. */
const EXCHANGES_MAX = 2;

/**
 * Everyday conversations in which the model writes both sides, at most `conversations` of them;
 * fewer when the writer's budget ends, or when the model ends no turn. The same seed gives the same
 * ones.
 * Source: Robins 1995, "Catastrophic forgetting, rehearsal and pseudorehearsal"; that a chat model
 * writes the user's turns when it is given their header: Xu et al. 2024, arXiv:2406.08464.
 * @throws engine-failed and the like
 */
export async function rehearse(options: RehearsalOptions): Promise<Scenario[]> {
  const { writer, random, conversations, batchSize, onProgress } = options;
  let done = 0;
  const ids = Array.from({ length: conversations }, (_, index) => `rehearsal-${index}`);
  const written = await eachAtOnce(ids, batchSize, async (id, index) => {
    if (writer.end !== undefined) return undefined;
    try {
      const conversation = await conversationOf(writer, random.split(index), id);
      return writer.end === undefined ? conversation : undefined;
    } catch (error) {
      // A conversation that does not fit window or template is left out.
      const isUnfit =
        isAttuneError(error, 'window-overflow') || isAttuneError(error, 'template-failed');
      if (!isUnfit) throw error;
      return undefined;
    } finally {
      await writer.forget(id);
      onProgress?.(++done, conversations);
    }
  });
  return written.filter((conversation) => conversation !== undefined);
}

/** What is said before it was cut off. */
const wholeSentences = (text: string): string => /^.*[.!?](?=\s|$)/s.exec(text)?.[0] ?? '';

/** Undefined when no whole exchange came about. */
async function conversationOf(
  writer: Writer,
  random: Random,
  id: string,
): Promise<Scenario | undefined> {
  const messages: Message[] = [];
  const turns = 2 * (1 + random.int(EXCHANGES_MAX));
  while (messages.length < turns) {
    const role = messages.length % 2 === 0 ? ('user' as const) : ('assistant' as const);
    const seed = random.uint32();
    const { text, isEnded } = await writer.turn({
      messages,
      role,
      tokensMax: TURN_TOKENS_MAX,
      seed,
      key: id,
    });
    const content = isEnded ? text : wholeSentences(text);
    if (content === '') break;
    messages.push({ role, content });
  }
  // It ends with a reply.
  if (messages.length % 2 === 1) messages.pop();
  const reply = messages.pop();
  if (reply === undefined) return undefined;
  return parseScenario({
    id,
    kind: 'ordinary',
    messages,
    chosen: reply.content,
    source: { origin: 'dream', cluster: id, domain: 'rehearsal' },
  });
}
