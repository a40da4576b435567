// `attune export`: every conversation and flag of the running daemon as JSONL.
import { once } from 'node:events';
import { createWriteStream, existsSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import type { Command } from 'commander';
import { AttuneError } from '../../base/errors.ts';
import { type AddressOptions, findDaemon } from '../address.ts';
import { HttpClient } from '../http-client.ts';
import { addDeltaOptions, type ExportDeltaOptions, exportDelta } from '../model/export-delta.ts';
import { converted, EXPORT_FORMATS, type ExportFormat } from './export-format.ts';

interface ExportOptions extends AddressOptions, ExportDeltaOptions {
  readonly conversation?: string;
  readonly to?: string;
  readonly format?: string;
}

const FORMATS = Object.keys(EXPORT_FORMATS);

const isFormat = (name: string): name is ExportFormat => FORMATS.includes(name);

export function registerExport(program: Command): void {
  addDeltaOptions(program.command('export'))
    .description('export conversations and flags as JSONL; or nights, as an adapter or a model')
    .option('--conversation <id>', 'export only this conversation')
    .option(
      '--to <file>',
      'new file to write, readable only by you (default: standard output); with --as, where',
    )
    .option('--format <name>', `lines for other programs: ${FORMATS.join(', ')}`)
    .option('--url <address>', 'URL of the daemon')
    .option('--config <file>', 'configuration file')
    .action((options: ExportOptions) => {
      const { night, delta, as } = options;
      const isModel = [night, delta, as].some((option) => option !== undefined);
      return isModel ? exportDelta(options) : exportConversations(options);
    });
}

export async function exportConversations(options: ExportOptions): Promise<void> {
  const client = new HttpClient(await findDaemon(options));
  const { conversation, format } = options;
  if (format !== undefined && !isFormat(format)) {
    const message = `There is no format "${format}"; use one of ${FORMATS.join(', ')}.`;
    throw new AttuneError('message-invalid', message, { format });
  }
  const one = `/api/conversations/${encodeURIComponent(conversation ?? '')}/export`;
  const own = client.stream(conversation === undefined ? '/api/export' : one);
  const lines = format === undefined ? own : converted(own, format);
  if (options.to === undefined) {
    await pour(lines, process.stdout);
    return;
  }
  await writeNew(options.to, lines);
}

/** A file that is cut short never has the final name. @throws message-invalid when it exists */
async function writeNew(path: string, lines: AsyncIterable<Uint8Array>): Promise<void> {
  if (existsSync(path)) {
    throw new AttuneError('message-invalid', `${path} exists already.`, { path });
  }
  const part = `${path}.part`;
  try {
    const file = await open(part, 'w', 0o600);
    await write(file, lines).finally(() => file.close());
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

async function write(file: FileHandle, lines: AsyncIterable<Uint8Array>): Promise<void> {
  const output = createWriteStream('', { fd: file.fd, autoClose: false });
  await pour(lines, output);
  await new Promise<void>((resolve) => output.end(resolve));
  await file.sync();
}

async function pour(
  lines: AsyncIterable<Uint8Array>,
  output: NodeJS.WritableStream,
): Promise<void> {
  for await (const piece of lines) if (!output.write(piece)) await once(output, 'drain');
}
