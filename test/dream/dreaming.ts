// A scripted model for tests of dreaming: it answers by what the prompt asks for.
import { join } from 'node:path';
import { createRandom, type Random } from '../../src/base/random.ts';
import { configSchema } from '../../src/config/schema.ts';
import type { FlaggedSeed } from '../../src/dream/draft.ts';
import type { DreamOptions } from '../../src/dream/dream.ts';
import { createWriter, type Writer } from '../../src/dream/writer.ts';
import { compress, type Gist } from '../../src/memory/gist.ts';
import { readPrompts } from '../../src/prompt/prompt.ts';
import { loadTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { createFakeClock } from '../fakes/fake-clock.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';

export const tokenizer = await loadTokenizer(
  join(import.meta.dirname, '../fixtures/tokenizer/chatml'),
);
export const prompts = await readPrompts(join(import.meta.dirname, '../../prompts'));
export const settings = configSchema.parse({}).dream;

export interface Asked {
  /** The prompt as text, control tokens left out. */
  readonly text: string;
  /** The side whose turn is being written. */
  readonly role: 'user' | 'assistant';
  /** Its beginning that is given. */
  readonly prefix: string;
  readonly seed: number;
}

const WORDS = [
  'red lamp',
  'blue door',
  'oak table',
  'Anna',
  'seven',
  'soup',
  'the otter',
  'Lisbon',
];

/** Values for slots, small talk for turns, nothing that listens. */
export function scripted({ prefix, role, seed }: Asked): string {
  if (prefix !== '') return ` ${WORDS[seed % WORDS.length]} ${seed % 97}`;
  return role === 'user' ? `It is ${WORDS[seed % WORDS.length]} weather.` : 'I see.';
}

export function createModel(reply: (asked: Asked) => string = scripted): FakeEngine {
  const start = tokenizer.idOf('<|im_start|>') ?? -1;
  return new FakeEngine({
    windowTokens: 8192,
    reply: ({ ids, sampling }) => {
      const turn = tokenizer.decode(ids.slice(ids.lastIndexOf(start)));
      const [role = '', ...words] = turn.split('\n');
      const asked = {
        text: tokenizer.decode(ids),
        role: role.trim() === 'user' ? ('user' as const) : ('assistant' as const),
        prefix: words.join('\n'),
        seed: sampling.seed,
      };
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
  const talk = { conversationId: id, restedAt: 0, turns, flags: [] };
  return { gist: await compress(talk, configSchema.parse({}).memory), salience: 0.5 };
}

export function flag(id: string, more: Partial<FlaggedSeed> = {}): FlaggedSeed {
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
    settings: { ...settings, contextTokensMax: 4096, marginMin: -100, marginMax: 100 },
    flagged: [],
    gists: [],
    budget: { dreamsMax: 12, tokensMax: 100_000, minutesMax: 60 },
    clock: createFakeClock(0),
    random: createRandom(1),
    ...more,
  };
}

export const random = (seed: number): Random => createRandom(seed);
