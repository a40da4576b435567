// `attune import`: conversations and flags of an export, ours or another program's, for the daemon.
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import { parsedJson } from '../../base/atomic-file.ts';
import { AttuneError, isAttuneError } from '../../base/errors.ts';
import { systemCode } from '../../base/file-ops.ts';
import {
  type ConversationExport,
  ConversationImported,
  type ConversationImportInput,
} from '../../protocol/http.ts';
import { type AddressOptions, addAddressOptions, findDaemon, HttpClient } from '../daemon.ts';
import { reportWarnings } from '../report.ts';
import { ARCHIVES, type Archive, type Entry, readOpenWebui } from './archive.ts';

/** The longest text that can be read as one. */
const FILE_BYTES_MAX = 2 ** 29 - 2 ** 20;

const READERS = { 'open-webui': readOpenWebui, ...ARCHIVES } as const;
/** jsonl: ShareGPT, or OpenAI's `{"messages": […]}`, one a line. */
const PROGRAMS = ['attune', ...Object.keys(READERS)].join(', ');

export function registerImport(program: Command): void {
  addAddressOptions(program.command('import'))
    .description('import conversations that Attune or another program exported')
    .argument('<program>', PROGRAMS)
    .argument('<file>', 'its export')
    .action(importFile);
}

async function importFile(program: string, file: string, options: AddressOptions): Promise<void> {
  const read = Object.entries(READERS).find(([name]) => name === program)?.[1];
  if (read === undefined && program !== 'attune') {
    const message = `Cannot import from "${program}"; use one of ${PROGRAMS}.`;
    throw new AttuneError('message-invalid', message);
  }
  const { conversations, skipped } =
    read === undefined
      ? { conversations: readExported(file), skipped: [] }
      : withDamage(await readEntries(file), read);
  const client = new HttpClient(await findDaemon(options));
  const count = { conversations: 0, known: 0, messages: 0, flags: 0 };
  const refused = [...skipped];
  const total = Array.isArray(conversations) ? ` of ${conversations.length}` : '';
  let at = 0;
  for await (const { place, conversation } of conversations) {
    at += 1;
    if (process.stderr.isTTY && at % 10 === 0) process.stderr.write(`\rImporting ${at}${total} …`);
    try {
      const done = await send(client, conversation);
      count[done.isDuplicate ? 'known' : 'conversations']++;
      count.messages += done.messages;
      count.flags += done.flags;
    } catch (error) {
      // Without a daemon, or without room, the others would be refused as well.
      if (!isAttuneError(error) || error.status >= 500) throw error;
      refused.push(`${place}: ${error.message} (${error.code})`);
    }
  }
  if (process.stderr.isTTY && at >= 10) process.stderr.write('\r\u001b[K');
  process.stdout.write(
    `Conversations imported: ${count.conversations}, already stored: ${count.known}. ` +
      `Messages added: ${count.messages}, flags: ${count.flags}.\n`,
  );
  if (refused.length === 0) return;
  process.stderr.write(`Skipped: ${refused.length}.\n`);
  reportWarnings(refused);
  process.exitCode = 1;
}

/** An export of thousands waits where the daemon asks for it. */
export async function send(
  client: HttpClient,
  conversation: ConversationImportInput | ConversationExport,
): Promise<ConversationImported> {
  for (;;) {
    try {
      return await client.post('/api/conversations', conversation, ConversationImported);
    } catch (error) {
      if (!isAttuneError(error, 'rate-limit')) throw error;
      await delay(Number(error.facts.retryAfterMs ?? 1_000));
    }
  }
}

/** Each conversation with its flags begins with a line of its own. @throws message-invalid */
async function* readExported(file: string) {
  let lines: string[] = [];
  let begin = 1;
  let at = 0;
  const whole = () => ({ place: `line ${begin}`, conversation: { export: lines.join('\n') } });
  try {
    for await (const line of createInterface({ input: createReadStream(file) })) {
      at += 1;
      if (line.startsWith('{"type":"conversation"') && lines.length > 0) {
        yield whole();
        lines = [];
        begin = at;
      }
      lines.push(line);
    }
  } catch (cause) {
    throw unreadable(file, cause);
  }
  if (lines.length > 0) yield whole();
}

interface Entries {
  readonly entries: readonly Entry[];
  readonly damaged: readonly string[];
}

function withDamage(
  { entries, damaged }: Entries,
  read: (entries: readonly Entry[], now: number) => Archive,
): Archive {
  const { conversations, skipped } = read(entries, Date.now());
  return { conversations, skipped: [...damaged, ...skipped] };
}

/** A list, one entry, or an entry a line. @throws message-invalid, file-too-large */
async function readEntries(file: string): Promise<Entries> {
  const text = await readText(file);
  const whole = parsedJson(text);
  if (typeof whole === 'object' && whole !== null) {
    const list = Array.isArray(whole) ? whole : [whole];
    const entries = list.map((value: unknown, index) => ({ place: `entry ${index + 1}`, value }));
    return { entries, damaged: [] };
  }
  const damaged: string[] = [];
  const entries = text.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return [];
    const place = `line ${index + 1}`;
    const value = parsedJson(line);
    if (value !== undefined) return [{ place, value }];
    damaged.push(`${place}: this is not JSON`);
    return [];
  });
  if (entries.length > 0) return { entries, damaged };
  const message = `${file} is no export: it has neither a list of conversations nor lines of JSON.`;
  throw new AttuneError('message-invalid', message, { file });
}

async function readText(file: string): Promise<string> {
  try {
    const { size } = await stat(file);
    if (size > FILE_BYTES_MAX) {
      const message = `${file} has ${size} bytes; at most ${FILE_BYTES_MAX} are read. Split it.`;
      throw new AttuneError('file-too-large', message, { file });
    }
    return (await readFile(file, 'utf8')).replace(/^\uFEFF/, '');
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

function unreadable(file: string, cause: unknown): unknown {
  if (isAttuneError(cause)) return cause;
  const message = `${file} cannot be read: ${systemCode(cause)}.`;
  return new AttuneError('message-invalid', message, { file }, { cause });
}
