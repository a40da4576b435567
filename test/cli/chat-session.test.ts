import { PassThrough } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { ChatSession } from '../../src/cli/chat/chat-session.ts';
import { runCommand } from '../../src/cli/chat/slash-command.ts';
import { openTerminal, printable } from '../../src/cli/chat/terminal.ts';
import {
  openTestDaemon,
  type TestDaemon,
  type TestDaemonOptions,
} from '../server/open-test-daemon.ts';

let daemon: TestDaemon;

afterEach(() => daemon.end());

interface Piped {
  readonly input: PassThrough;
  readonly session: ChatSession;
  readonly done: Promise<void>;
  text(): string;
}

/** `attune chat` over a pipe. */
async function chat(options: TestDaemonOptions = {}): Promise<Piped> {
  daemon = await openTestDaemon(options);
  return attach(daemon.url);
}

function attach(url: string): Piped {
  const input = new PassThrough();
  const output = new PassThrough();
  let text = '';
  output.on('data', (piece: Buffer) => {
    text += piece.toString();
  });
  let session: ChatSession | undefined;
  const terminal = openTerminal({
    input,
    output,
    onInterrupt: (typed) => session?.interrupt(typed),
    takeAtOnce: (line) => {
      if (line !== '/stop' || session?.view.isReplying !== true) return false;
      session.stop();
      return true;
    },
  });
  session = new ChatSession({ url, token: '' }, terminal, runCommand);
  return { input, session, done: session.run(), text: () => text };
}

describe('attune chat over a pipe', () => {
  it('answers each line, in order, and ends with the input', async () => {
    const piped = await chat();
    piped.input.end('hello\nsecond \\\nline\n');
    await piped.done;
    expect(piped.text()).toBe('You said: hello\nYou said: second \nline\n');
  });

  it('runs slash commands', async () => {
    const piped = await chat();
    piped.input.end(
      'find the needle\n/again\n/rename Named\n/search needle\n/new\nother\n/list\n/open 2\n/flag\nneedle\n\nbetter\n3\n\n/flags\n/nonsense\n/open nowhere\n/help\n',
    );
    await piped.done;
    const text = piped.text();
    expect(text.match(/You said: find the needle/g)?.length).toBeGreaterThanOrEqual(3);
    expect(text).toContain('Named');
    expect(text).toContain('1  not heard (strong)  “needle”  → better');
    expect(text).toContain('Unknown command /nonsense');
    expect(text).toContain('(Conversation nowhere was not found');
    expect(text).toContain('/search WORDS');
    const [flag] = daemon.store.flags.list();
    expect(flag).toMatchObject({ betterWords: 'better', userSpan: { span: { text: 'needle' } } });
  });

  it('takes a flag back by its number, and refuses invalid numbers', async () => {
    const piped = await chat();
    const flag = ['/flag', 'hello', '', 'hi', '', ''];
    const rest = ['/flags', '/withdraw 2', '/withdraw 0', '/withdraw', '/withdraw 1', '/flags'];
    piped.input.end(`${['hello', ...flag, ...rest].join('\n')}\n`);
    await piped.done;
    const text = piped.text();
    expect(text).toContain('1  not heard (clear)  “hello”  → hi');
    expect(text.match(/Give the number of a flag from \/flags/g)).toHaveLength(3);
    expect(text.trimEnd().split('\n').slice(-2)).toEqual(['withdrawn', 'none']);
    expect(daemon.store.flags.list()).toMatchObject([{ betterWords: 'hi', strength: 2 }]);
  });

  it('says again what was asked with /hear, keeps it, or takes better words', async () => {
    const piped = await chat();
    const flag = ['/flag', 'blue', '', '', '', ''];
    const keep = ['I want the blue room', ...flag, '/flags', '/hear 1', 'y'];
    const still = ['I want the green room', ...flag, '/flags', '/hear 2', 'n', 'It is green.'];
    piped.input.end(`${[...keep, ...still, '/hear 9'].join('\n')}\n`);
    await piped.done;
    const said = 'You said: As I said: "blue" I want the blue room';
    // It is shown once, also when it becomes the reply; and in the list of flags.
    expect(piped.text().split(said)).toHaveLength(3);
    expect(piped.text()).toContain('kept; it is the reply now');
    expect(daemon.store.flags.list()).toMatchObject([
      { betterWords: said, told: 'kept' },
      { betterWords: 'It is green.', told: 'missed' },
    ]);
  });

  it('stops a reply at once with /stop', async () => {
    const piped = await chat({ tokenDelayMs: 10 });
    piped.input.write(`${'x'.repeat(300)}\n`);
    await expect.poll(() => piped.text()).toContain('You');
    piped.input.write('/stop\n');
    await expect.poll(() => piped.text(), { timeout: 5000 }).toContain('(stopped)');
    piped.input.end();
    await piped.done;
  });

  it('comes back after the daemon was restarted, and what was said is answered once', async () => {
    const piped = await chat();
    piped.input.write('before\n');
    await expect.poll(() => piped.text()).toContain('You said: before\n');
    const { folder, port } = daemon;
    await daemon.stop();
    await expect.poll(() => piped.text()).toContain('(the connection is lost');
    piped.input.write('meanwhile\n');
    daemon = await openTestDaemon({ folder, config: { server: { port } } });
    await expect.poll(() => piped.text(), { timeout: 15_000 }).toContain('You said: meanwhile\n');
    piped.input.end();
    await piped.done;
    const state = await daemon.store.conversations.read(piped.session.view.conversationId);
    expect(state.entries).toHaveLength(4);
    expect(piped.text().match(/You said: meanwhile/g)).toHaveLength(1);
  }, 30_000);

  it('says nothing in a conversation that was deleted elsewhere, and begins another', async () => {
    const piped = await chat();
    piped.input.write('hello\n');
    await expect.poll(piped.text).toContain('You said: hello');
    const [id] = daemon.store.conversations.ids();
    await daemon.conversations.delete(id as string);
    piped.input.end('more\nagain\n');
    await piped.done;
    expect(piped.text()).toContain('begins a new conversation');
    expect(piped.text()).not.toContain('You said: more');
    expect(piped.text()).toContain('You said: again');
    expect(daemon.store.conversations.ids()).not.toContain(id);
  });

  it('says what is wrong when no daemon answers', async () => {
    daemon = await openTestDaemon();
    const piped = attach('http://127.0.0.1:9');
    await expect(piped.done).rejects.toMatchObject({ code: 'daemon-unreachable' });
  });

  it('lets no text take over the terminal', () => {
    expect(printable('a\u001b[2Jb\u0007c\u009b1md\te\nf\u0000')).toBe('a[2Jbc1md\te\nf');
  });
});
