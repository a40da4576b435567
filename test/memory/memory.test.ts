import { beforeEach, describe, expect, it, vi } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import { configSchema } from '../../src/config/schema.ts';
import {
  compress,
  fadedSalience,
  type RestedConversation,
  salienceOf,
  valuesOf,
} from '../../src/memory/gist.ts';
import { type Memory, openMemory } from '../../src/memory/memory.ts';
import { createFakeClock, type FakeClock } from '../fakes/fake-clock.ts';
import { MemoryDisk } from '../fakes/memory-disk.ts';
import { fc } from '../property.ts';

// Many texts are compressed.
vi.setConfig({ testTimeout: 60_000 });

const settings = configSchema.parse({}).memory;
const DAY = 86_400_000;

function talk(
  id: string,
  texts: readonly string[],
  more: Partial<RestedConversation> = {},
): RestedConversation {
  const turns = texts.map((text, index) => ({
    role: index % 2 === 0 ? ('user' as const) : ('assistant' as const),
    text,
  }));
  return { conversationId: id, restedAt: 0, turns, flags: [], ...more };
}

const flag = (strength: number, kind: 'missed' | 'good' = 'missed', isHeldBack = false) => ({
  kind,
  strength,
  isHeldBack,
});

const PLAN = talk('plan', [
  'Find me a table for two in Lisbon at 7 pm.',
  "How about Casa Verde? I'll hold it for you.",
  'No, not that one. I am so tired of waiting. Which places are near the river?',
]);

describe('a gist', () => {
  it('keeps directions, promises, feelings and open questions', async () => {
    const gist = await compress(PLAN, settings);
    expect(gist.items.map(({ kind }) => kind)).toEqual([
      ...['direction', 'promise', 'direction', 'feeling', 'question'],
    ]);
    expect(gist.items[2]?.text).toBe('No, not that one.');
  });

  it('is the same for the same talk', async () => {
    expect(await compress(PLAN, settings)).toEqual(await compress(structuredClone(PLAN), settings));
  });

  it('stays small however long the talk is', async () => {
    const texts = Array.from(
      { length: 400 },
      (_, index) => `I don't want ${index}! ${'very '.repeat(200)}`,
    );
    const gist = await compress(talk('long', texts), settings);
    expect(gist.items).toHaveLength(12);
    expect(JSON.stringify(gist).length).toBeLessThan(8_000);
  });

  it('of a book in one message is made of its beginning, and others go on meanwhile', async () => {
    let turnsOfTheLoop = 0;
    const beat = setInterval(() => turnsOfTheLoop++, 1);
    const book = 'I feel sad. '.repeat(100_000);
    const gist = await compress(
      talk(
        'book',
        Array.from({ length: 40 }, () => book),
      ),
      settings,
    );
    clearInterval(beat);
    expect(gist.items).toHaveLength(12);
    expect(turnsOfTheLoop).toBeGreaterThan(5);
  });

  it('names what made it salient, each input between 0 and 1', async () => {
    const plain = await compress(talk('a', ['Nice weather.', 'Yes.']), settings);
    expect(plain.salience).toBe(0);
    const flagged = await compress({ ...PLAN, flags: [flag(3)], surprise: 4 }, settings);
    expect(flagged.inputs).toMatchObject({ flags: 1, goodMoments: 0, surprise: 0.5 });
    expect(flagged.salience).toBeGreaterThan((await compress(PLAN, settings)).salience);
    const good = await compress({ ...PLAN, flags: [flag(1, 'good')] }, settings);
    expect(good.inputs.goodMoments).toBeGreaterThan(0);
  });

  it('is built from any text without failing, within its bounds', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: 'binary', maxLength: 80 }), { maxLength: 8 }),
        async (texts) => {
          const gist = await compress(talk('any', texts), settings);
          for (const value of Object.values(gist.inputs)) {
            expect(value).toBeGreaterThanOrEqual(0);
            expect(value).toBeLessThanOrEqual(1);
          }
          expect(gist.salience).toBeLessThan(1);
        },
      ),
    );
  });

  it('takes names, hours and amounts for values', () => {
    expect(valuesOf(['Meet Anna Lee at 7:30 pm in Porto for $12.50, row 4'])).toEqual([
      'Anna Lee',
      '7:30 pm',
      'Porto',
      '$12.50',
      '4',
    ]);
  });
});

describe('salience', () => {
  it('is half after a half-life, and fades slower where something was flagged', async () => {
    const gist = await compress(PLAN, settings);
    const after = (days: number) => fadedSalience(gist, days * DAY, settings);
    expect(after(settings.halfLifeDays)).toBeCloseTo(gist.salience / 2, 10);
    const flagged = await compress({ ...PLAN, flags: [flag(1)] }, settings);
    const days = settings.halfLifeDays * settings.flaggedHalfLifeFactor;
    expect(fadedSalience(flagged, days * DAY, settings)).toBeCloseTo(flagged.salience / 2, 10);
  });

  it('never grows when the clock was set back', async () => {
    const gist = await compress({ ...PLAN, restedAt: 5 * DAY }, settings);
    expect(fadedSalience(gist, 0, settings)).toBe(gist.salience);
  });

  it('is zero without inputs and grows with each of them', () => {
    const none = {
      flags: 0,
      goodMoments: 0,
      directions: 0,
      feelings: 0,
      promises: 0,
      openQuestions: 0,
      surprise: 0,
    };
    expect(salienceOf(none, settings.weights)).toBe(0);
    for (const name of Object.keys(none)) {
      expect(salienceOf({ ...none, [name]: 1 }, settings.weights)).toBeGreaterThan(0);
    }
  });
});

describe('memory', () => {
  let disk: MemoryDisk;
  let clock: FakeClock;
  let memory: Memory;
  const open = (changes: Partial<typeof settings> = {}) =>
    openMemory({ path: '/m.json', clock, settings: { ...settings, ...changes }, ops: disk });

  beforeEach(async () => {
    disk = new MemoryDisk();
    clock = createFakeClock(0);
    memory = await open();
  });

  it('keeps gists over a restart and replaces that of a talk that went on', async () => {
    await memory.remember([PLAN]);
    expect(memory.isKnown('plan', 3)).toBe(true);
    const longer = talk('plan', [...PLAN.turns.map(({ text }) => text), 'Sure.', 'Thanks.']);
    await memory.remember([longer]);
    const again = await open();
    expect(again.list()).toHaveLength(1);
    expect(again.isKnown('plan', 3)).toBe(false);
    expect(again.isKnown('plan', 5)).toBe(true);
  });

  it('forgets on purpose what has faded, and keeps no word of it', async () => {
    await memory.remember([PLAN, talk('flat', ['Nice weather.', 'Yes.'])]);
    await memory.remember([{ ...talk('sharp', ['No, not that!']), flags: [flag(3)] }]);
    const first = await memory.forget();
    expect(first.forgotten.map(({ conversationId, reason }) => [conversationId, reason])).toEqual([
      ['flat', 'faded'],
    ]);
    await clock.advance(90 * DAY);
    const second = await memory.forget();
    expect(second.forgotten.map(({ conversationId }) => conversationId)).toEqual(['plan']);
    expect(second.kept).toBe(1);
    expect(disk.text('/m.json')).not.toContain('Lisbon');
    expect(memory.forgotten).toHaveLength(2);
  });

  it('forgets the least salient beyond its limit', async () => {
    memory = await open({ gistsMax: 1 });
    await memory.remember([PLAN, talk('small', ['Not that one.'])]);
    const { forgotten } = await memory.forget();
    expect(forgotten).toMatchObject([{ conversationId: 'small', reason: 'crowded-out' }]);
  });

  it('erases a deleted talk without a trace', async () => {
    await memory.remember([PLAN]);
    expect(await memory.erase('plan')).toBe(true);
    expect(await memory.erase('plan')).toBe(false);
    expect(disk.text('/m.json')).not.toContain('plan');
  });

  it('draws by salience and by chance, without repeats, and never what is held back or excluded', async () => {
    const talks = ['a', 'b', 'c'].map((id) => talk(id, ['No, not that one.']));
    const strong = { ...talk('strong', ['No, not that one.']), flags: [flag(3)] };
    const held = { ...talk('held', ['No, not that one.']), flags: [flag(3, 'missed', true)] };
    await memory.remember([...talks, strong, held]);
    const canLearn = (id: string): boolean => id !== 'c';
    const draw = (count: number, seed: number, salienceShare: number): string[] =>
      memory
        .draw(count, createRandom(seed), { salienceShare, canLearn })
        .map(({ gist }) => gist.conversationId);
    const firsts = Array.from({ length: 300 }, (_, index) => draw(1, index, 1)).flat();
    const share = firsts.filter((id) => id === 'strong').length / 300;
    expect(share).toBeGreaterThan(0.4);
    expect(firsts).not.toContain('held');
    expect(draw(10, 1, 0.5).sort()).toEqual(['a', 'b', 'strong']);
    expect(draw(2, 5, 0.5)).toEqual(draw(2, 5, 0.5));
  });

  it('sets a damaged file aside, where the next deletion reaches it', async () => {
    disk = new MemoryDisk({ '/m.json': '{"schemaVersion":1,"data":{"gists":[{}]}}' });
    const memory = await open();
    expect(memory.aside).toEqual(['m.json.damaged']);
    await memory.erase('a');
    expect([...disk.names.keys()]).toEqual([]);
  });
});
