import { appendFileSync, chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { historyPath, openLineHistory } from '../../src/cli/chat/line-history.ts';
import { openTerminal } from '../../src/cli/chat/terminal.ts';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attune-history-'));
  path = join(folder, 'state', 'attune', 'chat-history');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const kept = (): string => readFileSync(path, 'utf8');
const modeOf = (): number => statSync(path).mode & 0o777;

describe('the lines of the terminal chat', () => {
  it('lie in the state folder of the person', () => {
    expect(historyPath({ XDG_STATE_HOME: '/state' })).toBe('/state/attune/chat-history');
    expect(historyPath({})).toMatch(/\.local\/state\/attune\/chat-history$/);
  });

  it('are there in the next session, newest first, at most 500 of them', () => {
    const first = openLineHistory(path);
    expect(first.lines).toEqual([]);
    for (let at = 0; at < 700; at++) first.add(`line ${at}`, 'talk-1');
    first.add('  ', 'talk-1');
    first.add('x'.repeat(4001), 'talk-1');
    const { lines } = openLineHistory(path);
    expect(lines).toHaveLength(500);
    expect([lines[0], lines.at(-1)]).toEqual(['line 699', 'line 200']);
    expect(kept().split('\n')).toHaveLength(501);
  });

  it('are nobody else’s to read, also in a file that was', () => {
    openLineHistory(path).add('mine', 'talk-1');
    expect(modeOf()).toBe(0o600);
    chmodSync(path, 0o644);
    expect(openLineHistory(path).lines).toEqual(['mine']);
    expect(modeOf()).toBe(0o600);
  });

  it('of two terminals are all kept', () => {
    const [one, other] = [openLineHistory(path), openLineHistory(path)];
    one.add('from one', 'talk-1');
    other.add('from the other', 'talk-2');
    expect(kept()).toBe('talk-1\tfrom one\ntalk-2\tfrom the other\n');
  });

  it('of a deleted conversation are gone, and those of which nobody knows where they were typed', () => {
    openLineHistory(path);
    writeFileSync(path, 'typed before\n');
    const [one, other] = [openLineHistory(path), openLineHistory(path)];
    one.add('my secret is PURPLEGIRAFFE', 'talk-1');
    other.add('hello\there', 'talk-2');
    one.forget('talk-1');
    expect(one.lines).toEqual(['hello\there']);
    expect(kept()).toBe('talk-2\thello\there\n');
    expect(openLineHistory(path).lines).toEqual(['hello\there']);
  });

  it('are done without where they cannot be written', () => {
    writeFileSync(join(folder, 'state'), 'a file where the folder should be');
    const history = openLineHistory(path);
    history.add('lost', 'talk-1');
    expect(history.lines).toEqual([]);
  });
});

describe('a terminal with a history', () => {
  function open() {
    const tty = () => Object.assign(new PassThrough(), { isTTY: true, columns: 80 });
    const [input, output] = [tty(), tty()];
    let text = '';
    output.on('data', (piece: Buffer) => {
      text += piece.toString();
    });
    const onInterrupt = (): void => undefined;
    const openHistory = () => openLineHistory(path);
    const conversationId = () => 'talk-1';
    const terminal = openTerminal({ input, output, onInterrupt, openHistory, conversationId });
    return { terminal, type: (keys: string) => input.write(keys), text: () => text };
  }

  it('keeps what is said, brings it back with the arrow key, and no answer to a question', async () => {
    const first = open();
    const said = first.terminal.readLine('you › ', { isKept: true });
    first.type('hello there\r');
    expect(await said).toBe('hello there');
    const secret = first.terminal.readLine('Token: ');
    first.type('a secret\r');
    expect(await secret).toBe('a secret');
    const again = first.terminal.readLine('you › ', { isKept: true });
    first.type('\u001b[A\r');
    expect(await again).toBe('hello there');
    first.terminal.close();
    expect(kept()).toBe('talk-1\thello there\ntalk-1\thello there\n');
    appendFileSync(path, 'and later\n');
    const second = open();
    second.terminal.setHistory(['said in this talk']);
    const older = second.terminal.readLine('you › ', { isKept: true });
    second.type('\u001b[A\u001b[A\r');
    expect(await older).toBe('and later');
    second.terminal.close();
  });

  it('brings nothing back that was typed in a deleted conversation', async () => {
    const { terminal, type } = open();
    const said = terminal.readLine('you › ', { isKept: true });
    type('my secret\r');
    await said;
    terminal.forget('talk-1');
    const next = terminal.readLine('you › ', { isKept: true });
    type('\u001b[A\r');
    expect([await next, kept()]).toEqual(['', '']);
    terminal.close();
  });

  it('keeps no mark of a paste', async () => {
    const { terminal, type } = open();
    const said = terminal.readLine('you › ', { isKept: true });
    type('\u001b[200~one\ntwo\u001b[201~\r');
    expect(await said).toBe('one\ntwo');
    terminal.close();
    expect(kept()).toBe('');
  });
});
