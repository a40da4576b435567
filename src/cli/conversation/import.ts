// `attune import`: conversations and ratings of other programs, sent to the running daemon.
import type { Command } from 'commander';
import { readJsonBounded } from '../../base/atomic-file.ts';
import { AttuneError } from '../../base/errors.ts';
import { ConversationImported } from '../../protocol/http.ts';
import { type AddressOptions, findDaemon } from '../address.ts';
import { HttpClient } from '../http-client.ts';
import { OpenWebuiFile, readOpenWebui } from './open-webui.ts';

const FILE_BYTES_MAX = 2 ** 30;

export function registerImport(program: Command): void {
  program
    .command('import')
    .description(
      'import conversations from another program (open-webui: exported chats or feedback)',
    )
    .argument('<program>', 'open-webui')
    .argument('<file>', 'its JSON export')
    .option('--url <address>', 'URL of the daemon')
    .option('--config <file>', 'configuration file')
    .action(importFile);
}

async function importFile(program: string, file: string, options: AddressOptions): Promise<void> {
  if (program !== 'open-webui') {
    throw new AttuneError(
      'message-invalid',
      `Cannot import from "${program}"; open-webui is supported.`,
    );
  }
  const entries = await readJsonBounded(file, OpenWebuiFile, { bytesMax: FILE_BYTES_MAX });
  if (entries === undefined) throw new AttuneError('message-invalid', `File ${file} not found.`);
  const client = new HttpClient(await findDaemon(options));
  const count = { conversations: 0, known: 0, messages: 0, flags: 0 };
  for (const conversation of readOpenWebui(entries, Date.now())) {
    const done = await client.post('/api/conversations', conversation, ConversationImported);
    count[done.isDuplicate ? 'known' : 'conversations']++;
    count.messages += done.isDuplicate ? 0 : done.messages;
    count.flags += done.flags;
  }
  process.stdout.write(
    `Conversations imported: ${count.conversations}, already stored: ${count.known}. ` +
      `Messages: ${count.messages}, flags: ${count.flags}.\n`,
  );
}
