import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadVersion, type WeightsVersion } from '../../src/model/versions.ts';
import { readReplies } from '../../src/record/phase-result.ts';
import { readScenarios } from '../../src/scenario/file.ts';
import type { WithEngine } from '../../src/work/night-engine.ts';
import { measureNightReplies, type Spoken } from '../../src/work/replies.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';
import { moment, openSmallNight, type SmallNight } from './small-night.ts';

// A small model dreams, trains or is measured.
vi.setConfig({ testTimeout: 60_000 });

let night: SmallNight;
let candidate: WeightsVersion;
beforeAll(async () => {
  night = await openSmallNight();
  candidate = { ...(await loadVersion(night.model, [])), id: 'after' };
});
afterAll(() => night.close());

/** An engine that says who it is. */
function speaking(): FakeEngine {
  const reply = ({ version = '' }) => night.tokenizer.encode(`This is ${version}.`);
  return new FakeEngine({ version: 'before', windowTokens: 512, vocabularySize: 4096, reply });
}

function replies(engine: FakeEngine, spoken: Partial<Spoken> = {}) {
  const withEngine: WithEngine = (run) => run(engine, 'before');
  const all = { candidate, moments: [], asked: [], ...spoken };
  return measureNightReplies(night, all, { ...night, withEngine });
}

describe('flagged moments', () => {
  it('are answered again by the weights before and after, held-back ones first', async () => {
    const moments = [moment(0), moment(1, { kind: 'good' }), moment(2, { isHeldBack: true })];
    await replies(speaking(), { moments });
    expect(await readReplies(night.folder)).toEqual([
      { flagId: 'flag-2', oldReply: 'This is before.', newReply: 'This is after.' },
      { flagId: 'flag-0', oldReply: 'This is before.', newReply: 'This is after.' },
    ]);
  });

  it('are answered by eight at most, with one seed and as long as a reply may be', async () => {
    const engine = speaking();
    await replies(engine, { moments: Array.from({ length: 12 }, (_, i) => moment(i)) });
    expect(await readReplies(night.folder)).toHaveLength(8);
    expect(new Set(engine.requests.map(({ sampling }) => sampling.seed))).toEqual(new Set([1]));
    expect(new Set(engine.requests.map((one) => one.replyTokensMax))).toEqual(new Set([8]));
  });

  it('are not answered half: a night that is stopped writes nothing of them', async () => {
    const stopped = await openSmallNight();
    try {
      stopped.abort.abort(new Error('stopped'));
      const withEngine: WithEngine = (run) => run(speaking(), 'before');
      const asked = { candidate, moments: [moment(0)], asked: [] };
      const answering = measureNightReplies(stopped, asked, { ...stopped, withEngine });
      await expect(answering).rejects.toThrow('stopped');
      const file = readFile(join(stopped.folder.path, 'replies.json'));
      await expect(file).rejects.toMatchObject({ code: 'ENOENT' });
    } finally {
      await stopped.close();
    }
  });
});

describe('checked replies', () => {
  it('are none where none is asked for', async () => {
    expect(await replies(speaking())).toBeNull();
  });

  it('are those of the weights before, after and of the placebo', async () => {
    const engine = speaking();
    const asked = (await readScenarios(join(night.plan.suiteFolder, 'small.jsonl'))).slice(0, 2);
    const placebo = { ...candidate, id: 'placebo' };
    const change = await replies(engine, { asked, placebo });
    expect(change?.all).toMatchObject({ replies: 2, before: 0, after: 0, deaf: 0 });
    expect(engine.requests.map(({ version }) => version)).toEqual(
      ['before', 'after', 'placebo'].flatMap((version) => [version, version]),
    );
  });
});
