// The log of a conversation as it is on the disk, read record by record or as a whole.
import { LINE_BYTES_MAX } from '../base/append-file.ts';
import { readFileBounded, writeFileAtomic } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import { type Folder, systemCode } from '../base/file-ops.ts';
import { readLines } from '../base/line-recovery.ts';
import { createPace } from '../base/pace.ts';
import { logPath } from './catalogue.ts';
import { type LogRecord, parseRecord } from './record.ts';
import { applyLoss, applyRecord, type ConversationState, emptyState } from './state.ts';

/** The text of a log of any size, or undefined when there is none. */
export async function readLog({ path, ops }: Folder, id: string): Promise<string | undefined> {
  const bytesMax = Number.POSITIVE_INFINITY;
  const bytes = await readFileBounded(logPath(path, id), { bytesMax, ops });
  return bytes === undefined ? undefined : Buffer.from(bytes).toString('utf8');
}

/** The whole log, beside the one before and then in its place. @throws disk-full, store-failed */
export function writeLog({ path, ops }: Folder, id: string, bytes: Uint8Array): Promise<void> {
  return writeFileAtomic(logPath(path, id), bytes, ops, Number.POSITIVE_INFINITY);
}

/** What a log's text tells, as far as it goes; what is damaged is passed over. */
export function stateIn(id: string, text: string): ConversationState {
  const state = emptyState(id);
  const lines = text.split('\n');
  for (const [at, line] of lines.entries()) {
    const record = recordOn(line);
    const isLost = record === undefined && line !== '' && at < lines.length - 1;
    if (isLost || (at === 0 && record?.type !== 'conversation')) applyLoss(state);
    if (record !== undefined) applyRecord(state, record);
  }
  return state;
}

/** The lines of a log one after the other; however long it is, others go on meanwhile. */
export async function* readLogLines({ path, ops }: Folder, id: string): AsyncGenerator<string> {
  const pace = createPace();
  const file = await ops.open(logPath(path, id), 'read').catch((cause: unknown) => {
    if (systemCode(cause) !== 'ENOENT') throw cause;
    const message = `The log of the conversation ${id} is gone from the disk.`;
    throw new AttuneError('store-failed', message, { conversationId: id }, { cause });
  });
  try {
    for await (const { bytes } of readLines(file, LINE_BYTES_MAX)) {
      yield Buffer.from(bytes).toString('utf8');
      await pace();
    }
  } finally {
    await file.close();
  }
}

const PIECE_CHARACTERS = 2 ** 16;

/** The sound lines of a log, in pieces of some length. */
export async function* exportLog(folder: Folder, id: string): AsyncGenerator<string> {
  let piece = '';
  for await (const line of readLogLines(folder, id)) {
    if (recordOn(line) === undefined) continue;
    piece += `${line}\n`;
    if (piece.length < PIECE_CHARACTERS) continue;
    yield piece;
    piece = '';
  }
  if (piece !== '') yield piece;
}

/** Undefined for a line that is damaged. */
export function recordOn(line: string): LogRecord | undefined {
  if (line === '') return undefined;
  try {
    return parseRecord(JSON.parse(line));
  } catch {
    return undefined;
  }
}
