import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Engine } from '../../src/engine/engine.ts';
import { createEngine } from '../../src/engine/in-process-engine.ts';
import {
  type ChangedReply,
  checkDrafts,
  draftReplies,
  finishReplies,
  type Question,
  replyChange,
} from '../../src/measure/reply-change.ts';
import { writeDelta } from '../../src/model/delta.ts';
import { GREEDY } from '../../src/protocol/sampling.ts';
import { createOnnxExecutor } from '../../src/runtime/onnx.ts';
import {
  nudged,
  openTinyReading,
  renderer,
  type TinyReading,
  wordScenario,
} from '../reading/tiny-reading.ts';

// A small model is opened, or many pairs are read.
vi.setConfig({ testTimeout: 60_000 });

const STOP = [2];
/** So small that some replies stay. */
const NUDGE = 0.005;
const decoder = { decode: (ids: readonly number[]) => ids.join(' ') };
const question = (index: number, changes: Partial<Question> = {}): Question => ({
  scenario: wordScenario(index),
  kind: 'listen',
  isHold: true,
  judge: (reply) => ({ rank: reply === '' ? 0 : 1, reason: 'said something' }),
  ...changes,
});
const questions = Array.from({ length: 8 }, (_, i) => question(i));

describe('replies decoded with a draft', () => {
  let tiny: TinyReading;
  let engine: Engine;
  let folder: string;
  const replyTokensMax = 12;
  const options = (version: string) => ({ engine, version, stopIds: STOP, replyTokensMax });
  beforeAll(async () => {
    tiny = await openTinyReading();
    folder = await mkdtemp(join(tmpdir(), 'attune-draft-'));
    const tensors = Object.fromEntries(
      Object.entries(nudged(tiny.base, 'night', NUDGE)).map(([name, { data, shape }]) => {
        const base = tiny.base[name]?.data as Float32Array;
        const moved = Float32Array.from(data, (value, i) => value - (base[i] as number));
        return [name, { shape, data: moved }];
      }),
    );
    const delta = join(folder, 'delta.safetensors');
    await writeDelta(delta, { baseHash: tiny.model.baseHash, tensors });
    engine = await createEngine({
      modelDir: tiny.model.dir,
      cacheDir: folder,
      executor: await createOnnxExecutor({ device: 'cpu', threads: 1 }),
      version: { id: 'before', deltas: [] },
    });
    await engine.loadVersion({ id: 'after', deltas: [delta] });
  });
  afterAll(async () => {
    await engine.close();
    await tiny.close();
    await rm(folder, { recursive: true });
  });

  const drafted = () =>
    draftReplies(questions, renderer, { ...options('before'), windowTokens: 64 });

  it('are those of plain greedy decoding under the weights after', async () => {
    const after = nudged(tiny.base, 'night', NUDGE);
    const checked = await checkDrafts(await drafted(), after, { ...tiny, stopIds: STOP });
    expect(new Set(checked.map(({ kept }) => kept === replyTokensMax)).size).toBe(2);
    const changed = await finishReplies(checked, decoder, options('after'));
    for (const [i, reply] of changed.entries()) {
      const { messages } = questions[i]?.scenario ?? { messages: [] };
      const { ids } = renderer.renderChat(messages, { addGenerationPrompt: true });
      const plain = await engine.generate(
        {
          ...{ ids, stopIds: STOP, replyTokensMax, version: 'after' },
          sampling: { ...GREEDY, seed: 0 },
        },
        () => undefined,
      );
      expect(reply.after.reply).toBe(decoder.decode(plain.ids));
      expect(reply.isSame).toBe(reply.after.reply === reply.before.reply);
      expect(reply.kl).toBeGreaterThan(0);
    }
  });

  it('cost no decoding, move nothing and cannot be worse where the weights are the same', async () => {
    const checked = await checkDrafts(await drafted(), tiny.base, { ...tiny, stopIds: STOP });
    const never = {
      generate: () => {
        throw new Error('decoded again');
      },
    };
    const changed = await finishReplies(checked, decoder, { ...options('before'), engine: never });
    expect(changed.every(({ isSame }) => isSame)).toBe(true);
    expect(Math.max(...changed.map(({ kl }) => kl))).toBeLessThan(1e-4);
    const { holds } = replyChange(changed, { resamples: 200 });
    expect(holds).toMatchObject({ replies: 8, same: 8, won: 0, lost: 0 });
  });

  it('are none for a question that leaves no room in the window', async () => {
    const tight = { ...options('before'), windowTokens: 20 };
    expect(await draftReplies(questions, renderer, tight)).toEqual([]);
  });
});

describe('replies that changed', () => {
  const changed = (
    index: number,
    [before, after]: readonly [-1 | 0 | 1, -1 | 0 | 1],
    more: Partial<Question> = {},
  ): ChangedReply => {
    const said = (rank: -1 | 0 | 1) => ({ rank, reason: 'ranked', reply: `reply ${rank}` });
    const isSame = before === after;
    const kl = isSame ? 0 : 0.2;
    return {
      question: question(index, more),
      before: said(before),
      after: said(after),
      isSame,
      kl,
    };
  };
  const many = (count: number, ranks: readonly [-1 | 0 | 1, -1 | 0 | 1]) =>
    Array.from({ length: count }, (_, i) => changed(i, ranks));

  it('are worse when they fall from right to neither, or from neither to the opposite', () => {
    const replies = [...many(50, [1, 1]), changed(60, [1, 0]), changed(61, [0, -1])];
    const { holds } = replyChange([...replies, changed(62, [-1, 0])], { resamples: 300 });
    expect(holds).toMatchObject({ replies: 53, same: 50, won: 1, lost: 2 });
    expect(holds.lossBound).toBeGreaterThan(1 / 53);
  });

  it.each([
    [40, 0, false],
    [96, 0, true],
    [96, 8, false],
  ])('of %i with %i worse leave a bound within 5 points: %s', (count, worse, isWithin) => {
    const replies = [...many(count - worse, [1, 1]), ...many(worse, [1, 0])];
    const { lossBound } = replyChange(replies, { resamples: 300 }).holds;
    expect(lossBound <= 0.05).toBe(isWithin);
  });

  it('stand beside the holds where they are none, with samples of no person', () => {
    const own = wordScenario(3, { source: { origin: 'log', cluster: 'talk', domain: 'talk' } });
    const { holds, kinds, samples } = replyChange(
      [
        changed(1, [0, 1], { isHold: false }),
        changed(2, [1, 0], { kind: 'accepted' }),
        changed(3, [1, 0], { kind: 'everyday', scenario: own }),
      ],
      { resamples: 200 },
    );
    expect(holds.replies).toBe(2);
    expect(kinds.map(({ kind, isHold, replies }) => [kind, isHold, replies])).toEqual([
      ['listen', false, 1],
      ['accepted', true, 1],
      ['everyday', true, 1],
    ]);
    expect(samples.map(({ kind }) => kind)).toEqual(['listen', 'accepted']);
    expect(samples[0]).toMatchObject({
      before: { reply: 'reply 0', passes: false },
      after: { reply: 'reply 1', passes: true },
    });
  });
});
