import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { registerExport } from '../../src/cli/conversation/export.ts';
import { registerImport } from '../../src/cli/conversation/import.ts';
import { printConfig } from '../../src/cli/print-config.ts';
import type { Route } from '../../src/server/route.ts';
import {
  openTestDaemon,
  type TestDaemon,
  type TestDaemonOptions,
} from '../server/open-test-daemon.ts';

let daemon: TestDaemon;
let folder: string;
let printed: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-export-'));
});

afterEach(async () => {
  await daemon?.end();
  await rm(folder, { recursive: true });
});

/** As on the command line. */
async function attune(...words: string[]): Promise<string> {
  const program = new Command().exitOverride();
  for (const register of [registerExport, registerImport]) register(program);
  printed = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += typeof text === 'string' ? text : Buffer.from(text).toString('utf8');
    return true;
  });
  try {
    await program.parseAsync(['node', 'attune', ...words, '--url', daemon.url]);
  } finally {
    write.mockRestore();
  }
  return printed;
}

async function open(options: TestDaemonOptions = {}): Promise<void> {
  daemon = await openTestDaemon(options);
}

describe('the commands for import and export', () => {
  it('import from Open WebUI and export as JSONL, into a new file of the owner’s', async () => {
    await open();
    const chats = join(folder, 'chats.json');
    const messages = [
      { id: 'u', role: 'user', content: 'imported words' },
      { id: 'a', role: 'assistant', content: 'answer', annotation: { rating: -1 } },
    ];
    await writeFile(chats, JSON.stringify([{ id: 'one', title: 'T', chat: { messages } }]));
    expect(await attune('import', 'open-webui', chats)).toContain(
      'Conversations imported: 1, already stored: 0. Messages added: 2',
    );
    expect(await attune('import', 'open-webui', chats)).toContain('imported: 0, already stored: 1');
    await expect(attune('import', 'other', chats)).rejects.toThrow('Cannot import from "other"');
    const target = join(folder, 'out.jsonl');
    await attune('export', '--to', target);
    const lines = (await readFile(target, 'utf8')).trim().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { type: string }).type)).toEqual([
      'conversation',
      'message',
      'reply',
      'flag',
    ]);
    expect((await stat(target)).mode & 0o077).toBe(0);
    await expect(attune('export', '--to', target)).rejects.toThrow('exists already');
    expect(await attune('export', '--conversation', 'owui-one')).toContain('imported words');
    await expect(attune('export', '--conversation', 'none')).rejects.toThrow(
      'Conversation none was not found',
    );
  });

  it('take an export back as it was, with what was replaced, thought, excluded and withdrawn', async () => {
    await open();
    const { conversations } = daemon;
    const client = await daemon.connect();
    const { reply } = await client.say('a', 'm1', 'A table for two.');
    const answer = await daemon.chat.regenerate({ conversationId: 'a', replyId: 'again' });
    if ('ended' in answer) await answer.ended;
    const span = { start: 10, end: 12, text: 'A ' };
    const rest = { kind: 'missed', strength: 3, reason: 'why', userSpan: null } as const;
    for (const [id, betterWords] of Object.entries({ f1: 'better', f2: 'withdrawn' })) {
      const draft = { id, conversationId: 'a', replyId: reply.id, betterWords };
      await conversations.addFlag({ ...rest, ...draft, replySpan: span });
    }
    await conversations.withdrawFlag('f2');
    await client.say('b', 'm1', 'A secret.');
    await conversations.change('b', {
      canLearn: false,
      title: 'Named',
      settings: { systemPrompt: 'X' },
    });
    const file = join(folder, 'all.jsonl');
    await attune('export', '--to', file);
    expect(await attune('import', 'attune', file)).toContain('imported: 0, already stored: 2');
    for (const id of ['a', 'b']) await conversations.delete(id);
    expect(await attune('import', 'attune', file)).toContain(
      'imported: 2, already stored: 0. Messages added: 5, flags: 2',
    );
    const again = join(folder, 'again.jsonl');
    await attune('export', '--to', again);
    const linesOf = async (path: string) =>
      (await readFile(path, 'utf8')).split('\n', 11).map((line) => JSON.parse(line || '{}'));
    expect(await linesOf(again)).toEqual(await linesOf(file));
    expect(daemon.store.conversations.summary('b').canLearn).toBe(false);
  });

  it('skip what is damaged of an export, and name its line', async () => {
    await open();
    const client = await daemon.connect();
    for (const id of ['a', 'b', 'c']) await client.say(id, 'm1', 'hello');
    const file = join(folder, 'all.jsonl');
    await attune('export', '--to', file);
    for (const id of ['a', 'b', 'c']) await daemon.conversations.delete(id);
    const lines = (await readFile(file, 'utf8')).split('\n');
    lines[4] = (lines[4] ?? '').slice(0, 40);
    await writeFile(file, lines.join('\n'));
    const told = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    expect(await attune('import', 'attune', file)).toContain('imported: 2, already stored: 0');
    expect(told.mock.calls.join()).toContain('line 4: ');
    told.mockRestore();
    expect(process.exitCode).toBe(1);
    process.exitCode = undefined;
    expect(daemon.store.conversations.ids().sort()).toEqual(['a', 'c']);
    await expect(attune('import', 'attune', join(folder, 'none'))).rejects.toMatchObject({
      code: 'message-invalid',
    });
  });

  it('say of a file that is no export what is wrong with it', async () => {
    await open();
    const file = join(folder, 'chats.json');
    for (const text of ['', 'not JSON', '\xff']) {
      await writeFile(file, text, 'latin1');
      await expect(attune('import', 'open-webui', file)).rejects.toMatchObject({
        code: 'message-invalid',
      });
    }
  });

  it('leave no half of a file where the daemon ends before its answer does', async () => {
    const routes: Route[] = [
      {
        ...{ method: 'GET', pattern: '/api/export' },
        async handle({ response }) {
          response.writeHead(200);
          response.write('{"type":"conversation"}\n');
          await new Promise((resolve) => setTimeout(resolve, 50));
          response.destroy();
        },
      },
    ];
    await open({ routes });
    const target = join(folder, 'out.jsonl');
    await expect(attune('export', '--to', target)).rejects.toMatchObject({
      code: 'daemon-unreachable',
    });
    await expect(attune('export')).rejects.toMatchObject({ code: 'daemon-unreachable' });
    expect(await readdir(folder)).toEqual([]);
  });

  it('print the configuration in force with secrets masked', async () => {
    const environment = { ATTUNE_TOKEN: 'very-secret', ATTUNE_PORT: '5000' };
    const text = await printConfig({ set: ['chat.replyTokensMax=7'] }, environment);
    expect(text).toContain('port: 5000');
    expect(text).toContain('replyTokensMax: 7');
    expect(text).not.toContain('very-secret');
    expect(text).toMatch(/port: 5000 # ATTUNE_PORT\n/);
    expect(text).toMatch(/replyTokensMax: 7 # --set chat\.replyTokensMax\n/);
    expect(text).toMatch(/level: info # file\n/);
    expect(text).toMatch(/checkpointSteps: 10\n/);
    // The companion's generation_config.json says 0.9, and nothing of top k.
    expect(text).toMatch(/topP: 0\.9 # the model\n/);
    expect(text).toMatch(/topK: 40\n/);
    const json = JSON.parse(await printConfig({ json: true }, environment));
    expect(json.server.port).toBe(5000);
    expect(json.chat.sampling.topP).toBe(0.9);
    await expect(printConfig({ set: ['chat.nothing=1'] }, {})).rejects.toThrow('not known');
  });
});
