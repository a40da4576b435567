// `attune rate`: finds the moments of Claude Code's transcripts in which the person corrected the
// agent, shows one after the other, and keeps those that the person confirms as flags.
import { readdir, readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { z } from 'zod';
import { parsedJson } from '../../base/atomic-file.ts';
import { AttuneError, isAttuneError } from '../../base/errors.ts';
import { systemCode } from '../../base/file-ops.ts';
import { Flag } from '../../protocol/flag.ts';
import type { ConversationImportInput, ImportedFlag } from '../../protocol/http.ts';
import { printable } from '../chat/terminal.ts';
import { type AddressOptions, addAddressOptions, findDaemon, HttpClient } from '../daemon.ts';
import { reportWarnings, say } from '../report.ts';
import { conversationFrom, ourId } from './archive.ts';
import { send } from './import.ts';

const PROJECTS = join(homedir(), '.claude', 'projects');
const PREFIX = 'cc-';

const Line = z.looseObject({
  type: z.enum(['user', 'assistant']),
  uuid: z.string(),
  sessionId: z.string(),
  timestamp: z.string().nullish(),
  /** Of another agent, written by the program, or a summary of what left the window. */
  isSidechain: z.boolean().nullish(),
  isMeta: z.boolean().nullish(),
  isCompactSummary: z.boolean().nullish(),
  message: z.looseObject({
    content: z.union([
      z.string(),
      z.array(
        z.looseObject({
          type: z.string(),
          text: z.string().optional(),
          content: z.unknown().optional(),
        }),
      ),
    ]),
  }),
});

/** A person who begins so, or says this, was not heard; in what follows they explain. */
const CORRECTION =
  /^(?:no\b(?! (?:problem|worries|rush|need))|nope\b|wrong\b|stop\b|wait\b|undo\b|revert\b|not (?:that|what|like|there|so)\b|don'?t\b|again[,:]|actually,)|\b(?:that(?:'s| is) (?:not|wrong)|(?:as )?i (?:already |just )?(?:said|asked|told you)|i did(?:n'?t| not) (?:ask|say|want|mean)|not what i|you (?:did(?:n'?t| not)|forgot|ignored|missed|should(?:n'?t| not)|were(?:n'?t| not)? (?:supposed|told))|why (?:did|are|do) you|(?:undo|revert) (?:that|this|it))\b/i;
const CORRECTION_CHARACTERS = 200;

const INTERRUPTED = /^\[Request interrupted by user/;
/** What the person said instead of letting a tool run. */
const DECLINED = /^(?:Error: )?The user doesn't want to proceed[\s\S]*?the user said:\s*([\s\S]+)$/;
/** What the program says in the person's place: `<system-reminder>…`, a summary of what was before. */
const PROGRAM =
  /<([a-z]+(?:[-_][a-z]+)+)>[\s\S]*?<\/\1>|^This session is being continued from a previous[\s\S]*/g;

/** One in which the person corrected the agent. */
export interface Moment {
  readonly asked: string;
  readonly reply: string;
  readonly correction: string;
  readonly flag: ImportedFlag;
  /** The whole session, which the flag is in. */
  readonly conversation: ConversationImportInput;
}

interface Said {
  readonly id: string;
  readonly role: 'user' | 'assistant';
  text: string;
  readonly at: string | null | undefined;
  readonly isCorrection: boolean;
}

/** What was said aloud, and where; tools, thoughts and other agents left out. */
function saidIn(lines: readonly z.infer<typeof Line>[]): Said[] {
  const all: Said[] = [];
  let isInterrupted = false;
  for (const { type: role, uuid: id, timestamp: at, message, ...line } of lines) {
    if (line.isSidechain || line.isMeta || line.isCompactSummary) continue;
    const { content } = message;
    const parts = typeof content === 'string' ? [] : content;
    const spoken = parts.flatMap((part) => (part.type === 'text' ? [part.text ?? ''] : []));
    const aloud = typeof content === 'string' ? [content] : spoken;
    const declined = parts
      .filter(({ type }) => type === 'tool_result')
      .flatMap((part) => DECLINED.exec(textOf(part))?.[1] ?? []);
    isInterrupted ||= role === 'user' && aloud.some((one) => INTERRUPTED.test(one));
    const text = [...aloud, ...declined]
      .filter((one) => !INTERRUPTED.test(one))
      .join('\n\n')
      .replace(PROGRAM, '')
      .trim();
    const last = all.at(-1);
    if (text === '') continue;
    if (role === 'assistant' && last?.role === role) last.text += `\n\n${text}`;
    else {
      const isSo = CORRECTION.test(text.slice(0, CORRECTION_CHARACTERS).replaceAll('’', "'"));
      const isCorrection = role === 'user' && (isInterrupted || declined.length > 0 || isSo);
      all.push({ id, role, text, at, isCorrection });
    }
    if (role === 'user') isInterrupted = false;
  }
  return all;
}

/** The text of what a tool gave back. */
function textOf({ content }: { readonly content?: unknown }): string {
  if (typeof content === 'string') return content;
  const parts = z.array(z.looseObject({ text: z.string().optional() })).safeParse(content);
  return parts.success ? parts.data.map(({ text }) => text ?? '').join('\n') : '';
}

/** Of one transcript, the oldest first. @param now where it says no time, in ms since 1970 */
export function momentsIn(transcript: string, now: number): Moment[] {
  const lines = transcript
    .split('\n')
    .flatMap((text) => Line.safeParse(parsedJson(text)).data ?? []);
  const said = saidIn(lines);
  const id = lines[0]?.sessionId ?? '';
  const title = said[0]?.text.replace(/\s+/g, ' ');
  const conversation = conversationFrom({ prefix: PREFIX, id, title, at: now, said });
  if (conversation === undefined) return [];
  const known = new Set(conversation.messages.map((one) => one.id));
  return said.flatMap(({ id: correctionId, isCorrection, text: correction }, at) => {
    const reply = said[at - 1];
    const asked = said.slice(0, at).findLast(({ role }) => role === 'user')?.text;
    if (!isCorrection || reply?.role !== 'assistant' || asked === undefined) return [];
    const replyId = ourId(PREFIX, reply.id);
    if (!known.has(replyId)) return [];
    const flag: ImportedFlag = {
      ...{ id: ourId(`${PREFIX}flag-`, correctionId), replyId, kind: 'missed', strength: 2 },
      ...{ betterWords: null, reason: correction.slice(0, 10_000) },
    };
    return [{ asked, reply: reply.text, correction, flag, conversation }];
  });
}

interface RateOptions extends AddressOptions {
  readonly all?: boolean;
}

export function registerRate(program: Command): void {
  addAddressOptions(program.command('rate'))
    .description("flag where you corrected a coding agent, in Claude Code's transcripts")
    .argument('[path]', 'a transcript, or a folder of them', PROJECTS)
    .option('--all', 'flag all that look like it, without asking')
    .action(rate);
}

async function rate(path: string, { all = false, ...options }: RateOptions): Promise<void> {
  const client = new HttpClient(await findDaemon(options));
  const { flags } = await client.get('/api/flags', z.object({ flags: z.array(Flag) }));
  const seen = new Set(flags.map(({ id }) => id));
  const found: Moment[] = [];
  for (const file of await transcriptsIn(path)) {
    found.push(...momentsIn(await readFile(file, 'utf8'), Date.now()));
  }
  // A session that was resumed is a transcript of its own, with what was said before.
  const moments = found.filter(({ flag: { id } }) => !seen.has(id) && seen.add(id));
  say(`Corrections found: ${found.length}, flagged before: ${found.length - moments.length}.`);
  const prompt = createInterface({ input: process.stdin });
  const lines = prompt[Symbol.asyncIterator]();
  let count = 0;
  try {
    for (const [at, moment] of moments.entries()) {
      if (!all) say(momentText(moment, `${at + 1} of ${moments.length}`));
      const answer = all
        ? 'y'
        : await ask(lines, 'Flag the reply as not heard? y, n or q (quit): ');
      if (answer === 'q') break;
      if (answer !== 'y') continue;
      const { conversation, flag } = moment;
      try {
        count += (await send(client, { ...conversation, flags: [flag] })).flags;
      } catch (error) {
        if (!isAttuneError(error) || error.status >= 500) throw error;
        reportWarnings([`${conversation.title}: ${error.message}`]);
        process.exitCode = 1;
      }
    }
  } finally {
    prompt.close();
  }
  say(`Flags added: ${count}.`);
}

/** One of the three; the end of the input quits. */
async function ask(lines: AsyncIterator<string>, question: string): Promise<string> {
  for (;;) {
    process.stdout.write(question);
    const { done, value } = await lines.next();
    if (done) return 'q';
    const answer = value.trim().toLowerCase();
    if (['y', 'n', 'q'].includes(answer)) return answer;
  }
}

/** @throws message-invalid */
async function transcriptsIn(path: string): Promise<string[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [path];
    const names = await readdir(path, { recursive: true });
    return names
      .filter((name) => name.endsWith('.jsonl'))
      .map((name) => join(path, name))
      .sort();
  } catch (cause) {
    const message = `${path} cannot be read: ${systemCode(cause)}. Name a transcript or its folder.`;
    throw new AttuneError('message-invalid', message, { file: path }, { cause });
  }
}

const SHOWN = 400;

function momentText({ asked, reply, correction }: Moment, place: string): string {
  const shown = (text: string): string => {
    const line = printable(text.replace(/\s+/g, ' ').trim());
    return line.length > SHOWN ? `${line.slice(0, SHOWN / 2)} … ${line.slice(-SHOWN / 2)}` : line;
  };
  return `\n${place}\n  you:   ${shown(asked)}\n  agent: ${shown(reply)}\n  you:   ${shown(correction)}`;
}
