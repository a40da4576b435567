// `attune status`, `flags`, `search`, `night stop`, `completion`: the built program before a daemon.
import { execFile } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createProgram } from '../../src/cli/command-list.ts';
import { completion } from '../../src/cli/completion.ts';
import { foreignReply } from '../../src/conversation/record.ts';
import { openTestDaemon, type TestDaemon } from '../server/open-test-daemon.ts';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await openTestDaemon({});
  const header = { type: 'conversation', schemaVersion: 1, id: 'talk', at: 1 } as const;
  await daemon.store.conversations.create(
    { ...header, title: 'Rich gardens', origin: 'live', settings: {}, canLearn: true },
    [
      { type: 'message', id: 'm1', at: 2, text: 'Water the fern, please.' },
      foreignReply({ id: 'r1', messageId: 'm1', at: 3, text: 'Have a cactus.' }),
    ],
  );
  const span = { start: 0, end: 14, text: 'Water the fern' };
  await daemon.conversations.addFlag({
    id: 'f1',
    conversationId: 'talk',
    replyId: 'r1',
    kind: 'missed',
    strength: 3,
    userSpan: { messageId: 'm1', span },
    ...{ replySpan: null, betterWords: null, reason: null },
  });
});
afterAll(() => daemon.end());

function attune(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const own = ['dist/cli/main.js', ...args, '--url', daemon.url];
  return new Promise((resolve) => {
    execFile(process.execPath, own, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

describe('the commands that say what there is', { timeout: 120_000 }, () => {
  it('lists flags in the words of the page, and withdrawn ones no more', async () => {
    const { stdout } = await attune('flags');
    expect(stdout).toBe('talk  not heard (strong)  “Water the fern”\n');
    await daemon.conversations.withdrawFlag('f1');
    expect((await attune('flags')).stdout).toBe('Nothing is flagged.\n');
  });

  it('says what there is of daemon, model and nights, and that no night is to be stopped', async () => {
    const { stdout } = await attune('status');
    expect(stdout).toContain(`daemon: ${daemon.url}\nmodel: fake on `);
    expect((await attune('night', 'stop')).stderr).toContain('No night is running.');
  });

  it('finds words of messages and of titles', async () => {
    const found = 'talk  Rich gardens — you: …Water the fern, please.…\n';
    expect((await attune('search', 'the', 'fern')).stdout).toBe(found);
    expect((await attune('search', 'rich gardens')).stdout).toBe(found);
    expect((await attune('search', 'nowhere')).stdout).toBe('Nothing found.\n');
  });
});

describe('attune completion', () => {
  it.each(['bash', 'zsh', 'fish'])(
    'names commands, subcommands and options for %s',
    async (shell) => {
      const script = completion(await createProgram('completion'), shell);
      for (const word of ['status', 'search', 'stop', '--detach', '--json']) {
        expect(script).toContain(word);
      }
    },
  );

  it('completes in a real bash', async () => {
    const script = completion(await createProgram('completion'), 'bash');
    const ask = `${script}\nCOMP_WORDS=(attune night st); COMP_CWORD=2; _attune; echo "\${COMPREPLY[*]}"`;
    const said = await new Promise((resolve, reject) => {
      execFile('bash', ['-c', ask], (error, stdout) => (error ? reject(error) : resolve(stdout)));
    });
    expect(said).toBe('stop\n');
  });
});
