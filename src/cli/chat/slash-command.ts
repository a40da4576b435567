// The commands of the terminal chat: each a name, a help line, and what it does in a session.
import { randomUUID } from 'node:crypto';
import { AttuneError } from '../../base/errors.ts';
import type { ConversationSummary, Reply, SettingsPatch } from '../../protocol/conversation.ts';
import type { Flag } from '../../protocol/flag.ts';
import { walkEdit, walkFlag } from './chat-flag.ts';
import type { ChatSession } from './chat-session.ts';
import { printable } from './terminal.ts';

interface Command {
  readonly name: string;
  readonly takes?: string;
  readonly help: string;
  /** 'leave' ends the session. */
  run(session: ChatSession, rest: string): unknown;
}

const LISTED_MAX = 20;
const WHEN = { dateStyle: 'medium', timeStyle: 'short' } as const;

const COMMANDS: readonly Command[] = [
  {
    name: 'flag',
    takes: '[N]',
    help: 'mark the last reply (or the Nth from the end): it did not listen',
    run: (session, rest) => mark(session, 'missed', rest),
  },
  {
    name: 'good',
    takes: '[N]',
    help: 'mark it as a good moment: it listened',
    run: (session, rest) => mark(session, 'good', rest),
  },
  { name: 'flags', help: 'the flags of this talk', run: (session) => listFlags(session) },
  { name: 'edit', takes: 'N', help: 'change a flag from /flags', run: editFlag },
  { name: 'withdraw', takes: 'N', help: 'take a flag from /flags back', run: withdrawFlag },
  { name: 'stop', help: 'stop the reply (so does Ctrl-C)', run: (session) => session.stop() },
  { name: 'again', help: 'answer my last message anew', run: (session) => session.again() },
  { name: 'new', help: 'begin a new talk', run: (session) => session.begin() },
  {
    name: 'open',
    takes: 'N|ID',
    help: 'go on with a talk from /list or /search',
    run: (session, rest) => session.open(talkNamed(session, rest.trim())),
  },
  { name: 'list', help: 'the newest talks', run: (session) => list(session) },
  {
    name: 'search',
    takes: 'WORDS',
    help: 'find words in all talks',
    run: (session, rest) => search(session, rest.trim()),
  },
  {
    name: 'rename',
    takes: 'TITLE',
    help: 'give this talk a title',
    async run({ client, view: { conversationId } }, rest) {
      await client.request(
        { type: 'conversation-rename', conversationId, title: rest.trim() },
        'conversation-updated',
      );
    },
  },
  { name: 'delete', takes: 'N|ID', help: 'delete a talk and all that was made of it', run: remove },
  {
    name: 'learn',
    takes: 'on|off',
    help: 'whether nights may learn from this talk',
    run: (session, rest) => configure(session, { canLearn: rest.trim() !== 'off' }),
  },
  {
    name: 'set',
    takes: 'NAME VALUE',
    help: 'temperature, topP, topK, seed, replyTokensMax, systemPrompt … of this talk',
    run: (session, rest) => configure(session, { settings: settingOf(rest) }),
  },
  {
    name: 'help',
    help: 'this list',
    run({ terminal }) {
      for (const { name, takes = '', help } of COMMANDS) {
        terminal.note(`  /${`${name} ${takes}`.padEnd(18)} ${help}`);
      }
      terminal.note('  A line that ends with \\ goes on in the next.');
    },
  },
  { name: 'quit', help: 'leave (so does Ctrl-D)', run: () => 'leave' },
];

/** Carries out "/name rest"; unknown names are told, never sent. @returns true: leave */
export async function runCommand(line: string, session: ChatSession): Promise<boolean> {
  const [word = '', ...rest] = line.slice(1).split(' ');
  const command = COMMANDS.find(({ name }) => name === word);
  if (command !== undefined) return (await command.run(session, rest.join(' '))) === 'leave';
  session.terminal.note(`There is no /${printable(word)}; /help shows the commands.`);
  return false;
}

function replyNamed({ view }: ChatSession, rest: string): Reply {
  const fromEnd = rest.trim() === '' ? 1 : Number(rest);
  const reply = Number.isInteger(fromEnd) ? view.replies.at(-fromEnd) : undefined;
  if (reply !== undefined && fromEnd > 0) return reply;
  throw new AttuneError('reply-not-found', 'There is no such reply in this talk.');
}

/** What a walk through a flag of this reply needs: the words around it, and whom to ask. */
function walkOf({ view, terminal }: ChatSession, reply: Reply) {
  const asked = view.messages.findIndex(({ id }) => id === reply.messageId);
  return {
    conversationId: view.conversationId,
    reply,
    messages: view.messages.slice(0, asked + 1).reverse(),
    ask: (question: string) => terminal.readLine(question),
    tell: (text: string) => terminal.note(printable(text)),
  };
}

async function mark(session: ChatSession, kind: 'missed' | 'good', rest: string): Promise<void> {
  const { terminal, client } = session;
  const reply = replyNamed(session, rest);
  const flag = await walkFlag({ ...walkOf(session, reply), kind, flagId: randomUUID() });
  if (flag === undefined) {
    terminal.note('nothing was marked');
    return;
  }
  await client.request({ type: 'flag-add', flag }, 'flag-added');
  terminal.note(kind === 'good' ? 'marked as a good moment' : 'flagged; a night can learn from it');
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

function flagLine({ kind, strength, userSpan, betterWords, reason, usedBy }: Flag): string {
  const parts = [
    `${kind} ${strength}`,
    userSpan === null ? '' : `“${userSpan.span.text}”`,
    betterWords === null ? '' : `→ ${betterWords}`,
    reason === null ? '' : `(${reason})`,
    usedBy.length === 0 ? '' : `learnt in ${usedBy.join(', ')}`,
  ];
  const filled = parts.filter((part) => part !== '');
  return filled.map((part) => part.replace(/\s+/g, ' ')).join('  ');
}

function flagNamed({ flagged }: ChatSession, rest: string): Flag {
  const flag = flagged[Number(rest.trim() || 'none') - 1];
  if (flag !== undefined) return flag;
  throw new AttuneError('flag-not-found', 'Say which: a number from /flags.');
}

async function editFlag(session: ChatSession, rest: string): Promise<void> {
  const { view, client, terminal } = session;
  const flag = flagNamed(session, rest);
  const reply = view.replies.find(({ id }) => id === flag.replyId);
  if (reply === undefined) {
    throw new AttuneError('reply-not-found', 'The reply of this flag was made anew since.');
  }
  const patch = await walkEdit({ ...walkOf(session, reply), flag });
  if (patch === undefined) return terminal.note('nothing was changed');
  await client.request({ type: 'flag-edit', flagId: flag.id, patch }, 'flag-edited');
  terminal.note('changed');
}

async function withdrawFlag(session: ChatSession, rest: string): Promise<void> {
  const { id: flagId } = flagNamed(session, rest);
  await session.client.request({ type: 'flag-withdraw', flagId }, 'flag-withdrawn');
  session.terminal.note('withdrawn');
}

function showTalks(session: ChatSession, talks: readonly ConversationSummary[]): void {
  session.listed = talks;
  if (talks.length === 0) session.terminal.note('none');
  for (const [at, { title, updatedAt, messages, canLearn }] of talks.entries()) {
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
  showTalks(session, answer.conversations);
}

async function search(session: ChatSession, query: string): Promise<void> {
  if (query === '') throw new AttuneError('message-invalid', 'Write /search and some words.');
  const answer = await session.client.request(
    { type: 'conversation-search', query, limit: 20 },
    'conversation-found',
  );
  const { terminal } = session;
  if (answer.hits.length === 0) terminal.note('nothing was found');
  const ids = [...new Set(answer.hits.map(({ conversationId }) => conversationId))];
  session.listed = ids.map((id) => ({ id }) as ConversationSummary);
  for (const { conversationId, title, role, excerpt } of answer.hits) {
    const number = String(ids.indexOf(conversationId) + 1).padStart(3);
    const who = role === 'user' ? 'you' : 'attune';
    const line = excerpt.replace(/\s+/g, ' ');
    terminal.note(printable(`${number}  ${title} — ${who}: …${line}…`));
  }
}

function talkNamed({ listed }: ChatSession, name: string): string {
  const byNumber = /^\d{1,3}$/.test(name) ? listed[Number(name) - 1]?.id : undefined;
  const id = byNumber ?? name;
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(id)) return id;
  throw new AttuneError('conversation-not-found', 'Say which: a number from /list, or an id.');
}

async function remove(session: ChatSession, rest: string): Promise<void> {
  const conversationId = talkNamed(session, rest.trim());
  const sure = await session.terminal.readLine(
    'Delete it, its flags and what was made of it? y/N ',
  );
  if (sure?.trim().toLowerCase() !== 'y') return;
  await session.client.request(
    { type: 'conversation-delete', conversationId },
    'conversation-deleted',
  );
  session.terminal.note('deleted');
  if (conversationId === session.view.conversationId) session.begin();
}

async function configure(
  { client, view, terminal }: ChatSession,
  change: { readonly settings?: SettingsPatch; readonly canLearn?: boolean },
): Promise<void> {
  const { conversationId } = view;
  // Settings of a talk in which nothing was said yet bring it into being.
  if (view.messages.length === 0)
    await client.request({ type: 'conversation-create', conversationId }, 'conversation-created');
  await client.request(
    { type: 'conversation-configure', conversationId, ...change },
    'conversation-updated',
  );
  terminal.note('done');
}

/** "temperature 0.7"; without a value the setting goes back to the configuration's. */
function settingOf(rest: string): SettingsPatch {
  const [name = '', ...words] = rest.trim().split(' ');
  const text = words.join(' ');
  if (name === 'systemPrompt') return { systemPrompt: text === '' ? null : text };
  const value = text === '' ? null : Number(text);
  if (name !== '' && !Number.isNaN(value)) return { [name]: value };
  throw new AttuneError('message-invalid', 'Write /set and a name and a number.');
}
