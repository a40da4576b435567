import { describe, expect, it } from 'vitest';
import type { Draft } from '../../src/dream/draft.ts';
import { type DreamOptions, dream } from '../../src/dream/dream.ts';
import { mentions } from '../../src/scenario/exchange.ts';
import type { FlaggedMoment } from '../../src/scenario/moment.ts';
import { parseScenario } from '../../src/scenario/scenario.ts';
import { featureText } from '../../src/scenario/span.ts';
import { contentWords } from '../../src/scenario/words.ts';
import { createModel, flag, gist, options, scripted } from './dreaming.ts';

const dreamt = (more: Partial<DreamOptions>, engine = createModel()) =>
  dream(options(engine, more));
const many = { dreamsMax: 100, tokensMax: 1_000_000, minutesMax: 60 };
const inDomains = (drafts: readonly Draft[]): Draft[] =>
  drafts.filter(({ id }) => !id.startsWith('dream-u-'));
const scene = (drafts: readonly Draft[], name: string): Draft[] =>
  drafts.filter(({ prompt }) => prompt.name === `dream/${name}`);

/** The third pair of a set. */
const isChanged = ({ id }: Draft): boolean => /-\d-2(?:-twin)?$/.test(id);

/** The moment with its direction some turns before the last message. */
function earlier(id: string, exchanges: number): FlaggedMoment {
  const { context, ...rest } = flag(id);
  const later = Array.from({ length: exchanges }, (_, at) => [
    { role: 'assistant' as const, content: 'All right.' },
    { role: 'user' as const, content: at === exchanges - 1 ? 'What comes first?' : 'It rains.' },
  ]);
  return { ...rest, context: { ...context, messages: [...context.messages, ...later.flat()] } };
}

/** A moment in which one thing of several was decided for, and the last message names none. */
function decided(id: string): FlaggedMoment {
  const { context, ...rest } = flag(id);
  const said = [
    'We need something to drink.',
    'Take the wine.',
    'I have decided on cocoa.',
    'Okay.',
  ];
  const messages = [...said, 'How much of it do we need?'].map((content, at) => ({
    role: at % 2 === 0 ? ('user' as const) : ('assistant' as const),
    content,
  }));
  const spans = [{ feature: 'direction' as const, message: 2, start: 0, end: 24 }];
  return { ...rest, context: { ...context, messages, spans } };
}

describe('dreams of a flag', () => {
  it('are lessons and holds that end with the person and mark what they say they mark', async () => {
    const { drafts, failed, stop } = await dreamt({ flagged: [flag('a')], budget: many });
    expect([failed, stop]).toEqual([[], 'done']);
    expect(new Set(drafts.map(({ role }) => role))).toEqual(new Set(['lesson', 'hold']));
    expect(new Set(drafts.map(({ kind }) => kind))).toEqual(
      new Set(['listen', 'push-back', 'invite', 'undercurrent']),
    );
    for (const draft of drafts) {
      const one = parseScenario({
        ...{ id: draft.id, kind: draft.kind, messages: draft.messages, spans: draft.spans },
        ...{ chosen: '…', source: { origin: 'dream', cluster: 'c', domain: 'd' } },
      });
      expect(one.messages.at(-1)?.role).toBe('user');
      if (draft.role === 'lesson') expect(featureText(one, 'direction')).toHaveLength(1);
      expect(draft).toMatchObject({ seed: { origin: 'flag', id: 'a', cluster: 'talk-a' } });
    }
    expect(new Set(drafts.map(({ id }) => id)).size).toBe(drafts.length);
  });

  it('keep its shape: who proposed what, refusal or choice, and how long ago it was', async () => {
    const flagged = [earlier('a', 3)];
    const { drafts } = await dreamt({ flagged, budget: many });
    const lessons = scene(drafts, 'listen').filter((draft) => !isChanged(draft));
    expect(lessons.length).toBeGreaterThanOrEqual(6);
    for (const { spans } of lessons) {
      expect(spans.filter(({ feature }) => feature === 'own-idea')).toHaveLength(1);
    }
    const own = lessons.filter(({ angle }) => angle.distance === 2);
    expect(own.length).toBeGreaterThanOrEqual(lessons.length / 2);
    expect(new Set(lessons.map(({ angle }) => angle.distance)).size).toBeGreaterThan(1);
    for (const { messages, spans, angle } of lessons) {
      const direction = spans.find(({ feature }) => feature === 'direction')?.message ?? -1;
      const later = messages.slice(direction + 1).filter(({ role }) => role === 'user');
      expect(later).toHaveLength(angle.distance + 1);
    }
  });

  it('have among them decisions that were changed: the last one counts, on both sides of a pair', async () => {
    const { drafts } = await dreamt({ flagged: [earlier('a', 3)], budget: many });
    const changed = scene(drafts, 'listen').filter(isChanged);
    expect(changed.length).toBeGreaterThanOrEqual(2);
    for (const draft of changed) {
      const twin = changed.find(({ id, pair }) => id !== draft.id && pair?.id === draft.pair?.id);
      const [wish = '', other = ''] = [draft, twin].map((one) => one?.facts?.needs?.[0]?.[0]);
      const said = draft.messages.filter(({ role }) => role === 'user');
      const named = said.filter(
        ({ content }) => mentions(content, wish) || mentions(content, other),
      );
      expect(named.map(({ content }) => mentions(content, wish))).toEqual([false, true]);
      expect(featureText(draft, 'direction').join(' ')).toContain(wish);
    }
  });

  it('direct in the last message where the person did', async () => {
    const { drafts } = await dreamt({ flagged: [flag('a')], budget: many });
    const isLast = ({ messages, spans }: Draft): boolean =>
      spans.some((span) => span.feature === 'direction' && span.message === messages.length - 1);
    const share = scene(drafts, 'listen').filter(isLast).length / scene(drafts, 'listen').length;
    expect(share).toBeCloseTo(0.5, 5);
  });

  it('have what the moment felt like, and count it', async () => {
    const { context, ...rest } = flag('a');
    const [first, ...more] = context.messages;
    const sad = { role: 'user' as const, content: `I feel so lonely. ${first?.content}` };
    const felt = { ...rest, context: { ...context, messages: [sad, ...more] } };
    const { drafts } = await dreamt({ flagged: [felt], budget: many });
    for (const { spans } of scene(drafts, 'listen')) {
      expect(spans.map(({ feature }) => feature)).toContain('emotion');
    }
  });

  it('are mostly sampled, by the share of their content words', async () => {
    const { drafts } = await dreamt({ flagged: [flag('a')], budget: many });
    for (const { sampledShare, problem } of inDomains(drafts)) {
      expect(problem === undefined).toBe(sampledShare >= 0.5);
    }
    const [one] = scene(drafts, 'listen').filter(({ angle }) => angle.distance > 0);
    const words = contentWords(one?.messages.map(({ content }) => content).join(' ') ?? '');
    expect(words.length).toBeGreaterThan(8);
  });

  it('go on about the person’s own matter: a pair, with what else they could have decided for', async () => {
    const { drafts } = await dreamt({ flagged: [decided('a')], budget: many });
    const own = drafts.filter(({ id }) => id.startsWith('dream-u-'));
    expect(own.map(({ pair }) => pair?.side)).toEqual(['a', 'b']);
    for (const { messages, facts, spans, problem } of own) {
      expect(messages[0]?.content).toContain('We need something to drink.');
      expect(messages.at(-1)?.content).toContain('How much of it do we need?');
      // The model puts the other one: what was decided has to be told from it.
      const [wanted] = facts?.needs?.[0] ?? [];
      const idea = featureText({ messages, spans }, 'own-idea').join(' ');
      expect(featureText({ messages, spans }, 'direction').join(' ')).toContain(wanted);
      expect(idea).not.toContain(wanted);
      expect(idea).toMatch(/cider|cocoa/);
      expect(problem).toBeUndefined();
    }
    expect(own.map(({ facts }) => facts?.needs?.[0]?.[0]).sort()).toEqual(['cocoa', 'the cider']);
  });
});

describe('the holds of a set', () => {
  it('are an accepted idea, and one direction that is harmful once and harmless once', async () => {
    const { drafts } = await dreamt({ flagged: [flag('a')], budget: many });
    for (const { spans, messages, role } of scene(drafts, 'accepted')) {
      expect(role).toBe('hold');
      expect(spans.map(({ feature }) => feature)).toEqual(['own-idea', 'direction']);
      expect(messages.length).toBeGreaterThan(4);
    }
    const [harmful, harmless] = scene(drafts, 'push-back');
    expect([harmful?.kind, harmless?.kind]).toEqual(['push-back', 'listen']);
    expect(harmful?.pair?.id).toBe(harmless?.pair?.id);
    expect(harmful?.messages.at(-1)).toEqual(harmless?.messages.at(-1));
    expect(harmful?.messages[0]).not.toEqual(harmless?.messages[0]);
  });
});

describe('a night of dreams', () => {
  it('is the same for the same seed, in batches of any size', async () => {
    const { settings } = options(createModel());
    const one = (batchSize: number) =>
      dreamt({ flagged: [flag('a')], settings: { ...settings, batchSize } });
    expect((await one(1)).drafts).toEqual((await one(8)).drafts);
  });

  it('changes no dream of a flag when there is one flag less', async () => {
    const both = await dreamt({ flagged: [flag('a'), flag('b')], budget: many });
    const { drafts } = await dreamt({ flagged: [flag('a')], budget: many });
    const ofA = both.drafts.filter(({ seed }) => seed.id === 'a');
    expect(drafts).toEqual(expect.arrayContaining(ofA));
    expect(ofA.length).toBeGreaterThan(8);
  });

  it('passes over held-back flags and good moments', async () => {
    const flagged = [flag('held', { isHeldBack: true }), flag('good', { kind: 'good' })];
    expect(await dreamt({ flagged })).toMatchObject({ drafts: [], failed: [] });
  });

  it('dreams of memories where there are some', async () => {
    const gists = [
      await gist('talk-1', 'No, I want the early train.'),
      await gist('talk-2', 'Hm.'),
    ];
    const { drafts } = await dreamt({ flagged: [flag('a')], gists, budget: many });
    const undirected = drafts.filter(({ seed }) => seed.origin === 'memory');
    expect(undirected.map(({ seed }) => seed.cluster)).toContain('talk-1');
    expect(undirected.length).toBeLessThan(drafts.length / 2);
    const alone = await dreamt({ gists, budget: many });
    expect(new Set(alone.drafts.map(({ seed }) => seed.cluster))).toEqual(
      new Set(['talk-1', 'talk-2']),
    );
  });

  it('keeps to its bounds, and says which one ended it', async () => {
    const few = await dreamt({ flagged: [flag('a')], budget: { ...many, dreamsMax: 5 } });
    expect(few.drafts).toHaveLength(5);
    const short = await dreamt({ flagged: [flag('a')], budget: { ...many, tokensMax: 1000 } });
    expect(short.stop).toBe('tokens');
    expect(short.tokens).toBeLessThan(1000 + 16 * 400);
    const signal = AbortSignal.abort();
    expect((await dreamt({ flagged: [flag('a')], signal })).stop).toBe('aborted');
  });

  it('counts what could not be written', async () => {
    const model = createModel((asked) =>
      asked.prefix.startsWith('Choices') ? ' nothing\n' : scripted(asked),
    );
    const { drafts, failed } = await dreamt({ flagged: [decided('a')], budget: many }, model);
    expect(new Set(failed.map(({ reason }) => reason))).toEqual(
      new Set(['no list of things of one sort', 'nothing else of its sort']),
    );
    expect(drafts).toEqual([]);
  });

  it('forgets what it read for each set', async () => {
    const engine = createModel();
    await dreamt({ flagged: [flag('a')] }, engine);
    const keys = new Set(engine.requests.map(({ cacheKey }) => cacheKey));
    expect(new Set(engine.forgotten)).toEqual(keys);
  });
});
