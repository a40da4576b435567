// A scripted model for tests of dreaming: it answers by what the prompt asks for.

import { join } from 'node:path';
import { createRandom, type Random } from '../../src/base/random.ts';
import { configSchema } from '../../src/config/schema.ts';
import type { Draft } from '../../src/dream/draft.ts';
import type { DreamOptions } from '../../src/dream/dream.ts';
import { createWriter, type Writer } from '../../src/dream/writer.ts';
import { compress, type Gist } from '../../src/memory/gist.ts';
import { readPrompts } from '../../src/prompt/prompt.ts';
import { checkReply } from '../../src/scenario/kind.ts';
import type { FlaggedMoment } from '../../src/scenario/moment.ts';
import { parseScenario } from '../../src/scenario/scenario.ts';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { createFakeClock } from '../fakes/fake-clock.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';

export const tokenizer = await loadTokenizer(
  join(import.meta.dirname, '../fixtures/tokenizer/chatml'),
);
export const prompts = await readPrompts(join(import.meta.dirname, '../../prompts'));
export const settings = configSchema.parse({ dream: { dreamsPerFlag: 30 } }).dream;

/** Whether of both replies of a pair just that one passes in a side which has what it needs. */
export function listens(side: Draft, replies: readonly string[]): boolean {
  const { id, kind, messages, spans, facts } = side;
  const source = { origin: 'dream', cluster: id, domain: 'd' };
  const one = parseScenario({ id, kind, messages, spans, facts, chosen: '…', source });
  return replies.every((reply) => {
    const hasIt = facts?.needs?.flat().some((words) => reply.includes(words)) === true;
    return checkReply(one, reply).passes === hasIt;
  });
}

export interface Asked {
  /** The side whose turn is being written; `line`: plain text goes on. */
  readonly role: 'user' | 'assistant' | 'line';
  /** What the line or the turn begins with. */
  readonly prefix: string;
  readonly seed: number;
}

const DISHES = ['stew', 'pasta', 'curry', 'risotto', 'omelette', 'goulash', 'lasagne', 'paella'];

/** Lines that make sense: each domain is another dish, and other drinks go with it. */
export function scripted({ prefix, role, seed }: Asked): string {
  if (role === 'user') return `It is ${DISHES[seed % 8]} weather.`;
  if (role === 'assistant') return 'Whatever passed comes back slowly.';
  const [label = ''] = prefix.split(':');
  if (label === 'Situation') return ` some ${DISHES[seed % 8]} for the evening.\nTo choose: x`;
  if (label === 'To choose') return ' drink to serve\n';
  if (label === 'Choices') return ' the cider, the wine, the lemonade, the punch, the tea\n';
  if (label === 'They ask') return ' it have to be cooled?\n';
  if (label === 'They say') return ` of number ${seed % 97} passed by slowly.\n`;
  return ` of parrot number ${seed % 97} flew away today.\n`;
}

/** Its tokens are letters, and limits are made for words. */
class SpellingEngine extends FakeEngine {
  override generate(...[request, ...rest]: Parameters<FakeEngine['generate']>) {
    const replyTokensMax = 10 * request.replyTokensMax;
    return super.generate({ ...request, replyTokensMax }, ...rest);
  }
}

export function createModel(reply: (asked: Asked) => string = scripted): FakeEngine {
  const start = tokenizer.idOf('<|im_start|>') ?? -1;
  return new SpellingEngine({
    windowTokens: 8192,
    reply: ({ ids, sampling: { seed } }) => {
      const at = ids.lastIndexOf(start);
      const [first = '', ...words] = tokenizer.decode(ids.slice(Math.max(0, at))).split('\n');
      const role = first.trim() === 'user' ? ('user' as const) : ('assistant' as const);
      const asked =
        at < 0
          ? { role: 'line' as const, prefix: words.at(-1) ?? first, seed }
          : { role, prefix: words.join('\n'), seed };
      return [...tokenizer.encode(reply(asked)), tokenizer.stopIds[0] ?? 0];
    },
  });
}

export function writerOf(
  engine: FakeEngine,
  budget = { tokensMax: 100_000, minutesMax: 60 },
): Writer {
  return createWriter({
    engine,
    tokenizer,
    clock: createFakeClock(0),
    budget,
    temperature: 1,
    topP: 1,
    contextTokensMax: 4096,
  });
}

export async function gist(
  id: string,
  ...texts: string[]
): Promise<{ gist: Gist; salience: number }> {
  const turns = texts.map((text, index) => ({ id: `${index}`, role: 'user' as const, text }));
  const conversation = { conversationId: id, restedAt: 0, turns, flags: [] };
  return { gist: await compress(conversation, configSchema.parse({}).memory), salience: 0.5 };
}

export function flag(id: string, more: Partial<FlaggedMoment> = {}): FlaggedMoment {
  const content = 'No, only the plan, please.';
  return {
    flagId: id,
    strength: 2,
    isHeldBack: false,
    kind: 'missed',
    context: {
      id: `flag-${id}`,
      kind: 'listen',
      messages: [
        { role: 'user', content: 'Help me plan the day.' },
        { role: 'assistant', content: 'How about a museum visit?' },
        { role: 'user', content },
      ],
      spans: [
        { feature: 'own-idea', message: 1, start: 10, end: 24 },
        { feature: 'direction', message: 2, start: 0, end: content.length },
      ],
      source: { origin: 'flag', cluster: `talk-${id}`, domain: 'talk' },
    },
    chosen: 'Here is the plan, nothing else.',
    rejected: 'The museum visit would be lovely!',
    ...more,
  };
}

export function options(engine: FakeEngine, more: Partial<DreamOptions> = {}): DreamOptions {
  return {
    engine,
    tokenizer,
    prompts,
    settings,
    contextTokensMax: 4096,
    flagged: [],
    gists: [],
    budget: { dreamsMax: 24, tokensMax: 100_000, minutesMax: 60 },
    clock: createFakeClock(0),
    random: createRandom(1),
    ...more,
  };
}

export const random = (seed: number): Random => createRandom(seed);
