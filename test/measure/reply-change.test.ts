import { describe, expect, it } from 'vitest';
import { measureReplies, type ReplyChangeOptions } from '../../src/measure/reply-change.ts';
import type { Kind } from '../../src/scenario/kind.ts';
import type { Scenario } from '../../src/scenario/scenario.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';
import { renderer, wordScenario } from '../reading/tiny-reading.ts';

const READY = 9;
const IDLE = 8;
const tokenizer: ReplyChangeOptions['tokenizer'] = {
  ...renderer,
  stopIds: [2],
  decode: (ids) => ids.map((id) => (id === READY ? 'ready' : 'idle')).join(' '),
};

const FACTS = { needs: [['ready']] };
const asked = (index: number, kind: Kind = 'listen'): Scenario =>
  wordScenario(index, { kind, facts: FACTS });
const scenarios = [asked(0), asked(1), asked(2, 'ordinary'), asked(3, 'ordinary')];

/** Says "ready" under the versions named, else "idle". */
function engineOf(ready: readonly string[], options: { windowTokens?: number } = {}): FakeEngine {
  const engine = new FakeEngine({
    version: 'old',
    reply: ({ version = '' }) => [ready.includes(version) ? READY : IDLE],
    ...options,
  });
  return engine;
}

async function measured(
  engine: FakeEngine,
  of: readonly Scenario[],
  more: Partial<ReplyChangeOptions> = {},
) {
  await engine.loadVersion({ id: 'new', deltas: [] });
  return measureReplies(of, {
    engine,
    tokenizer,
    before: 'old',
    after: 'new',
    replyTokensMax: 4,
    statistics: { resamples: 200 },
    ...more,
  });
}

describe('replies before and after', () => {
  it('are counted by kind, each scenario against itself', async () => {
    const { all, kinds } = await measured(engineOf(['new']), scenarios);
    expect(all).toMatchObject({ replies: 4, before: 0, after: 1, deaf: null });
    expect(all.change).toMatchObject({ mean: 1, low: 1, high: 1, clusters: 4 });
    expect(kinds.map(({ kind, replies }) => [kind, replies])).toEqual([
      ['listen', 2],
      ['ordinary', 2],
    ]);
  });

  it('fall as plainly as they rise', async () => {
    const { all } = await measured(engineOf(['old']), scenarios);
    expect(all).toMatchObject({ before: 1, after: 0, change: { mean: -1, p: 1 } });
  });

  it('of one source tell nothing of others', async () => {
    const same = scenarios.map((one) => ({ ...one, source: { ...one.source, cluster: 'talk' } }));
    const { all } = await measured(engineOf(['new']), same);
    expect(all.change).toMatchObject({ mean: 1, p: 1, clusters: 1 });
    expect(all.change.low).toBeLessThan(-1e300);
  });

  it('are greedy, short, of one version each and kept in no cache', async () => {
    const engine = engineOf(['new']);
    await measured(engine, scenarios.slice(0, 1));
    expect(engine.requests.map(({ version }) => version)).toEqual(['old', 'new']);
    for (const { sampling, replyTokensMax, cacheKey } of engine.requests) {
      expect(sampling).toMatchObject({ temperature: 0, repetitionPenalty: 1 });
      expect([replyTokensMax, cacheKey]).toEqual([4, undefined]);
    }
  });

  it('of a placebo come last, for an engine holds two versions', async () => {
    const engine = engineOf(['new', 'placebo']);
    const { all } = await measured(engine, scenarios, { placebo: { id: 'placebo', deltas: [] } });
    expect(all).toMatchObject({ before: 0, after: 1, deaf: 1 });
    expect(engine.requests.at(-1)?.version).toBe('placebo');
    await expect(
      engine.generate({ ...engine.requests[0], version: 'new' } as never, () => {}),
    ).rejects.toMatchObject({ code: 'version-unknown' });
  });

  it('are not asked of a scenario that leaves them no room', async () => {
    const long = {
      ...asked(4),
      messages: [{ role: 'user' as const, content: 'word '.repeat(60) }],
    };
    const engine = engineOf(['new'], { windowTokens: 40 });
    const { all } = await measured(engine, [long, asked(5)], { windowTokens: 40 });
    expect(all.replies).toBe(1);
    const none = await measured(engine, [long], { windowTokens: 40 });
    expect(none).toMatchObject({ all: { replies: 0, change: { p: 1 } }, kinds: [], samples: [] });
  });

  it('give way before each of them', async () => {
    const engine = engineOf(['new']);
    const askedBefore: number[] = [];
    const beforeEach = async (): Promise<void> => {
      askedBefore.push(engine.requests.length);
    };
    await measured(engine, scenarios, { beforeEach });
    expect(askedBefore).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it('are given up when the night is stopped, also in the middle of the last', async () => {
    const stop = new AbortController();
    let waits = 0;
    const beforeEach = async (): Promise<void> => {
      waits += 1;
      if (waits === 2) stop.abort(new Error('the night was stopped'));
    };
    const only = scenarios.slice(0, 1);
    const options = { beforeEach, signal: stop.signal };
    await expect(measured(engineOf(['new']), only, options)).rejects.toThrow('was stopped');
    expect(waits).toBe(2);
  });
});

describe('samples of replies', () => {
  it('are the first of each kind that differ, with what decided', async () => {
    const { samples } = await measured(engineOf(['new']), [...scenarios, asked(6), asked(7)]);
    expect(samples.map(({ id }) => id)).toEqual(['s0', 's1', 's2', 's3']);
    expect(samples[0]).toMatchObject({
      said: 'please do thing 0',
      before: { reply: 'idle', passes: false, reason: 'lacks "ready"' },
      after: { reply: 'ready', passes: true },
    });
  });

  it('are none where nothing changed', async () => {
    const { samples, all } = await measured(engineOf(['old', 'new']), scenarios);
    expect([samples, all.change.mean]).toEqual([[], 0]);
  });

  it('never hold what was said in a talk, which may be deleted', async () => {
    const flag = { ...asked(8), source: { ...asked(8).source, origin: 'flag' as const } };
    const { samples, all } = await measured(engineOf(['new']), [flag]);
    expect([samples, all.replies]).toEqual([[], 1]);
  });
});
