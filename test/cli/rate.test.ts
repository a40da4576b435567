import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { momentsIn, registerRate } from '../../src/cli/conversation/rate.ts';
import { openTestDaemon, type TestDaemon } from '../server/open-test-daemon.ts';

let count = 0;
/** A line as Claude Code writes it. */
const line = (type: string, content: unknown, more: object = {}) =>
  JSON.stringify({
    ...{ parentUuid: null, isSidechain: false, cwd: '/home/me/shop', sessionId: 's-1', type },
    ...{ uuid: `u-${++count}`, timestamp: '2026-11-02T14:03:00.000Z' },
    message: { role: type, content },
    ...more,
  });
const text = (words: string) => [{ type: 'text', text: words }];
const result = (content: unknown) => [{ type: 'tool_result', tool_use_id: 't', content }];
const DECLINED =
  "The user doesn't want to proceed with this tool use. To tell you how to proceed, the user said:\nUse the old table.";

const TRANSCRIPT = [
  JSON.stringify({ type: 'summary', summary: 'Indentation', leafUuid: 'x' }),
  line('user', '<command-name>/clear</command-name>', {}),
  line('user', 'Caveat: made by commands', { isMeta: true }),
  line('user', 'Indent with tabs, please. <system-reminder>Be good.</system-reminder>'),
  line('assistant', [{ type: 'thinking', thinking: 'No, spaces.' }]),
  line('assistant', text('I will reformat it.')),
  line('assistant', [{ type: 'tool_use', id: 't', name: 'Edit', input: {} }]),
  line('user', result('done')),
  line('user', result('README: To tell you how to proceed, the user said:\nno.')),
  line('user', '<task-notification>No, stop.</task-notification>'),
  line('assistant', text('Reformatted with two spaces.')),
  line('assistant', text('You ignored me'), { isSidechain: true }),
  line('user', 'No, I said tabs.'),
  line('assistant', text('Tabs it is.')),
  line('user', 'No problem. Now the migration.'),
  line('assistant', text('I make a new table.')),
  line('user', result(DECLINED)),
  line('assistant', text('The old table, then, and I delete the rest.')),
  line('user', text('[Request interrupted by user]')),
  line('user', 'Keep the rest.'),
  'torn {"type":"us',
].join('\n');

describe('the moments of a transcript', () => {
  it('are where the person said no, stopped the agent or told it otherwise', () => {
    const moments = momentsIn(TRANSCRIPT, 5);
    expect(moments.map(({ asked, reply, correction }) => [asked, reply, correction])).toEqual([
      [
        'Indent with tabs, please.',
        'I will reformat it.\n\nReformatted with two spaces.',
        'No, I said tabs.',
      ],
      ['No problem. Now the migration.', 'I make a new table.', 'Use the old table.'],
      ['Use the old table.', 'The old table, then, and I delete the rest.', 'Keep the rest.'],
    ]);
    const [first] = moments;
    expect(first?.conversation).toMatchObject({ id: 'cc-s-1', title: 'Indent with tabs, please.' });
    expect(first?.conversation.messages).toHaveLength(9);
    expect(first?.flag).toMatchObject({ kind: 'missed', reason: 'No, I said tabs.' });
    expect(momentsIn('', 5)).toEqual([]);
  });

  it.each([
    ["That's not what I asked for.", true],
    ['I told you to keep the tests.', true],
    ['Why did you delete it?', true],
    ['Stop. Undo that.', true],
    ['You didn’t run the tests', true],
    ['No worries, go on.', false],
    ['Now add a page for orders.', false],
    ['Notice the colour. Thanks!', false],
    ['Great, commit it.', false],
  ])('a person who says "%s" corrects: %s', (said, isCorrection) => {
    const turns = [line('user', 'Do it.'), line('assistant', text('Done.')), line('user', said)];
    expect(momentsIn(turns.join('\n'), 5)).toHaveLength(isCorrection ? 1 : 0);
  });
});

describe('attune rate', () => {
  let daemon: TestDaemon;
  let folder: string;
  beforeAll(async () => {
    daemon = await openTestDaemon();
    folder = await mkdtemp(join(tmpdir(), 'attune-rate-'));
    await mkdir(join(folder, 'shop'));
    await writeFile(join(folder, 'shop', 's-1.jsonl'), TRANSCRIPT);
  });
  afterAll(async () => {
    await daemon.end();
    await rm(folder, { recursive: true });
  });

  /** As on the command line. */
  async function rate(...words: string[]): Promise<string> {
    const program = new Command().exitOverride();
    registerRate(program);
    let printed = '';
    const write = vi.spyOn(process.stdout, 'write').mockImplementation((piece) => {
      printed += String(piece);
      return true;
    });
    try {
      await program.parseAsync(['node', 'attune', 'rate', ...words, '--url', daemon.url]);
    } finally {
      write.mockRestore();
    }
    return printed;
  }

  it('keeps them as flags once, with the session they are in', async () => {
    expect(await rate(folder, '--all')).toBe(
      'Corrections found: 3, flagged before: 0.\nFlags added: 3.\n',
    );
    expect(daemon.store.conversations.has('cc-s-1')).toBe(true);
    expect(daemon.store.flags.list('cc-s-1').map(({ reason }) => reason)).toEqual([
      'No, I said tabs.',
      'Use the old table.',
      'Keep the rest.',
    ]);
    expect(await rate(folder, '--all')).toContain('flagged before: 3.\nFlags added: 0.');
  });

  it('says which path cannot be read', async () => {
    await expect(rate(join(folder, 'nowhere'))).rejects.toThrow(/nowhere cannot be read: ENOENT/);
  });
});
