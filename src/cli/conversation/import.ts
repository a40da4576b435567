// `attune import`: conversations and ratings of other programs, sent to the running daemon.
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import { readJsonBounded } from '../../base/atomic-file.ts';
import { AttuneError, isAttuneError } from '../../base/errors.ts';
import { ConversationImported, type ConversationImportInput } from '../../protocol/http.ts';
import { type AddressOptions, addAddressOptions, findDaemon } from '../address.ts';
import { HttpClient } from '../http-client.ts';
import { reportWarnings } from '../report.ts';
import { OpenWebuiFile, readOpenWebui } from './open-webui.ts';

const FILE_BYTES_MAX = 2 ** 30;

export function registerImport(program: Command): void {
  addAddressOptions(program.command('import'))
    .description(
      'import conversations from another program (open-webui: exported chats or feedback)',
    )
    .argument('<program>', 'open-webui')
    .argument('<file>', 'its JSON export')
    .action(importFile);
}

async function importFile(program: string, file: string, options: AddressOptions): Promise<void> {
  if (program !== 'open-webui') {
    throw new AttuneError(
      'message-invalid',
      `Cannot import from "${program}"; open-webui is supported.`,
    );
  }
  const { conversations, skipped } = readOpenWebui(await readExport(file), Date.now());
  const client = new HttpClient(await findDaemon(options));
  const count = { conversations: 0, known: 0, messages: 0, flags: 0 };
  const refused = [...skipped];
  for (const { place, conversation } of conversations) {
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
  conversation: ConversationImportInput,
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
