// `attune export`: every conversation and flag of the running daemon as JSONL, also in the forms of
// other programs.
import { once } from 'node:events';
import { createWriteStream, existsSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import type { Command } from 'commander';
import { AttuneError } from '../../base/errors.ts';
import type { Flag } from '../../protocol/flag.ts';
import { type AddressOptions, findDaemon, HttpClient } from '../daemon.ts';
import { addDeltaOptions, type ExportDeltaOptions, exportDelta } from '../model/export-delta.ts';

interface ExportOptions extends AddressOptions, ExportDeltaOptions {
  readonly conversation?: string;
  readonly to?: string;
  readonly format?: string;
}

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

// An export as the lines that others train on: ShareGPT, OpenAI's messages, pairs of replies.

/** What a line of our own export has, as far as it is needed here. */
interface Line {
  readonly type: string;
  readonly id: string;
  readonly messageId?: string;
  readonly replaces?: string | null;
  readonly text?: string;
  readonly settings?: { readonly systemPrompt?: string };
  readonly title?: string;
}

interface Said {
  readonly id: string;
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

interface Exported {
  readonly id: string;
  readonly said: readonly Said[];
  /** Of every reply, also of those whose place another took: what was said before it. */
  readonly before: ReadonlyMap<string, readonly Said[]>;
  readonly texts: ReadonlyMap<string, string>;
  readonly flags: readonly Flag[];
}

type Format = (exported: Exported) => readonly object[];

const plain = (said: readonly Said[]): object[] =>
  said.map(({ role, content }) => ({ role, content }));

const FROM = { system: 'system', user: 'human', assistant: 'gpt' } as const;

export const EXPORT_FORMATS = {
  openai: ({ said }) => (said.length === 0 ? [] : [{ messages: plain(said) }]),
  sharegpt: ({ id, said }) => {
    const conversations = said.map(({ role, content }) => ({ from: FROM[role], value: content }));
    return said.length === 0 ? [] : [{ id, conversations }];
  },
  /** What a person would have wanted to hear, and what was said: as TRL and others take it. */
  preferences: ({ flags, before, texts }) =>
    flags.flatMap(({ replyId, betterWords, withdrawnAt, kind }) => {
      const rejected = texts.get(replyId);
      if (betterWords === null || withdrawnAt !== null || kind !== 'missed') return [];
      if (rejected === undefined || rejected === betterWords) return [];
      const reply = (content: string) => [{ role: 'assistant', content }];
      const prompt = plain(before.get(replyId) ?? []);
      return [{ prompt, chosen: reply(betterWords), rejected: reply(rejected) }];
    }),
} as const satisfies Readonly<Record<string, Format>>;

export type ExportFormat = keyof typeof EXPORT_FORMATS;
const FORMATS = Object.keys(EXPORT_FORMATS);

const isFormat = (name: string): name is ExportFormat => FORMATS.includes(name);

/** @param lines of one conversation's export: its log, then its flags */
function exportedOf(lines: readonly Line[]): Exported {
  const system = lines.findLast(({ settings }) => settings !== undefined)?.settings?.systemPrompt;
  let said: Said[] = system ? [{ id: 'system', role: 'system', content: system }] : [];
  const before = new Map<string, readonly Said[]>();
  const texts = new Map<string, string>();
  for (const { type, id, text = '', messageId, replaces } of lines) {
    if (type === 'message') said = [...said, { id, role: 'user', content: text }];
    if (type !== 'reply') continue;
    texts.set(id, text);
    const at = said.findIndex((one) => one.id === messageId);
    before.set(id, at === -1 ? said : said.slice(0, at + 1));
    said = said.filter((one) => one.id !== replaces);
    if (text === '') continue;
    const place = replaces ? said.findIndex((one) => one.id === messageId) + 1 : 0;
    said.splice(place > 0 ? place : said.length, 0, { id, role: 'assistant', content: text });
  }
  const flags = lines.filter((line): line is Line & Flag => line.type === 'flag');
  return { id: lines[0]?.id ?? '', said, before, texts, flags };
}

/** Our own export in another format, a line an object. */
export async function* converted(
  pieces: AsyncIterable<Uint8Array>,
  format: ExportFormat,
): AsyncGenerator<Uint8Array> {
  let own: Line[] = [];
  const whole = (): Uint8Array => {
    const objects = own.length === 0 ? [] : EXPORT_FORMATS[format](exportedOf(own));
    return Buffer.from(objects.map((one) => `${JSON.stringify(one)}\n`).join(''), 'utf8');
  };
  const lines = createInterface({ input: Readable.from(pieces) });
  for await (const text of lines) {
    if (text === '') continue;
    const line = JSON.parse(text) as Line;
    if (line.type === 'conversation') {
      yield whole();
      own = [];
    }
    own.push(line);
  }
  yield whole();
}
