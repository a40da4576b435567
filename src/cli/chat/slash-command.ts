// The slash commands of `attune chat`: each has a name, a help line and an action.
import { randomUUID } from 'node:crypto';
import { AttuneError } from '../../base/errors.ts';
import type { ConversationSummary, Reply, SettingsPatch } from '../../protocol/conversation.ts';
import type { Flag } from '../../protocol/flag.ts';
import { walkFlag } from './chat-flag.ts';
import type { ChatSession } from './chat-session.ts';
import { flagLine, hitLine } from './line.ts';
import { printable } from './terminal.ts';

interface Command {
  readonly name: string;
  readonly takes?: string;
  readonly help: string;
  /** Returning 'leave' ends the session. */
  run(session: ChatSession, rest: string): unknown;
}

const LISTED_MAX = 20;
const WHEN = { dateStyle: 'medium', timeStyle: 'short' } as const;

const COMMANDS: readonly Command[] = [
  {
    name: 'flag',
    takes: '[N]',
    help: 'flag the last reply (or the Nth from the end): it did not listen',
    run: (session, rest) => mark(session, 'missed', rest),
  },
  {
    name: 'good',
    takes: '[N]',
    help: 'flag it as a good moment: it listened',
    run: (session, rest) => mark(session, 'good', rest),
  },
  {
    name: 'flags',
    help: 'list the flags of this conversation',
    run: (session) => listFlags(session),
  },
  {
    name: 'hear',
    takes: 'N',
    help: 'hear now what it says to a flag from /flags when it is told what you asked',
    run: (session, rest) => hear(session, flagNamed(session, rest)),
  },
  { name: 'withdraw', takes: 'N', help: 'withdraw a flag from /flags', run: withdrawFlag },
  { name: 'stop', help: 'stop the reply (or Ctrl-C)', run: (session) => session.stop() },
  {
    name: 'thought',
    takes: 'N',
    help: 'show what the model thought before its last reply, or the Nth from the end',
    run(session, rest) {
      const { thought } = replyNamed(session, rest);
      session.terminal.note(thought === undefined ? '(no thought)' : printable(thought.trim()));
    },
  },
  { name: 'again', help: 'regenerate the last reply', run: (session) => session.again() },
  { name: 'new', help: 'start a new conversation', run: (session) => session.begin() },
  {
    name: 'open',
    takes: 'N|ID',
    help: 'continue a conversation from /list or /search',
    run: (session, rest) => session.open(conversationNamed(session, rest.trim())),
  },
  { name: 'list', help: 'list the newest conversations', run: (session) => list(session) },
  {
    name: 'search',
    takes: 'WORDS',
    help: 'search all conversations',
    run: (session, rest) => search(session, rest.trim()),
  },
  {
    name: 'rename',
    takes: 'TITLE',
    help: 'rename this conversation',
    async run({ client, view: { conversationId } }, rest) {
      await client.request(
        { type: 'conversation-rename', conversationId, title: rest.trim() },
        'conversation-updated',
      );
    },
  },
  {
    name: 'delete',
    takes: 'N|ID',
    help: 'delete a conversation and everything derived from it',
    run: remove,
  },
  {
    name: 'learn',
    takes: 'on|off',
    help: 'allow or forbid nights to learn from this conversation',
    run: (session, rest) => configure(session, { canLearn: rest.trim() !== 'off' }),
  },
  {
    name: 'think',
    takes: 'on|off',
    help: 'let a model that can think do so before it replies, in this conversation',
    run(session, rest) {
      const templateVariables = { enable_thinking: rest.trim() !== 'off' };
      return configure(session, { settings: { templateVariables } });
    },
  },
  {
    name: 'set',
    takes: 'NAME VALUE',
    help: 'set temperature, topP, topK, seed, replyTokensMax, systemPrompt … of this conversation',
    run: (session, rest) => configure(session, { settings: settingOf(rest) }),
  },
  {
    name: 'help',
    help: 'show this list',
    run({ terminal }) {
      for (const { name, takes = '', help } of COMMANDS) {
        terminal.note(`  /${`${name} ${takes}`.padEnd(18)} ${help}`);
      }
      terminal.note('  A line that ends with \\ continues on the next.');
    },
  },
  { name: 'quit', help: 'quit (or Ctrl-D)', run: () => 'leave' },
];

/** Runs "/name rest"; an unknown name is reported, never sent. @returns true to end the session */
export async function runCommand(line: string, session: ChatSession): Promise<boolean> {
  const [word = '', ...rest] = line.slice(1).split(' ');
  const command = COMMANDS.find(({ name }) => name === word);
  if (command !== undefined) return (await command.run(session, rest.join(' '))) === 'leave';
  session.terminal.note(`Unknown command /${printable(word)}; /help shows the commands.`);
  return false;
}

function replyNamed({ view }: ChatSession, rest: string): Reply {
  const fromEnd = rest.trim() === '' ? 1 : Number(rest);
  const reply = Number.isInteger(fromEnd) ? view.replies.at(-fromEnd) : undefined;
  if (reply !== undefined && fromEnd > 0) return reply;
  throw new AttuneError('reply-not-found', 'There is no such reply in this conversation.');
}

async function mark(session: ChatSession, kind: 'missed' | 'good', rest: string): Promise<void> {
  const { terminal, client, view } = session;
  const reply = replyNamed(session, rest);
  const asked = view.messages.findIndex(({ id }) => id === reply.messageId);
  const flag = await walkFlag({
    kind,
    flagId: randomUUID(),
    conversationId: view.conversationId,
    reply,
    messages: view.messages.slice(0, asked + 1).reverse(),
    ask: (question) => terminal.readLine(question),
    tell: (text) => terminal.note(printable(text)),
  });
  if (flag === undefined) return terminal.note('no flag was added');
  const answer = await client.request({ type: 'flag-add', flag }, 'flag-added');
  terminal.note(
    kind === 'good' ? 'flagged as a good moment' : 'flagged; a night can learn from it',
  );
  // A pipe holds lines for what its writer knew would be asked.
  if (kind === 'missed' && !flag.betterWords && terminal.isInteractive) {
    await hear(session, answer.flag);
  }
}

/** What it says when it is told, beside what it said; and what the person makes of it. */
async function hear(session: ChatSession, { id: flagId }: Flag): Promise<void> {
  const { terminal, client } = session;
  const told = await session.hear(flagId);
  if (told === undefined || told.isRunning) return;
  if (told.error !== null) return terminal.note(`(${printable(told.error)}; /hear asks again)`);
  terminal.note('Does it listen now? Kept, it should do so by tomorrow without being told.');
  const answer = (await terminal.readLine('y keeps it, n: still not, Enter leaves it: '))?.trim();
  if (answer === 'y' && told.text !== '') {
    const request = { type: 'told-keep', flagId, replyId: told.replyId } as const;
    session.view.own(told.replyId);
    const { isPlaced } = await client.request(request, 'told-kept');
    terminal.note(isPlaced ? 'kept; it is the reply now' : 'kept for the night');
  }
  if (answer !== 'n') return;
  await client.request({ type: 'flag-edit', flagId, patch: { told: 'missed' } }, 'flag-edited');
  const betterWords = (await terminal.readLine('What would have been better? '))?.trim();
  if (!betterWords) return;
  await client.request({ type: 'flag-edit', flagId, patch: { betterWords } }, 'flag-edited');
  terminal.note('changed');
}

async function listFlags(session: ChatSession): Promise<void> {
  const { client, view, terminal } = session;
  const { conversationId } = view;
  const answer = await client.request({ type: 'flag-list', conversationId }, 'flag-listed');
  session.flagged = answer.flags.filter(({ withdrawnAt }) => withdrawnAt === null);
  if (session.flagged.length === 0) terminal.note('none');
  for (const [at, flag] of session.flagged.entries()) {
    terminal.note(printable(`${String(at + 1).padStart(3)}  ${flagLine(flag)}`));
  }
}

function flagNamed({ flagged }: ChatSession, rest: string): Flag {
  const flag = flagged[Number(rest.trim() || 'none') - 1];
  if (flag !== undefined) return flag;
  const message = 'Give the number of a flag from /flags, such as /withdraw 1.';
  throw new AttuneError('flag-not-found', message);
}

async function withdrawFlag(session: ChatSession, rest: string): Promise<void> {
  const { id: flagId } = flagNamed(session, rest);
  await session.client.request({ type: 'flag-withdraw', flagId }, 'flag-withdrawn');
  session.terminal.note('withdrawn');
}

function showConversations(
  session: ChatSession,
  conversations: readonly ConversationSummary[],
): void {
  session.listed = conversations;
  if (conversations.length === 0) session.terminal.note('none');
  for (const [at, { title, updatedAt, messages, canLearn }] of conversations.entries()) {
    const when = new Date(updatedAt).toLocaleString(undefined, WHEN);
    const learns = canLearn ? '' : ', not learnt from';
    const number = String(at + 1).padStart(3);
    session.terminal.note(
      printable(`${number}  ${title}  (${messages} messages, ${when}${learns})`),
    );
  }
}

async function list(session: ChatSession): Promise<void> {
  const answer = await session.client.request(
    { type: 'conversation-list', limit: LISTED_MAX },
    'conversation-listed',
  );
  showConversations(session, answer.conversations);
}

async function search(session: ChatSession, query: string): Promise<void> {
  if (query === '') throw new AttuneError('message-invalid', 'Usage: /search WORDS');
  const answer = await session.client.request(
    { type: 'conversation-search', query, limit: 20 },
    'conversation-found',
  );
  const { terminal } = session;
  if (answer.hits.length === 0) terminal.note('nothing found');
  const ids = [...new Set(answer.hits.map(({ conversationId }) => conversationId))];
  session.listed = ids.map((id) => ({ id }) as ConversationSummary);
  for (const hit of answer.hits) {
    const number = String(ids.indexOf(hit.conversationId) + 1).padStart(3);
    terminal.note(printable(`${number}  ${hitLine(hit)}`));
  }
}

function conversationNamed({ listed }: ChatSession, name: string): string {
  const byNumber = /^\d{1,3}$/.test(name) ? listed[Number(name) - 1]?.id : undefined;
  const id = byNumber ?? name;
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(id)) return id;
  const message = 'Give a number from /list, or the id of a conversation.';
  throw new AttuneError('conversation-not-found', message);
}

async function remove(session: ChatSession, rest: string): Promise<void> {
  const conversationId = conversationNamed(session, rest.trim());
  const sure = await session.terminal.readLine(
    'Delete the conversation, its flags and everything derived from it? y/N ',
  );
  if (sure?.trim().toLowerCase() !== 'y') return;
  const { pending } = await session.client.request(
    { type: 'conversation-delete', conversationId },
    'conversation-deleted',
  );
  const later = 'deleted; what was made from it is not, yet, and will be tried again: ';
  session.terminal.note(pending === undefined ? 'deleted' : later + printable(pending.reason));
  if (conversationId === session.view.conversationId) session.begin();
}

async function configure(
  { client, view, terminal }: ChatSession,
  change: { readonly settings?: SettingsPatch; readonly canLearn?: boolean },
): Promise<void> {
  const { conversationId } = view;
  // A conversation without messages does not exist at the daemon yet.
  if (view.messages.length === 0)
    await client.request({ type: 'conversation-create', conversationId }, 'conversation-created');
  await client.request(
    { type: 'conversation-configure', conversationId, ...change },
    'conversation-updated',
  );
  terminal.note('done');
}

/** Reads "temperature 0.7"; without a value, the setting goes back to the configured one. */
function settingOf(rest: string): SettingsPatch {
  const [name = '', ...words] = rest.trim().split(' ');
  const text = words.join(' ');
  if (name === 'systemPrompt') return { systemPrompt: text === '' ? null : text };
  const value = text === '' ? null : Number(text);
  if (name !== '' && !Number.isNaN(value)) return { [name]: value };
  throw new AttuneError('message-invalid', 'Usage: /set NAME NUMBER');
}
