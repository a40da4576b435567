// `attune night review|drop|edit|blind` against a daemon whose nights are made up.
import { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { registerNight } from '../../src/cli/night/night-command.ts';
import { type ReviewRequest, ReviewView } from '../../src/protocol/summary.ts';
import { type Route, sendJson } from '../../src/server/route.ts';
import { openTestDaemon, type TestDaemon } from '../server/open-test-daemon.ts';

const NIGHT = 'n0003-2026-03-03';

const dream = (number: number, pairId: string | null) => ({
  number,
  id: `dream-${number}`,
  kind: pairId === null ? 'invite' : 'listen',
  turns: [{ role: 'user', content: `Water plant ${number}.\u001b[2J` }],
  spans: [],
  chosen: `I water plant ${number}.`,
  rejected: 'Plants like music.',
  sampledShare: 0.4,
  pairId,
  isDropped: false,
  isReworded: false,
});

let daemon: TestDaemon;
let view: ReviewView;
let asked: ReviewRequest[];

beforeEach(async () => {
  const dreams = [dream(1, null), dream(2, 'p'), dream(3, 'p')];
  view = ReviewView.parse({ nightId: NIGHT, canChange: true, dreams, changes: 0 });
  asked = [];
  const routes: Route[] = [
    {
      method: 'GET',
      pattern: '/api/nights/:id/review',
      handle: ({ response }) => sendJson(response, view),
    },
    {
      method: 'POST',
      pattern: '/api/nights/:id/review',
      async handle({ request, response }) {
        let body = '';
        for await (const piece of request) body += String(piece);
        asked.push(JSON.parse(body));
        view = { ...view, changes: asked.length };
        sendJson(response, view);
      },
    },
    {
      method: 'GET',
      pattern: '/api/nights/:id/blind',
      handle: ({ response }) =>
        sendJson(response, { pairs: [], tally: { old: 2, new: 1, same: 0 }, isVeto: true }),
    },
  ];
  daemon = await openTestDaemon({ routes });
});
afterEach(() => daemon.end());

async function attune(...words: string[]): Promise<string> {
  const program = new Command().exitOverride();
  registerNight(program);
  let printed = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
  try {
    await program.parseAsync(['node', 'attune', 'night', ...words, '--url', daemon.url]);
  } finally {
    write.mockRestore();
  }
  return printed;
}

describe('attune night', () => {
  it('lists dreams with both replies, numbered, and harmless to a terminal', async () => {
    const printed = await attune('review', NIGHT);
    expect(printed).toContain('   1  invite');
    expect(printed).toContain('listen  (one of a pair)');
    expect(printed).toContain('+ I water plant 2.');
    expect(printed).toContain('− Plants like music.');
    expect(printed).not.toContain('\u001b');
    expect(printed).toContain(`attune night drop ${NIGHT}`);
  });

  it('drops by number, takes in again, rewords, and says how to train again', async () => {
    expect(await attune('drop', NIGHT, '1', 'dream-2')).toContain(`attune night retrain ${NIGHT}`);
    await attune('drop', NIGHT, '1', '--undo');
    await attune('edit', NIGHT, '3', 'Done,', 'it', 'has', 'water.');
    await attune('edit', NIGHT, '3');
    expect(asked).toEqual([
      { dreamId: 'dream-1', isDropped: true },
      { dreamId: 'dream-2', isDropped: true },
      { dreamId: 'dream-1', isDropped: false },
      { dreamId: 'dream-3', chosen: 'Done, it has water.' },
      { dreamId: 'dream-3', chosen: null },
    ]);
  });

  it('changes nothing at all when one of the numbers is none', async () => {
    await expect(attune('drop', NIGHT, '1', '9')).rejects.toMatchObject({ code: 'night-unknown' });
    expect(asked).toEqual([]);
  });

  it('says what the blind answers came to', async () => {
    const printed = await attune('blind', NIGHT);
    expect(printed).toContain('the new reply 1 times, the old one 2 times');
    expect(printed).toContain('should not be used');
  });
});
