import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { installationFolder } from '../../src/config/load.ts';
import { writeScenarios } from '../../src/record/files.ts';
import type { Scenario } from '../../src/scenario/scenario.ts';
import {
  type Judges,
  judgeTexts,
  readJudges,
  withoutCopies,
  wordsOf,
} from '../../src/work/judges.ts';
import { everydayTurn, openSmallNight, type SmallNight, talksThat } from './small-night.ts';

// A small model is opened, or many pairs are read.
vi.setConfig({ testTimeout: 60_000 });

const SUITES = join(installationFolder, 'suites');
const measured = new Set(talksThat(true, 4));
let night: SmallNight;
beforeAll(async () => {
  const counts = { pairs: 40, heldReplies: 60, everydayTurns: 9 };
  night = await openSmallNight({ measure: counts });
  const turns = [...measured, ...talksThat(false, 2)].map((talk, i) => everydayTurn(i, talk));
  await writeScenarios(night.folder, 'everyday', turns);
});
afterAll(() => night.close());

const judges = (plan: Partial<SmallNight['plan']>) =>
  readJudges({ ...night, plan: { ...night.plan, ...plan } });

describe('what judges a model that reads open language', () => {
  const open = { suiteFolder: join(SUITES, 'open'), sceneFolder: join(SUITES, 'listen') };

  let read: Judges;
  beforeAll(async () => {
    read = await judges(open);
  }, 60_000);

  it('are scenes of the listening test, balanced over distance and domain', () => {
    const { pairs } = read;
    expect(pairs).toHaveLength(40);
    for (const distance of ['0', '1', '2', '4']) {
      expect(pairs.filter((pair) => pair.distance === distance)).toHaveLength(10);
    }
    expect(new Set(pairs.map(({ cluster }) => cluster)).size).toBeGreaterThan(8);
    for (const { sides } of pairs) {
      expect(sides[0].right).toEqual(sides[1].wrong);
      expect(sides[0].right).toHaveLength(3);
      for (const { scenario } of sides) {
        const features = scenario.spans.map(({ feature }) => feature);
        expect(features).toContain('direction');
        expect(features).toContain('own-idea');
      }
    }
  });

  it('are replies to its twins and to the person’s everyday turns that measure', () => {
    const { questions, everyday } = read;
    const held = questions.filter(({ isHold }) => isHold);
    expect(held).toHaveLength(60);
    const kinds = new Set(held.map(({ kind }) => kind));
    expect(kinds).toEqual(
      new Set(['accepted', 'asked-again', 'push-back', 'feelings', 'absent', 'everyday']),
    );
    const own = held.filter(({ kind }) => kind === 'everyday');
    expect(new Set(own.map(({ scenario }) => scenario.source.cluster))).toEqual(measured);
    expect(everyday).toHaveLength(9);
    expect(questions.filter(({ kind }) => kind === 'listen')).toHaveLength(16);
  });

  it('are left out where a lesson nearly copies them', () => {
    const [pair] = read.pairs;
    const lesson = wordsOf({ ...(pair?.sides[1].scenario as Scenario), chosen: '' });
    const left = withoutCopies(read, [lesson], 0.5);
    expect(left.pairs.map(({ id }) => id)).not.toContain(pair?.id);
    expect(left.pairs.length).toBeGreaterThan(30);
    expect(judgeTexts(read)).toContain(lesson);
    expect(judgeTexts(left)).not.toContain(lesson);
  });

  it('rank a reply by the rules of the listening test', () => {
    const { questions, pairs } = read;
    const listen = questions.find(({ kind }) => kind === 'listen');
    const side = pairs[0]?.sides[0];
    expect(listen?.scenario.id).toBe(side?.scenario.id);
    const tail = 'should gather pots, sharp knives and a broad wooden spoon beforehand.';
    expect(listen?.judge(`${side?.right[0]} ${tail}`).rank).toBe(1);
    expect(listen?.judge(`${side?.wrong[0]} ${tail}`).rank).toBe(-1);
    expect(listen?.judge('').rank).toBe(0);
  });
});

describe('what judges the companion', () => {
  const companion = { suiteFolder: join(SUITES, 'companion') };

  it('are the crossed pairs of its suite, both of whose sides listen', async () => {
    const { pairs } = await judges(companion);
    expect(pairs).toHaveLength(40);
    for (const { sides } of pairs) {
      expect(sides.map(({ scenario }) => scenario.kind)).toEqual(['listen', 'listen']);
      expect(sides[0].right).toEqual(sides[1].wrong);
    }
  });

  it('are the same every night, and replies of each other kind', async () => {
    const [once, again] = [await judges(companion), await judges(companion)];
    expect(again.pairs.map(({ id }) => id)).toEqual(once.pairs.map(({ id }) => id));
    const held = once.questions.filter(({ isHold }) => isHold);
    expect(new Set(held.map(({ kind }) => kind))).toEqual(
      new Set([
        ...['push-back', 'invite', 'undercurrent', 'compressed', 'longing', 'hostile'],
        ...['ordinary', 'everyday'],
      ]),
    );
    const [reply] = held.filter(({ kind }) => kind === 'push-back');
    expect(reply?.judge(reply.scenario.chosen).rank).toBe(1);
    expect(reply?.judge('').rank).toBe(0);
  });
});
