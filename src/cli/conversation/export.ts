// `attune export`: every conversation and flag of the running daemon as JSONL.
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Command } from 'commander';
import { type AddressOptions, findDaemon } from '../address.ts';
import { HttpClient } from '../http-client.ts';
import { addDeltaOptions, type ExportDeltaOptions, exportDelta } from '../model/export-delta.ts';

interface ExportOptions extends AddressOptions, ExportDeltaOptions {
  readonly conversation?: string;
  readonly to?: string;
}

export function registerExport(program: Command): void {
  addDeltaOptions(program.command('export'))
    .description('export conversations and flags as JSONL, or a model with merged deltas')
    .option('--conversation <id>', 'export only this conversation')
    .option('--to <file>', 'new file to write, readable only by you (default: standard output)')
    .option('--url <address>', 'URL of the daemon')
    .option('--config <file>', 'configuration file')
    .action((options: ExportOptions) => {
      const isMerge = options.delta !== undefined || options.merged !== undefined;
      return isMerge ? exportDelta(options) : exportConversations(options);
    });
}

export async function exportConversations(options: ExportOptions): Promise<void> {
  const client = new HttpClient(await findDaemon(options));
  const { conversation } = options;
  const one = `/api/conversations/${encodeURIComponent(conversation ?? '')}/export`;
  const lines = await client.stream(conversation === undefined ? '/api/export' : one);
  if (options.to === undefined) {
    await pour(lines, process.stdout);
    return;
  }
  const file = await open(options.to, 'wx', 0o600);
  const output = createWriteStream('', { fd: file.fd, autoClose: false });
  await pour(lines, output);
  await new Promise<void>((resolve) => output.end(resolve));
  await file.sync();
  await file.close();
}

async function pour(
  lines: AsyncIterable<Uint8Array>,
  output: NodeJS.WritableStream,
): Promise<void> {
  for await (const piece of lines) if (!output.write(piece)) await once(output, 'drain');
}
