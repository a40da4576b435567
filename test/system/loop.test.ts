// The whole loop, thin and real: say, log, flag, dream and train at night, gate, swap, summary.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { TestClient } from '../server/test-client.ts';
import { flagMoment, type Loop, openLoop } from './open-loop.ts';

// Whole nights are run.
vi.setConfig({ testTimeout: 60_000 });

describe.each([
  ['f32', 'none'],
  ['a base of 4 bits', 4],
] as const)('on %s', (_, quantize) => {
  let loop: Loop;
  beforeAll(async () => {
    loop = await openLoop({ model: { quantize } });
  }, 60_000);
  afterAll(() => loop?.close());

  it('is what was asked for', async () => {
    expect((await loop.engine.describe()).isQuantised).toBe(quantize === 4);
  });

  it('goes from a flagged reply over a night to new weights in the running chat', async () => {
    const { daemon, engine, nights } = loop;
    const client = await TestClient.open(daemon.port);
    await client.hello();
    client.send({ type: 'event-subscribe', topics: ['nights'] });
    await flagMoment(client, { id: '0', direction: 'Book the blue room.' });
    await flagMoment(client, { id: '1', direction: 'Call Mira at nine.' });

    const before = (await engine.describe()).version;
    expect(before).toMatch(/^base-/);
    const night = await nights.run();
    await expect(nights.run()).rejects.toMatchObject({ code: 'night-running' });
    const end = await client.next('night-end', () => true, 150_000);
    await nights.ended();
    // Random weights cannot learn to listen, and the gate says so; a person may go there all the same.
    expect(end).toMatchObject({ nightId: night, verdict: 'refused', version: null });
    expect(end.reasons.join()).toContain('listening: both right on judged pairs');
    expect((await engine.describe()).version).toBe(before);
    const phases = new Set(client.all('night-progress').map(({ phase }) => phase));
    expect([...phases]).toEqual(['gather', 'dream', 'admit', 'train', 'measure']);
    const swap = await nights.approve(night);
    expect(swap).toMatchObject({ from: before, probe: { passes: true } });

    const { reply } = await client.say('talk-0', 'm-after', 'And now?');
    expect(reply.versionRuns.map(([, , version]) => version)).toEqual([swap?.to]);

    const manifest = await nights.ledger.read(night);
    expect(manifest.delta?.steps).toBeGreaterThanOrEqual(2);
    expect(manifest.delta?.relativeNorm).toBeGreaterThan(0);
    expect(nights.ledger.head().inForce).toEqual([night]);
    expect(await nights.verify()).toMatchObject({ isSound: true, ledgers: [{ nights: 1 }] });
    expect(daemon.store.flags.get('flag-0').usedBy).toMatchObject([{ night }]);
    const summary = await readFile(join(nights.ledger.folderOf(night).path, 'summary.md'), 'utf8');
    expect(summary).toContain('Night 1');
    expect(summary).toContain('Of 4 replies that must not become worse, ');
    client.kill();
  }, 200_000);

  it('goes back to the base model', async () => {
    const report = await loop.nights.swapTo([]);
    expect(report.to).toMatch(/^base-/);
    expect((await loop.engine.describe()).version).toBe(report.to);
  });

  it('ends a night without anything to learn, and says so', async () => {
    const { daemon, nights } = loop;
    for (const id of daemon.store.conversations.ids()) await daemon.conversations.delete(id);
    const night = await nights.run();
    await nights.ended();
    const manifest = await nights.ledger.read(night);
    expect(manifest.delta).toBeNull();
    expect(nights.ledger.statusOf(manifest)).toBe('empty');
  }, 60_000);
});
