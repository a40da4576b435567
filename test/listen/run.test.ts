import { readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import { names } from '../../src/listen/generate.ts';
import { type ListenReport, reportOf, reportPage, reportText } from '../../src/listen/report.ts';
import type { ArmResult } from '../../src/listen/result.ts';
import { runListeningTest } from '../../src/listen/run.ts';
import type { Scene, SceneMessage, ScenePair } from '../../src/listen/scene.ts';
import { type FakeRule, fakeListener } from './fake-listener.ts';
import { samplePairs } from './open-suite.ts';

// The whole listening test is run.
vi.setConfig({ testTimeout: 60_000 });

const pairs = await samplePairs(100);

async function reportFor(
  rule: FakeRule,
  some: readonly ScenePair[] = pairs,
): Promise<ListenReport> {
  const listener = fakeListener(rule);
  const outcomes = await runListeningTest(some, { listener, timeMs: Number.POSITIVE_INFINITY });
  return reportOf(outcomes, {
    model: '<fake> & co',
    part: 'develop',
    seed: 1,
    minutes: null,
    date: '2026-11-30',
    pairsThere: some.length,
    likelihood: listener.likelihood,
    notices: [],
  });
}

const rowOf = ({ rows }: ListenReport, group: string, arm: string): ArmResult =>
  rows.find((row) => row.group === group && row.arm === arm) as ArmResult;
const rightOf = (report: ListenReport, group: string, arm: string): number =>
  rowOf(report, group, arm).replies?.right.mean ?? Number.NaN;

/** The scene that a conversation belongs to, by its opening and last words. */
function sceneOf(messages: readonly SceneMessage[]): Scene {
  const [first, last] = [messages.find(({ role }) => role === 'user'), messages.at(-1)];
  const own = pairs
    .flatMap(({ sides }) => [...sides])
    .filter(
      (scene) =>
        first?.content.endsWith(scene.messages[0]?.content ?? '?') &&
        last?.content.endsWith(scene.messages.at(-1)?.content ?? '?') &&
        scene.messages.every((message, i) =>
          messages
            .slice(messages[0]?.role === 'system' ? 1 : 0)
            [i]?.content.endsWith(message.content),
        ),
    );
  return own[0] as Scene;
}

const ANSWER = 'needs candles, ribbons, paperclips, sawdust and varnish.';

describe('the listening test', () => {
  it('gives nothing to who always repeats the last line of the person', async () => {
    const report = await reportFor({ reply: (messages) => messages.at(-1)?.content ?? '' });
    for (const arm of ['untold', 'told', 'placebo', 'system', 'rule']) {
      const row = rowOf(report, 'listen', arm);
      expect(row.replies).toMatchObject({ right: { mean: 0 }, answered: { mean: 0 } });
      expect(row.replies?.copied).toBeGreaterThan(0.5);
      expect(row.likelihood).toBeNull();
    }
  });

  it('finds in who always repeats the model’s idea that idea, and nothing else', async () => {
    const report = await reportFor(
      {
        reply: (messages) => messages.find(({ role }) => role === 'assistant')?.content ?? '',
        score: (messages, beginning) => {
          const idea = messages.find(({ role }) => role === 'assistant')?.content ?? '';
          const [scene] = [sceneOf(messages)];
          const own = [scene.right, scene.other].find((thing) => names(idea, thing));
          return own !== undefined && names(beginning, own) ? -1 : -2;
        },
      },
      pairs.filter(({ kind }) => kind === 'listen' || kind === 'accepted'),
    );
    const untold = rowOf(report, 'listen', 'untold');
    expect(untold.replies).toMatchObject({ right: { mean: 0 }, wrong: { mean: 1 } });
    expect(untold.likelihood?.bothRight.mean).toBe(0);
    expect(untold.likelihood?.margin.mean).toBeCloseTo(-1);
    expect(rowOf(report, 'accepted', 'untold').likelihood?.bothRight.mean).toBe(1);
    expect(report.failures).toHaveLength(3);
  });

  it('gives a quarter of the pairs and half of the replies to a coin', async () => {
    const random = createRandom('coin');
    const report = await reportFor({
      reply: (messages) => {
        const { right, other } = sceneOf(messages);
        return `${random.uniform() < 0.5 ? right.text : other.text} ${ANSWER}`;
      },
      score: () => random.gaussian(),
    });
    const row = rowOf(report, 'listen', 'untold');
    expect(row.likelihood?.bothRight.low).toBeLessThan(0.25);
    expect(row.likelihood?.bothRight.high).toBeGreaterThan(0.25);
    expect(row.replies?.right.low).toBeLessThan(0.5);
    expect(row.replies?.right.high).toBeGreaterThan(0.5);
    expect(report.conclusions.join(' ')).toContain('No gap was shown');
  });

  it('gives none of the crossed pairs to who has a favourite and ignores the context', async () => {
    const score = (_: readonly SceneMessage[], beginning: string): number =>
      -createRandom(beginning).uniform();
    const report = await reportFor({ reply: () => 'Yes.', score });
    for (const { group, likelihood } of report.rows) {
      expect(likelihood?.bothRight.mean, group).toBe(0);
      expect(likelihood?.margin.mean, group).toBeCloseTo(0);
      expect(likelihood?.bothRight.high, group).toBeGreaterThan(0);
    }
  });

  it('says of a model that hears only what is told again that it has the problem', async () => {
    const report = await reportFor(
      {
        reply: (messages) => {
          const { right, other, deciding } = sceneOf(messages);
          const isTold = messages.at(-1)?.content.includes(`"${deciding.text}"`);
          return `${isTold ? right.text : other.text} ${ANSWER}`;
        },
      },
      pairs.filter(({ kind }) => kind === 'listen'),
    );
    expect(rightOf(report, 'listen', 'untold')).toBe(0);
    expect(rightOf(report, 'listen', 'told')).toBe(1);
    expect(rowOf(report, 'listen', 'told').replies?.change?.low).toBeGreaterThan(0);
    expect(report.conclusions[0]).toContain('It has the problem');
    expect(rowOf(report, 'listen', 'told').replies?.extraTokens).toBeGreaterThan(10);
  });

  it('stops taking pairs when its time is up, and finishes those it began', async () => {
    let time = 0;
    const listener = fakeListener({ reply: () => 'Yes.', score: () => -1 });
    const outcomes = await runListeningTest(pairs, {
      listener,
      timeMs: 100,
      now: () => (time += 10),
    });
    const whole = outcomes.filter(({ margins, replies }) => margins && replies).length;
    expect(outcomes.length % 5).toBe(0);
    expect(outcomes.length).toBeLessThan(100);
    expect(whole).toBeGreaterThan(0);
  });

  it('takes the time to the first token of replies that were asked for alone', async () => {
    const listener = fakeListener({ reply: () => 'Yes.' });
    const timeMs = Number.POSITIVE_INFINITY;
    const run = await runListeningTest(pairs.slice(0, 12), { listener, timeMs, parallel: 4 });
    const timed = run.filter(({ replies }) => replies?.every((one) => one.firstTokenMs !== null));
    expect(new Set(timed.map(({ pair }) => pair.id))).toEqual(
      new Set(pairs.slice(0, 5).map(({ id }) => id)),
    );
    const all = await runListeningTest(pairs.slice(0, 8), { listener, timeMs });
    expect(all.flatMap(({ replies = [] }) => replies.map((one) => one.firstTokenMs))).not.toContain(
      null,
    );
  });

  it('takes every wording of the advice in a full run, and turns through them in a sample', async () => {
    const listener = fakeListener({ reply: () => 'Yes.' });
    const run = (isFull: boolean) =>
      runListeningTest(pairs.slice(0, 6), { listener, timeMs: Number.POSITIVE_INFINITY, isFull });
    const wordings = (outcomes: Awaited<ReturnType<typeof run>>) =>
      outcomes.filter(({ arm }) => arm === 'system').map(({ wording }) => wording);
    expect(wordings(await run(true))).toHaveLength(18);
    expect(wordings(await run(false)).sort()).toEqual([0, 0, 1, 1, 2, 2]);
  });

  it('says with each comparison what the sample can tell', async () => {
    const report = await reportFor({ reply: () => 'Yes.' }, pairs.slice(0, 40));
    const found = report.power.find(({ group }) => group === 'listen');
    expect(found).toMatchObject({ measure: 'replies', pairs: 20 });
    expect(found?.detectable).toBeGreaterThan(0);
    expect(found?.pairsForTenPoints).toBeGreaterThan(20);
    expect(reportText(report)).toMatch(/listen +replies +20 +\d+ % +\d+/);
    const one = await reportFor({ reply: () => 'Yes.' }, pairs.slice(0, 1));
    expect(one.power[0]?.detectable).toBeNull();
    expect(one.conclusions).toHaveLength(1);
    expect(one.conclusions[0]).toContain('Too few scenes to tell anything: 1 domains');
  });

  it('writes a page that needs nothing from elsewhere, with plots, axes and a table', async () => {
    const style = readFileSync(new URL('../../suites/listen/page.css', import.meta.url), 'utf8');
    const report = await reportFor({ reply: () => 'Yes <b>.', score: () => -1 });
    const page = reportPage(report, style);
    expect(page).not.toMatch(/(?:src|href)=|url\(|@import|<script|https?:/);
    expect(page.match(/<svg /g)).toHaveLength(4);
    expect(page).toContain('exchanges between the direction and the question');
    expect(page).toContain('prefers-color-scheme: dark');
    expect(page).toContain('&lt;fake&gt; &amp; co');
    expect(page).toContain('Yes &lt;b&gt;.');
    expect(page.match(/<table>/g)).toHaveLength(2);
  });
});
