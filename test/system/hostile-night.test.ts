// What a night meets that it must not give in to: a full disk, another model underneath, a clock
// set back, flags that teach the wrong thing, dreams without an end. Coded errors, and no loss.
import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { dreamtSchema, gatheredSchema } from '../../src/record/phase-result.ts';
import { TestClient } from '../server/test-client.ts';
import { fullDisk } from './full-disk.ts';
import { flagMoment, flagTwo, type Loop, openLoop } from './open-loop.ts';
import { writeSmallModel } from './small-model.ts';

// Whole nights are run.
vi.setConfig({ testTimeout: 60_000 });

let loop: Loop | undefined;
afterEach(async () => {
  await loop?.close();
  loop = undefined;
});

/** What the journal of a night says about one of its phases. */
function phaseOf({ nights }: Loop, night: string, phase: string): unknown {
  const text = readFileSync(join(nights.ledger.folderOf(night).path, 'journal.jsonl'), 'utf8');
  const lines = text.trim().split('\n');
  return lines.map((line) => JSON.parse(line)).find((line) => line.phase === phase)?.result;
}

describe('a model folder that is changed underneath', () => {
  it('ends the night with a code also where only its chat template is another', async () => {
    loop = await openLoop();
    await flagTwo(loop);
    const path = join(loop.modelDir, 'tokenizer_config.json');
    const before = readFileSync(path, 'utf8');
    const { chat_template: template, ...rest } = JSON.parse(before);
    writeFileSync(path, JSON.stringify({ ...rest, chat_template: `{{ '' }}${template}` }));
    await expect(loop.nights.runToEnd()).rejects.toMatchObject({
      facts: { cause: 'model-changed' },
      message: expect.stringContaining('another tokenizer or chat template'),
    });
    writeFileSync(path, before);
    const night = await loop.nights.run();
    await loop.nights.ended();
    expect((await loop.nights.ledger.read(night)).encoding).toMatch(/^[0-9a-f]{64}$/);
  }, 120_000);

  it('ends the night with a code before it trains; put back, the same night goes on', async () => {
    loop = await openLoop();
    await flagTwo(loop);
    const weights = join(loop.modelDir, 'model.safetensors');
    copyFileSync(weights, `${weights}.kept`);
    copyFileSync(join(await writeSmallModel(2), 'model.safetensors'), `${weights}.other`);
    renameSync(`${weights}.other`, weights);
    await expect(loop.nights.runToEnd()).rejects.toMatchObject({
      code: 'night-failed',
      facts: { cause: 'model-changed' },
    });
    expect(await loop.nights.ledger.list()).toEqual([]);
    const [unfinished] = await loop.nights.ledger.unfinished();
    renameSync(`${weights}.kept`, weights);
    expect(await loop.nights.run()).toBe(unfinished);
    await loop.nights.ended();
    expect(await loop.nights.verify()).toMatchObject({ isSound: true, ledgers: [{ nights: 1 }] });
  }, 300_000);
});

describe('a clock that is set back', () => {
  it('leaves the ledger in order, and the next night counts what was said meanwhile', async () => {
    let offset = 0;
    const clock = { ...systemClock, now: () => systemClock.now() + offset };
    loop = await openLoop({ night: { dreamsMax: 2 } }, { clock });
    await flagTwo(loop);
    const first = await loop.nights.run();
    await loop.nights.ended();
    offset = -3 * 24 * 3_600_000;
    const client = await TestClient.open(loop.daemon.port);
    await client.hello();
    await flagMoment(client, { id: '2', direction: 'Open the window.' });
    client.kill();
    const second = await loop.nights.run();
    await loop.nights.ended();
    expect(second > first).toBe(true);
    expect(second.slice(6) < first.slice(6)).toBe(true);
    const list = await loop.nights.ledger.list();
    expect(list.map(({ night }) => night)).toEqual([first, second]);
    expect((await loop.nights.verify()).ledgers[0]?.findings).toEqual([]);
    expect(gatheredSchema.parse(phaseOf(loop, second, 'gather')).flagged).toBe(3);
  }, 300_000);
});

describe('a poisoned night', () => {
  it('is refused: flags that ask for the own idea make no pair right', async () => {
    const ratios = { perplexityRatioParentMax: 1e6, perplexityRatioBaseMax: 1e6 };
    loop = await openLoop({
      night: { dreamsMax: 0 },
      train: { holdsPerStep: 0, epochsMax: 12, klPerStep: 0.05 },
      measure: { pairs: 6, heldReplies: 6 },
      gate: { ...ratios, worseMax: 0.99, heldKlMax: 1e6, pMax: 0.5, placeboPMax: 0.99 },
    });
    const client = await TestClient.open(loop.daemon.port);
    await client.hello();
    for (const [i, name] of ['Gus', 'Hal', 'Ida', 'Jo'].entries()) {
      // The direction names somebody; the flag says that a listening reply would have called Zoe.
      await flagMoment(client, {
        id: String(i),
        direction: `No, call ${name}.`,
        better: 'Calling Zoe.',
      });
    }
    client.kill();
    const before = (await loop.engine.describe()).version;
    const night = await loop.nights.run();
    await loop.nights.ended();
    const manifest = await loop.nights.ledger.read(night);
    expect(manifest.gate?.passed).toBe(false);
    const listening = manifest.gate?.reasons.find(({ rule }) => rule === 'listening');
    expect(listening).toMatchObject({ passes: false });
    expect(loop.nights.ledger.statusOf(manifest)).toBe('refused');
    expect((await loop.engine.describe()).version).toBe(before);
  }, 300_000);
});

describe('dreams without an end', () => {
  it('are cut off at the night’s tokens, and the night goes on with what was written', async () => {
    loop = await openLoop({
      night: { dreamsMax: 100_000, tokensMax: 500 },
      memory: { restMinutes: 0 },
    });
    await flagTwo(loop);
    const night = await loop.nights.run();
    await loop.nights.ended();
    const dreamt = dreamtSchema.parse(phaseOf(loop, night, 'dream'));
    expect(dreamt.stop).toBe('tokens');
    // Those in flight when the budget ends are bounded by what was left of it.
    expect(dreamt.tokens).toBeLessThan(500 + 16 * 96);
    expect((await loop.nights.verify()).isSound).toBe(true);
  }, 300_000);
});

fullDisk(['measure']);
