// A deleted talk is looked for in every file of the store: after a night that took from it in each
// of the ways in which nights take, and while the next night is learning from it.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { writeFileAtomic, writeJsonAtomic } from '../../src/base/atomic-file.ts';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { loadConfig } from '../../src/config/load.ts';
import { readImport } from '../../src/conversation/imported.ts';
import type { Draft } from '../../src/dream/draft.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { summaryMarkdown } from '../../src/morning/summary-markdown.ts';
import { beginNight } from '../../src/night/prepare.ts';
import { NightService, type NightServiceOptions } from '../../src/night/service.ts';
import { resolveSampling } from '../../src/protocol/sampling.ts';
import type { ServerMessage } from '../../src/protocol/server-message.ts';
import * as files from '../../src/record/files.ts';
import { isDrawn, scenarioOf } from '../../src/scenario/moment.ts';
import { parseScenario } from '../../src/scenario/scenario.ts';
import { textsWithout } from '../../src/store/deletion.ts';
import { fakeTokenizer } from '../fakes/fake-tokenizer.ts';
import { openTestDaemon, type TestDaemon } from '../server/open-test-daemon.ts';
import { night } from '../web/night-example.ts';

// It takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

/** What is in a talk's id and in all its words; no other talk has it. */
const TOKEN = {
  trained: 'quince',
  heldBack: 'walnut',
  everyday: 'cherry',
  gist: 'medlar',
  kept: 'almond',
  // Later, so that a night which leaves it alone goes on.
  unread: 'loquat',
};
type Way = keyof typeof TOKEN;
const talkId = (way: Way): string => `talk-${TOKEN[way]}`;
const HELD_ONE_IN = 5;
const AN_HOUR_AGO = Date.now() - 3_600_000;

/** Answers nothing but the order to end. */
const WAITING = `process.on('message', ({ type }) => {
  if (type !== 'abort') return;
  const message = { type: 'failed', code: 'night-failed', message: 'ended' };
  process.send(message, () => process.disconnect());
});
`;

let daemon: TestDaemon;
let nights: NightService;
let options: NightServiceOptions;
let ledger: Ledger;
let elsewhere: string;
const published: ServerMessage[] = [];

beforeAll(async () => {
  elsewhere = await mkdtemp(join(tmpdir(), 'attune-entry-'));
  const entry = join(elsewhere, 'waiting.mjs');
  await writeFile(entry, WAITING);
  const folder = await mkdtemp(join(tmpdir(), 'attune-forget-'));
  const flag = { heldBackFrom: 1, heldBackOneIn: HELD_ONE_IN };
  const { config } = await loadConfig({ options: { flag } });
  daemon = await openTestDaemon({ folder });
  const { engine, store } = daemon;
  ({ ledger } = store);
  options = {
    ...{ config, store, engine, entry, clock: systemClock, logger: silentLogger },
    encoding: fakeTokenizer.encoding,
    sampling: resolveSampling([config.chat.sampling]),
    surpriseOf: async () => undefined,
    paths: { modelDir: '/none', cacheDir: '/none', suiteFolder: '/none', promptsFolder: '/none' },
    publish: (_, message) => void published.push(message),
  };
  nights = new NightService(options);
  for (const way of ['trained', 'heldBack', 'everyday', 'gist', 'kept'] as const) await talk(way);
  await commitNight();
}, 60_000);
afterAll(async () => {
  await nights.close();
  await daemon.end();
  await rm(elsewhere, { recursive: true, force: true });
});

const remove = async (way: Way): Promise<void> =>
  expect(await daemon.store.conversations.delete(talkId(way))).toBeUndefined();

/** A talk that rests: a promise of the person, with an answer unless nothing but the gist counts. */
async function talk(way: Way): Promise<void> {
  const word = TOKEN[way];
  const said = { id: `m-${word}`, role: 'user', text: `Please bring the ${word} jam.` };
  const answer = { id: `r-${word}`, role: 'assistant', text: `No ${word} for you.` };
  const isFlagged = way === 'trained' || way === 'heldBack' || way === 'kept';
  const wanted = way === 'heldBack';
  const number = Array.from({ length: 99 }, (_, at) => at).find(
    (at) => isDrawn(`${word}-${at}`, HELD_ONE_IN) === wanted,
  );
  const mark = { id: `${word}-${number}`, replyId: answer.id, kind: 'missed' as const };
  const body = JSON.stringify({
    id: talkId(way),
    title: `About ${word}`,
    origin: 'import',
    canLearn: true,
    settings: {},
    messages: (way === 'gist' ? [said] : [said, answer]).map((one) => ({
      ...one,
      at: AN_HOUR_AGO,
    })),
    flags: isFlagged
      ? [{ ...mark, betterWords: `The ${word} jam is here.`, reason: word, strength: 2 }]
      : [],
  });
  const imported = readImport(Buffer.from(body), AN_HOUR_AGO);
  if ('log' in imported) await daemon.conversations.import(imported.log, imported.flags);
}

const dreamOf = (id: string, word: string, cluster: string) =>
  parseScenario({
    id: `dream-${id}`,
    kind: 'listen',
    messages: [{ role: 'user', content: `Where is the ${word}?` }],
    chosen: `The ${word} is here.`,
    rejected: `Who needs a ${word}?`,
    source: { origin: 'dream', cluster, domain: 'home' },
  });

function draftOf(dream: ReturnType<typeof dreamOf>): Draft {
  const { id, kind, messages, source } = dream;
  return {
    ...{ id, kind, messages: [...messages], spans: [], sampledShare: 0 },
    seed: { origin: 'memory', id: 'g', cluster: source.cluster },
    angle: { domain: 'home', distance: 0 },
    prompt: { name: 'p', hash: 'h' },
  };
}

/** What a night's process would leave of what was really gathered. */
async function commitNight(): Promise<void> {
  const { folder, plan } = await beginNight(options);
  const moments = await files.readFlagged(folder);
  const everyday = await files.readScenarioFile(folder, 'everyday');
  const gists = await files.readGists(folder);
  const dreams = gists.map(({ gist }) =>
    dreamOf(gist.id, gist.conversationId.replace('talk-', ''), gist.conversationId),
  );
  const flags = moments.filter(({ isHeldBack }) => !isHeldBack);
  const scenarios = [...flags.flatMap((moment) => scenarioOf(moment) ?? []), ...dreams];
  await files.writeDrafts(folder, dreams.map(draftOf));
  await files.writeScenarios(folder, 'scenarios', scenarios);
  await files.writeScenarios(folder, 'easy', dreams);
  const own = everyday.map(({ source }) =>
    dreamOf(`e-${source.cluster}`, source.cluster.replace('talk-', ''), source.cluster),
  );
  await files.writeScenarios(folder, 'own', own);
  const json = (name: string, value: unknown) => writeJsonAtomic(join(folder.path, name), value);
  const replies = moments.map(({ flagId, rejected = '' }) => {
    return { flagId, oldReply: rejected, newReply: `Now: ${rejected}` };
  });
  await json('replies.json', replies);
  await json('probe.json', { sequences: [{ ids: [1, 2, 3], from: 1, logprobs: [-1, -1] }] });
  const refused = everyday.map(({ id, chosen }) => ({ id, reason: `too long: ${chosen}` }));
  await json('training.json', { refused, heldOutMargin: null });
  const change = (id: string) => ({ id, before: 0, after: 1 });
  const margins = moments.map(({ context }) => change(context.id));
  const scores = [...margins, ...own.map(({ id }) => change(id))];
  const measures = { examples: 5, refused, scores };
  await json('measures.json', { measures, replies: null, flagged: margins });
  const step = { step: 1, terms: { loss: 1 }, scenarios: scenarios.map(({ id }) => id) };
  await writeFile(join(folder.path, 'steps.jsonl'), `${JSON.stringify(step)}\n{"step": 2, "ter`);
  await writeFile(join(folder.path, 'delta.safetensors'), 'delta');
  const { number, day, base, parent, inForce, seed, startedAt } = plan;
  await ledger.commit({
    ...{ night: plan.night, number, day, base, parent, inForce, seed, startedAt },
    ...{ config: 'c'.repeat(64), software: {}, data: [], endedAt: startedAt },
    delta: { file: 'delta.safetensors', hash: 'd'.repeat(64), relativeNorm: 0.1, steps: 1 },
    gate: { passed: true, reasons: [] },
  });
  const { status: _, ...example } = night('waiting');
  const summary = {
    ...example,
    flagged: moments.map(({ flagId, context: { source, messages } }, at) => ({
      ...{ flagId, conversationId: source.cluster, direction: messages[0]?.content ?? '' },
      ...{ asked: '', oldReply: '', newReply: '', ...replies[at], isHeldBack: false, does: null },
      lit: { before: [], after: [] },
    })) as typeof example.flagged,
    dreams: {
      ...example.dreams,
      samples: dreams.map(({ id, kind, messages, chosen }) => {
        const turns = [...messages];
        return { id, kind, turns, spans: [], chosen, rejected: null, sampledShare: null };
      }),
    },
  };
  const { path: at } = ledger.folderOf(plan.night);
  await writeJsonAtomic(join(at, files.FILE.summary), summary);
  await writeFileAtomic(join(at, files.FILE.summaryText), summaryMarkdown(summary));
}

/** Paths of all files of the store that hold the word, in name or content. */
async function holding(word: string): Promise<string[]> {
  const all = await readdir(daemon.folder, { recursive: true, withFileTypes: true });
  const paths = all.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
  const held = await Promise.all(
    paths.map(async (path) => path.includes(word) || (await readFile(path)).includes(word)),
  );
  return paths.filter((_, at) => held[at]).map((path) => path.slice(daemon.folder.length + 1));
}

/** Files of the committed night by which each way in leaves words there. */
const LEFT_IN: Partial<Record<Way, string[]>> = {
  trained: ['flagged.json', 'scenarios.jsonl', 'steps.jsonl', 'replies.json', 'summary.md'],
  heldBack: ['flagged.json', 'replies.json', 'measures.json', 'summary.json', 'summary.md'],
  everyday: ['everyday.jsonl', 'training.json', 'measures.json', 'gists.json', 'own.jsonl'],
  gist: ['gists.json', 'dreams.jsonl', 'easy.jsonl', 'scenarios.jsonl', 'summary.json'],
};

describe('deleting a talk', () => {
  it.each(['heldBack', 'everyday', 'gist', 'trained'] as const)(
    'leaves no word, name or flag of it in any file of the store: %s',
    async (way) => {
      const committed = (await ledger.list())[0]?.night ?? '';
      const building = await nights.run();
      const before = await holding(TOKEN[way]);
      const expected = (LEFT_IN[way] ?? []).map(
        (name) => `ledger/${ledger.base}/nights/${committed}/${name}`,
      );
      expect(before).toEqual(expect.arrayContaining([...expected, 'memory.json']));
      expect(before.filter((path) => path.includes(`building/${building}/`))).not.toEqual([]);
      // The list of talks is a cache, and the night under way goes with its talk.
      const ofOthers = async () =>
        (await holding(TOKEN.kept)).filter((path) => !/^catalogue|building/.test(path));
      const kept = await ofOthers();

      await remove(way);
      expect(await holding(TOKEN[way])).toEqual([]);
      expect(await ofOthers()).toEqual(kept);
      expect(await ledger.unfinished()).toEqual([]);
      const reasons = [`${building} was ended: a conversation that it learns from was deleted.`];
      expect(published.at(-1)).toMatchObject({ type: 'night-end', verdict: 'failed', reasons });
      const { isSound, ledgers } = await nights.verify();
      expect(isSound).toBe(true);
      expect(ledgers[0]?.findings.map(({ kind }) => kind)).toContain('data-deleted');
    },
    60_000,
  );

  it('leaves the others’ words readable, and no probe of tokens that nobody can tell apart', async () => {
    const [manifest] = await ledger.list();
    const folder = ledger.folderOf(manifest?.night ?? '');
    const moments = await files.readFlagged(folder);
    expect(moments.map(({ context }) => context.source.cluster)).toEqual([talkId('kept')]);
    expect((await files.readGists(folder)).map(({ gist }) => gist.conversationId)).toEqual([
      talkId('kept'),
    ]);
    expect(await files.readScenarioFile(folder, 'scenarios')).toHaveLength(2);
    expect(await files.readDrafts(folder)).toHaveLength(1);
    const texts = await readdir(folder.path);
    expect(texts).not.toContain('probe.json');
    expect(await readFile(join(folder.path, files.FILE.summaryText), 'utf8')).toContain('almond');
  });

  it('lets a night go on that does not learn from it', async () => {
    const running = await nights.run();
    await talk('unread');
    await remove('unread');
    expect(await holding(TOKEN.unread)).toEqual([]);
    expect(nights.pid).toBeDefined();
    expect(await ledger.unfinished()).toEqual([running]);
  });
});

describe('the texts of a night without a talk', () => {
  it('are those that change and no others, the ones that name others by id first', () => {
    const of = (cluster: string) => ({ id: `s-${cluster}`, source: { cluster } });
    const texts = new Map([
      ['probe.json', '{"sequences":[]}'],
      ['replies.json', '[{"flagId":"f"}]'],
      ['dreams.jsonl', `${JSON.stringify(of('b'))}\n`],
      ['scenarios.jsonl', `${JSON.stringify(of('a'))}\n${JSON.stringify(of('b'))}\n`],
      ['flagged.json', JSON.stringify([{ flagId: 'f', context: of('a') }])],
    ]);
    const { texts: left, hasTrained } = textsWithout({ kind: 'conversation', id: 'a' }, texts);
    expect(hasTrained).toBe(true);
    expect([...left]).toEqual([
      ['replies.json', '[]\n'],
      ['probe.json', null],
      ['scenarios.jsonl', `${JSON.stringify(of('b'))}\n`],
      ['flagged.json', '[]\n'],
    ]);
    expect([...textsWithout({ kind: 'conversation', id: 'c' }, texts).texts]).toEqual([]);
  });

  it('lose both sides of a flag that was crossed, and keep what else its conversation taught', () => {
    const of = (id: string, pair?: string) => ({
      ...{ id, source: { cluster: 'a' } },
      ...(pair !== undefined && { pair: { id: pair, side: 'a' } }),
    });
    const lines = (...values: readonly unknown[]): string =>
      values.map((value) => `${JSON.stringify(value)}\n`).join('');
    const kept = of('flag-g');
    const texts = new Map([
      ['scenarios.jsonl', lines(of('flag-f', 'flag-f'), of('flag-f-twin', 'flag-f'), kept)],
      ['flagged.json', JSON.stringify([{ flagId: 'f', context: of('flag-f') }])],
    ]);
    const { texts: left } = textsWithout({ kind: 'flag', id: 'f' }, texts);
    expect(left.get('scenarios.jsonl')).toBe(lines(kept));
  });

  it('lose what no other text says any more whose it was', () => {
    const of = (cluster: string) => ({ id: `s-${cluster}`, source: { cluster } });
    const sample = (cluster: string) => ({ id: `s-${cluster}`, turns: [{ content: cluster }] });
    const suite = { id: 'suite-1', said: 'How far is it?' };
    const texts = new Map([
      ['replies.json', JSON.stringify([{ flagId: 'f' }, { flagId: 'g' }, suite])],
      ['summary.json', JSON.stringify({ samples: [sample('a'), sample('b'), suite] })],
      ['scenarios.jsonl', `${JSON.stringify(of('b'))}\n`],
      ['flagged.json', JSON.stringify([{ flagId: 'g', context: of('b') }])],
    ]);
    const { texts: left } = textsWithout({ kind: 'conversation', id: 'a' }, texts);
    expect([...left].map(([name, text]) => [name, JSON.parse(text ?? 'null')])).toEqual([
      ['replies.json', [{ flagId: 'g' }, suite]],
      ['summary.json', { samples: [sample('b'), suite] }],
    ]);
  });

  it('are left alone where an earlier deletion emptied them', () => {
    expect([
      ...textsWithout({ kind: 'conversation', id: 'a' }, new Map([['flagged.json', '']])).texts,
    ]).toEqual([]);
  });
});
