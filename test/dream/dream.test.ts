import { describe, expect, it, vi } from 'vitest';
import { admit, judgeWords, scenarioOfDraft } from '../../src/dream/admit.ts';
import { draftSchema } from '../../src/dream/draft.ts';
import { dream } from '../../src/dream/dream.ts';
import { createCopyCheck, isNearCopy, overlap, shingles } from '../../src/dream/near-copy.ts';
import { planDreams } from '../../src/dream/plan.ts';
import { createFakeClock } from '../fakes/fake-clock.ts';
import {
  createModel,
  flag,
  gist,
  options,
  random,
  scripted,
  settings,
  tokenizer,
} from './dreaming.ts';

// A model writes many dreams.
vi.setConfig({ testTimeout: 60_000 });

const GISTS = [
  await gist('walk', 'No, not that one. I am so worried about Anna.'),
  await gist('food', 'Please book a table in Lisbon at 7 pm.'),
];

describe('a night of dreams', () => {
  it('unfolds flags and memories into drafts whose spans are where they claim', async () => {
    const engine = createModel();
    const result = await dream(options(engine, { flagged: [flag('a'), flag('b')], gists: GISTS }));
    expect(result.stop).toBe('done');
    expect(result.drafts.length).toBeGreaterThan(8);
    expect(result.tokens).toBeGreaterThan(50);
    for (const draft of result.drafts) {
      expect(draftSchema.parse(JSON.parse(JSON.stringify(draft)))).toEqual(draft);
      if (draft.problem === undefined) expect(() => scenarioOfDraft(draft)).not.toThrow();
      expect(draft.isDirected).toBe(draft.seed.origin === 'flag');
    }
    expect(new Set(result.drafts.map(({ seed }) => seed.origin))).toEqual(
      new Set(['flag', 'memory']),
    );
  });

  it('is the same for the same seeds, in batches of any size', async () => {
    const input = { flagged: [flag('a')], gists: GISTS };
    const one = await dream(options(createModel(), input));
    const two = await dream(
      options(createModel(), {
        ...input,
        settings: { ...options(createModel()).settings, batchSize: 1 },
      }),
    );
    expect(two.drafts).toEqual(one.drafts);
    const three = await dream(options(createModel(), { ...input, random: random(2) }));
    expect(three.drafts).not.toEqual(one.drafts);
  });

  it('never dreams of what is held back, nor of good moments as if they were missed', async () => {
    const flagged = [flag('held', { isHeldBack: true }), flag('good', { kind: 'good' })];
    const result = await dream(options(createModel(), { flagged }));
    expect(result.drafts).toEqual([]);
    expect(result.tokens).toBe(0);
  });

  it('puts a flagged direction into the distance and keeps the words that were said', async () => {
    const plans = { flagged: [flag('a')], settings: { ...settings, anglesPerFlag: 12 } };
    const { drafts } = await dream(options(createModel(), plans));
    const replays = drafts.filter(({ rejectedFrom }) => rejectedFrom === 'said');
    expect(replays.length).toBeGreaterThan(0);
    for (const draft of replays) {
      const direction = draft.spans.find(({ feature }) => feature === 'direction');
      const content = draft.messages[direction?.message ?? -1]?.content;
      expect(content?.slice(direction?.start, direction?.end)).toBe('No, only the plan, please.');
      expect(draft.messages.length).toBe(3 + 2 * draft.angle.distance);
      expect(draft).toMatchObject({ chosenFrom: 'person', rejected: flag('a').rejected });
    }
  });

  it('removes the guidance from what is trained', async () => {
    const engine = createModel();
    const { drafts } = await dream(options(engine, { flagged: [flag('a')], gists: GISTS }));
    const asked = engine.requests.map(({ ids }) => tokenizer.decode(ids)).join('\n');
    expect(asked).toContain('Listen first to what the person asks');
    expect(JSON.stringify(drafts)).not.toContain('Listen first to what the person asks');
  });

  it('takes a guided reply as chosen and an unguided one as rejected when they are that', async () => {
    const engine = createModel((asked) => {
      // Whatever the person named last.
      const said = asked.text.match(/\b(?:[a-z]+ [a-z]+|[a-z]+) \d+/gi) ?? [];
      const wish = said.at(-1);
      const isReply = asked.role === 'assistant' && asked.prefix === '';
      if (!isReply || wish === undefined) return scripted(asked);
      return asked.text.includes('Listen first') ? `Done, it is ${wish}.` : 'Done, all is well.';
    });
    const { drafts } = await dream(
      options(engine, { gists: GISTS, budget: { dreamsMax: 64, tokensMax: 1e6, minutesMax: 60 } }),
    );
    expect(drafts.some(({ chosenFrom }) => chosenFrom === 'guided')).toBe(true);
    const shares = drafts
      .filter(({ chosenFrom }) => chosenFrom === 'guided')
      .map((d) => d.sampledShare);
    for (const share of shares) expect(share).toBeGreaterThan(0);
  });
});

describe('caps', () => {
  const seeds = { flagged: [flag('a'), flag('b'), flag('c')], gists: GISTS };

  it('end the night at its tokens, with what was written', async () => {
    const budget = { dreamsMax: 100, tokensMax: 200, minutesMax: 60 };
    const result = await dream(options(createModel(), { ...seeds, budget }));
    expect(result.stop).toBe('tokens');
    // A batch is in flight when the budget ends; each request of it is bounded by what was left.
    expect(result.tokens).toBeLessThan(200 + settings.batchSize * 96);
  });

  it('end the night at its minutes', async () => {
    const clock = createFakeClock(0);
    const result = await dream(
      options(createModel(), { ...seeds, clock, turn: () => clock.advance(61 * 60_000) }),
    );
    expect(result).toMatchObject({ stop: 'minutes', tokens: 0 });
  });

  it('end the night when it is told to', async () => {
    const abort = new AbortController();
    abort.abort();
    const result = await dream(options(createModel(), { ...seeds, signal: abort.signal }));
    expect(result.stop).toBe('aborted');
  });

  it('hold for the number of dreams, and for angles of one flag', () => {
    const { prompts, random: stream } = options(createModel());
    const plan = { settings, prompts, random: stream, isWhole: false, dreamsMax: 10 };
    expect(planDreams({ ...plan, ...seeds }).length).toBeLessThanOrEqual(10);
    const narrow = { ...plan, settings: { ...settings, anglesPerFlag: 3 } };
    const three = planDreams({ ...narrow, flagged: [flag('a')], gists: [] });
    // A push-back makes two dreams: itself and its other side.
    expect(three.map(({ kind }) => kind).sort()).toEqual(['listen', 'push-back']);
    expect(planDreams({ ...plan, flagged: [], gists: [] })).toEqual([]);
  });

  it('stop a model that never ends a turn and never says anything of use', async () => {
    const engine = createModel(() => 'and so on and on '.repeat(50));
    const result = await dream(options(engine, { gists: GISTS }));
    expect(result.failed.length + result.drafts.length).toBeGreaterThan(0);
    const perDream = engine.requests.length / 12;
    expect(perDream).toBeLessThan(60);
    for (const { replyTokensMax } of engine.requests)
      expect(replyTokensMax).toBeLessThanOrEqual(96);
  });

  it('let a dead engine be heard', async () => {
    const engine = createModel();
    engine.die();
    await expect(dream(options(engine, seeds))).rejects.toMatchObject({ code: 'engine-failed' });
  });
});

describe('admission', () => {
  const budget = { dreamsMax: 14, tokensMax: 1e6, minutesMax: 60 };
  const written = dream(options(createModel(), { flagged: [flag('a')], gists: GISTS, budget }));
  const wide = { contextTokensMax: 4096, marginMin: -100, marginMax: 100, nearCopyMax: 0.95 };
  const admitAll = async (more: Partial<typeof settings> = {}) => {
    const { drafts } = await written;
    const all = { ...settings, ...wide, ...more };
    return {
      drafts,
      ...(await admit(drafts, { engine: createModel(), tokenizer, settings: all })),
    };
  };

  it('admits or refuses each draft, and says why', async () => {
    const { drafts, dreams, refused } = await admitAll();
    expect(dreams.length).toBeGreaterThan(3);
    expect(dreams.length + refused.length).toBe(drafts.length);
    for (const { scenario, margin } of dreams) {
      expect(scenario.source.origin).toBe('dream');
      if (scenario.rejected !== undefined) expect(Number.isFinite(margin)).toBe(true);
    }
  });

  it('keeps pairs together', async () => {
    const { dreams } = await admitAll();
    const sides = dreams.flatMap(({ scenario }) => scenario.pair?.id ?? []);
    for (const id of sides) expect(sides.filter((other) => other === id)).toHaveLength(2);
  });

  it('judges the ease of a pair by its harder side', async () => {
    const { dreams } = await admitAll();
    const id = dreams.find(({ draft }) => draft.pair !== undefined)?.draft.pair?.id;
    const ofPair = (list: typeof dreams) => list.filter(({ draft }) => draft.pair?.id === id);
    const [hard, easy] = ofPair(dreams)
      .map(({ margin }) => margin ?? 0)
      .sort((a, b) => a - b) as [number, number];
    expect(easy).toBeGreaterThan(hard);
    expect(ofPair((await admitAll({ marginMax: (hard + easy) / 2 })).dreams)).toHaveLength(2);
    const { dreams: left, refused } = await admitAll({ marginMax: hard - 1 });
    expect(ofPair(left)).toEqual([]);
    const reasons = refused.filter(({ draft }) => draft.pair?.id === id).map((one) => one.reason);
    expect(reasons).toEqual(['it is too easy now', 'it is too easy now']);
  });

  it.each([
    ['what is too easy', { marginMax: -99 }, 'it is too easy now'],
    ['what is out of reach', { marginMin: 99 }, 'it is out of reach now'],
    ['long contexts', { contextTokensMax: 16 }, 'its context is too long'],
    ['long replies', { chosenTokensMax: 4 }, 'a reply is too long'],
    ['near-copies', { nearCopyMax: 0.01 }, 'a near-copy of another'],
  ])('refuses %s', async (_name, more, reason) => {
    const { refused } = await admitAll(more);
    expect(refused.map((one) => one.reason)).toContain(reason);
  });

  it('refuses a dream that nearly copies a conversation that measures, and only that', async () => {
    const all = (await admitAll()).dreams;
    const [copied, ...others] = all.filter(({ draft }) => draft.pair === undefined);
    if (copied === undefined) throw new Error('no dream');
    const { messages, chosen } = copied.scenario;
    const words = [...messages.map(({ content }) => content), chosen].join(' ').split(' ');
    // A test conversation in which a word here and there is another.
    const test = words.map((word, at) => (at % 12 === 5 ? 'otherwise' : word)).join(' ');
    const isTestCopy = createCopyCheck([test, 'Please water the fern today.'], 0.6);
    const { drafts } = await written;
    const judged = await admit(drafts, {
      engine: createModel(),
      tokenizer,
      settings: { ...settings, ...wide },
      isTestCopy,
    });
    const reasons = new Map(judged.refused.map(({ draft, reason }) => [draft.id, reason]));
    expect(reasons.get(copied.scenario.id)).toBe('a near-copy of a test conversation');
    const still = new Set(judged.dreams.map(({ scenario }) => scenario.id));
    expect(others.filter(({ scenario }) => still.has(scenario.id)).length).toBeGreaterThan(0);
  });

  it('refuses by words alone: no reply, spans out of place, candidates that are the same or fail', async () => {
    const { drafts } = await admitAll();
    const sound = drafts.find(
      (d) =>
        d.kind === 'listen' &&
        d.chosen !== undefined &&
        d.rejected !== undefined &&
        d.chosenFrom === 'template',
    );
    if (sound === undefined) throw new Error('no sound draft');
    expect(judgeWords(sound)).toBeUndefined();
    expect(judgeWords({ ...sound, problem: 'no listening reply was found' })).toContain(
      'no listening',
    );
    const { chosen: _chosen, ...without } = sound;
    expect(judgeWords(without)).toBe('it does not parse');
    expect(judgeWords({ ...sound, rejected: sound.chosen ?? '' })).toBe('it does not parse');
    expect(
      judgeWords({ ...sound, spans: [{ feature: 'direction', message: 99, start: 0, end: 1 }] }),
    ).toBe('it does not parse');
    expect(judgeWords({ ...sound, spans: [] })).toBe('it marks no direction');
    expect(judgeWords({ ...sound, chosen: 'Whatever.' })).toBe('`chosen` does not listen');
    expect(judgeWords({ ...sound, chosen: 'Whatever.', chosenFrom: 'person' })).toBeUndefined();
    expect(judgeWords({ ...sound, rejected: `${sound.chosen} ` })).toBe('`rejected` listens too');
  });
});

describe('near-copies', () => {
  it('share most of their word triples', () => {
    const a = shingles('one two three four five six');
    expect(overlap(a, shingles('One, two, three: four five six!'))).toBe(1);
    expect(overlap(a, shingles('zero one two three four five six seven eight'))).toBe(1);
    expect(overlap(a, shingles('six five four three two one'))).toBe(0);
    expect(isNearCopy(a, shingles('one two three four nine ten'), 0.6)).toBe(false);
    expect(overlap(shingles(''), a)).toBe(0);
  });
});
