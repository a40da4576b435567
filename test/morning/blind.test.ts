// Blind pairs on a real ledger: what is shown, what is kept, and when a night is vetoed.
import { appendFile, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { writeJsonAtomic } from '../../src/base/atomic-file.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { readSummary } from '../../src/morning/list.ts';
import type { NightService } from '../../src/night/service.ts';
import { BlindView, type NightSummary } from '../../src/protocol/summary.ts';
import { night as example } from '../web/night-example.ts';
import { type Morning, NIGHT, openMorning, postJson } from './committed-night.ts';

// It takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let morning: Morning;
let ledger: Ledger;
let nights: NightService;

async function commitNight(flagged: NightSummary['flagged'], passed = true): Promise<void> {
  await morning.commit({ passed });
  const { status: _, ...summary } = example('waiting');
  const path = join(morning.ledger.folderOf(NIGHT).path, 'summary.json');
  await writeJsonAtomic(path, { ...summary, nightId: NIGHT, flagged });
}

const moments = example('waiting').flagged;

/** Picks the old or the new reply of the pair that is shown next. */
async function prefer(wanted: 'old' | 'new' | 'same', view: BlindView): Promise<BlindView> {
  const pair = view.pairs[0];
  if (pair === undefined) throw new Error('no pair is left');
  const moment = moments.find((one) => one.flagId === pair.flagId);
  const reply = wanted === 'old' ? moment?.oldReply : moment?.newReply;
  const choice = wanted === 'same' ? 'same' : pair.a === reply ? 'a' : 'b';
  return nights.answerBlind(NIGHT, { flagId: pair.flagId, choice });
}

async function preferAll(...wishes: ('old' | 'new' | 'same')[]): Promise<BlindView> {
  let view = await nights.blind(NIGHT);
  for (const wish of wishes) view = await prefer(wish, view);
  return view;
}

const statusNow = async () => ledger.statusOf(await ledger.read(NIGHT));

beforeEach(async () => {
  morning = await openMorning();
  ({ ledger, nights } = morning);
});
afterEach(() => morning.end());

describe('blind pairs', () => {
  it('are those answered differently, and do not say which is which', async () => {
    const same = { ...(moments[0] as (typeof moments)[0]), flagId: 'flag-0', newReply: 'x' };
    await commitNight([{ ...same, oldReply: 'x ' }, ...moments]);
    const { pairs, tally, isVeto } = await nights.blind(NIGHT);
    expect(pairs.map(({ flagId }) => flagId)).toEqual(['flag-1', 'flag-2', 'flag-3']);
    expect([tally, isVeto]).toEqual([null, false]);
    expect(Object.keys(pairs[0] ?? {})).toEqual(['flagId', 'direction', 'asked', 'a', 'b']);
    expect((await nights.blind(NIGHT)).pairs).toEqual(pairs);
  });

  it('are three at the most, the old reply now on one side, now on the other', async () => {
    const many = Array.from({ length: 40 }, (_, i) => ({
      ...(moments[0] as (typeof moments)[0]),
      flagId: `flag-${i}`,
    }));
    await commitNight(many);
    expect((await nights.blind(NIGHT)).pairs).toHaveLength(3);
    const sides = new Set<boolean>();
    for (const flagged of many) {
      const { status: _, ...summary } = example('waiting');
      const path = join(ledger.folderOf(NIGHT).path, 'summary.json');
      await writeJsonAtomic(path, { ...summary, nightId: NIGHT, flagged: [flagged] });
      const [pair] = (await nights.blind(NIGHT)).pairs;
      sides.add(pair?.a === flagged.oldReply);
    }
    expect(sides.size).toBe(2);
  });

  it('reject a waiting night when the old replies were preferred in most', async () => {
    await commitNight(moments);
    const view = await preferAll('old', 'new', 'old');
    expect(view).toEqual({ pairs: [], tally: { old: 2, new: 1, same: 0 }, isVeto: true });
    expect(await statusNow()).toBe('rejected');
    expect(ledger.head().nights[NIGHT]?.why).toBe('the old replies were preferred blind');
    expect((await readSummary(ledger, NIGHT)).status).toBe('rejected');
  });

  it.each([
    ['one preference only', ['old', 'same', 'same']],
    ['as many new as old', ['new', 'old', 'same']],
    ['new replies preferred', ['new', 'new', 'old']],
  ] as const)('leave a night waiting after %s', async (_, wishes) => {
    await commitNight(moments);
    expect((await preferAll(...wishes)).isVeto).toBe(false);
    expect(await statusNow()).toBe('waiting');
  });

  it('leave a night in force to the person, and say that it should be taken back', async () => {
    await commitNight(moments);
    const at = new Date(0).toISOString();
    const status = { status: 'in-force' as const, at, why: 'the gate passed' };
    await ledger.setHead({ inForce: [NIGHT], nights: { [NIGHT]: status } });
    expect((await preferAll('old', 'old', 'same')).isVeto).toBe(true);
    expect(await statusNow()).toBe('in-force');
  });

  it('count the first answer, keep no words, and are there after a restart', async () => {
    await commitNight(moments);
    const first = await nights.blind(NIGHT);
    await prefer('new', first);
    await prefer('old', first);
    const path = join(ledger.folder.path, 'blind.jsonl');
    const lines = (await readFile(path, 'utf8')).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { schema: 1, at: expect.any(Number), night: NIGHT, flagId: 'flag-1', prefers: 'new' },
    ]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await appendFile(path, '{"schema":1,"night":"n00');
    nights = morning.restarted();
    const again = await nights.blind(NIGHT);
    expect(again.pairs.map(({ flagId }) => flagId)).toEqual(['flag-2', 'flag-3']);
  });

  it('keep one record of answers that come at the same time', async () => {
    await commitNight(moments);
    const answer = { flagId: 'flag-2', choice: 'a' } as const;
    await Promise.all(Array.from({ length: 8 }, () => nights.answerBlind(NIGHT, answer)));
    const text = await readFile(join(ledger.folder.path, 'blind.jsonl'), 'utf8');
    expect(text.trim().split('\n')).toHaveLength(1);
  });

  it('come and go over HTTP, where a choice that is none is refused', async () => {
    await commitNight(moments);
    const daemon = await morning.openDaemon();
    const url = `${daemon.url}/api/nights/${NIGHT}/blind`;
    const answer = (body: object) => postJson(url, body);
    expect(BlindView.parse(await (await fetch(url)).json()).pairs).toHaveLength(3);
    expect((await answer({ flagId: 'flag-1', choice: 'old' })).status).toBe(400);
    expect((await answer({ flagId: 'flag-9', choice: 'a' })).status).toBe(404);
    const given = await answer({ flagId: 'flag-1', choice: 'same' });
    expect(BlindView.parse(await given.json()).pairs).toHaveLength(2);
    await daemon.end();
  });

  it('refuse a flag that is not among them, and a night that is not there', async () => {
    await commitNight(moments);
    const answer = { flagId: 'flag-9', choice: 'a' } as const;
    await expect(nights.answerBlind(NIGHT, answer)).rejects.toMatchObject({
      code: 'night-unknown',
      facts: { flagId: 'flag-9' },
    });
    await expect(nights.blind('n0009-2026-03-03')).rejects.toMatchObject({ code: 'night-unknown' });
  });
});
