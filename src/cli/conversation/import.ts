// `attune import`: conversations and flags of an export, ours or another program's, for the daemon.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import { readJsonBounded } from '../../base/atomic-file.ts';
import { AttuneError, isAttuneError } from '../../base/errors.ts';
import { systemCode } from '../../base/file-ops.ts';
import {
  type ConversationExport,
  ConversationImported,
  type ConversationImportInput,
} from '../../protocol/http.ts';
import { type AddressOptions, addAddressOptions, findDaemon } from '../address.ts';
import { HttpClient } from '../http-client.ts';
import { reportWarnings } from '../report.ts';
import { OpenWebuiFile, readOpenWebui } from './open-webui.ts';

const FILE_BYTES_MAX = 2 ** 30;

export function registerImport(program: Command): void {
  addAddressOptions(program.command('import'))
    .description('import conversations that Attune or Open WebUI exported (chats or feedback)')
    .argument('<program>', 'attune or open-webui')
    .argument('<file>', 'its export')
    .action(importFile);
}

async function importFile(program: string, file: string, options: AddressOptions): Promise<void> {
  if (program !== 'open-webui' && program !== 'attune') {
    const message = `Cannot import from "${program}"; attune and open-webui are supported.`;
    throw new AttuneError('message-invalid', message);
  }
  const { conversations, skipped } =
    program === 'attune'
      ? { conversations: readExported(file), skipped: [] }
      : readOpenWebui(await readExport(file), Date.now());
  const client = new HttpClient(await findDaemon(options));
  const count = { conversations: 0, known: 0, messages: 0, flags: 0 };
  const refused = [...skipped];
  for await (const { place, conversation } of conversations) {
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
async function send(
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
    if (isAttuneError(cause)) throw cause;
    const message = `${file} cannot be read: ${systemCode(cause)}.`;
    throw new AttuneError('message-invalid', message, { file }, { cause });
  }
  if (lines.length > 0) yield whole();
}

/** @throws message-invalid, file-too-large */
async function readExport(file: string): Promise<unknown[]> {
  let entries: unknown[] | undefined;
  try {
    entries = await readJsonBounded(file, OpenWebuiFile, { bytesMax: FILE_BYTES_MAX });
  } catch (cause) {
    if (!isAttuneError(cause, 'store-damaged')) throw cause;
    const message = `${file} is not an export of Open WebUI, which is a JSON file with a list.`;
    throw new AttuneError('message-invalid', message, { file }, { cause });
  }
  if (entries !== undefined) return entries;
  throw new AttuneError('message-invalid', `There is no file ${file}.`, { file });
}
