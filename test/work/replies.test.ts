import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { answersAgain, toAnswerAgain } from '../../src/work/replies.ts';
import { FakeEngine } from '../fakes/fake-engine.ts';
import { moment, openSmallNight, type SmallNight } from './small-night.ts';

// A small model is opened.
vi.setConfig({ testTimeout: 60_000 });

let night: SmallNight;
beforeAll(async () => {
  night = await openSmallNight();
});
afterAll(() => night.close());

/** An engine that says who it is. */
function speaking(): FakeEngine {
  const reply = ({ version = '' }) => night.tokenizer.encode(`This is ${version}.`);
  return new FakeEngine({ version: 'before', windowTokens: 512, vocabularySize: 4096, reply });
}

describe('flagged moments', () => {
  it('that were missed are answered again, held-back ones first, eight at most', () => {
    const moments = [moment(0), moment(1, { kind: 'good' }), moment(2, { isHeldBack: true })];
    expect(toAnswerAgain(moments).map(({ flagId }) => flagId)).toEqual(['flag-2', 'flag-0']);
    expect(toAnswerAgain(Array.from({ length: 12 }, (_, i) => moment(i)))).toHaveLength(8);
  });

  it('are answered by the weights that are asked, with one seed, as long as a reply may be', async () => {
    const engine = speaking();
    const tools = { ...night, engine, version: 'before' };
    const answers = await answersAgain([moment(0), moment(1)], night, tools);
    expect(answers).toEqual(['This is before.', 'This is before.']);
    expect(new Set(engine.requests.map(({ sampling }) => sampling.seed))).toEqual(new Set([1]));
    expect(new Set(engine.requests.map((one) => one.replyTokensMax))).toEqual(new Set([8]));
  });

  it('are not answered half: a night that is stopped has none of them', async () => {
    const stopped = await openSmallNight();
    try {
      stopped.abort.abort(new Error('stopped'));
      const tools = { ...stopped, engine: speaking(), version: 'before' };
      await expect(answersAgain([moment(0)], stopped, tools)).rejects.toThrow('stopped');
    } finally {
      await stopped.close();
    }
  });
});
