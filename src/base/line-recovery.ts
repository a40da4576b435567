// Reads a JSONL file from its start, mends its torn end and sets damaged lines aside.
import { dirname } from 'node:path';
import { readFileBounded } from './atomic-file.ts';
import type { FileOps, OpenFile } from './file-ops.ts';
import { sha256 } from './hash.ts';
import { createPace } from './pace.ts';

export type DamageReason = 'torn' | 'not-json' | 'unsound' | 'too-long';

export interface Damage {
  /** Byte offset of the line in its file. */
  readonly offset: number;
  readonly bytes: number;
  readonly reason: DamageReason;
}

export interface LineReport {
  readonly records: number;
  /** Size of the file after mending. */
  readonly bytes: number;
  readonly damaged: readonly Damage[];
  /** The last line was whole but for its newline, which was added. */
  readonly isLastLineCompleted: boolean;
}

export interface RecoveryOptions {
  readonly path: string;
  readonly ops: FileOps;
  readonly lineBytesMax: number;
  readonly isSound: (record: unknown) => boolean;
  readonly onRecord: (record: unknown, offset: number) => void;
  /** Called in the same order for each damaged line but a torn last one. */
  readonly onDamaged?: (() => void) | undefined;
}

/** Of the file beside a log that holds what was damaged in it. */
export const DAMAGED_SUFFIX = '.damaged';
const PIECE_BYTES = 1 << 20;
const NEWLINE = 10;
const DAMAGED_BYTES_MAX = 256 * 2 ** 20;

interface Line {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly isTerminated: boolean;
  /** Bytes beyond the limit were counted and not kept. */
  readonly length: number;
}

/** The lines of a file, one at a time; a line beyond the limit keeps only its first bytes. */
export async function* readLines(file: OpenFile, lineBytesMax: number): AsyncGenerator<Line> {
  const size = await file.size();
  let parts: Uint8Array[] = [];
  let length = 0;
  let kept = 0;
  let lineStart = 0;
  for (let position = 0; position < size; ) {
    const piece = await file.read(position, Math.min(PIECE_BYTES, size - position));
    if (piece.length === 0) break;
    for (let from = 0; from < piece.length; ) {
      const newline = piece.indexOf(NEWLINE, from);
      const to = newline === -1 ? piece.length : newline;
      const keep = piece.subarray(from, Math.min(to, from + Math.max(0, lineBytesMax - kept)));
      if (keep.length > 0) parts.push(keep);
      kept += keep.length;
      length += to - from;
      if (newline === -1) break;
      yield { offset: lineStart, bytes: Buffer.concat(parts), isTerminated: true, length };
      lineStart += length + 1;
      parts = [];
      length = 0;
      kept = 0;
      from = newline + 1;
    }
    position += piece.length;
  }
  if (length > 0) {
    yield { offset: lineStart, bytes: Buffer.concat(parts), isTerminated: false, length };
  }
}

type Judged = { readonly record: object } | { readonly reason: DamageReason };

function judge(line: Line, { lineBytesMax, isSound }: RecoveryOptions): Judged {
  if (line.length > lineBytesMax) return { reason: 'too-long' };
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(line.bytes);
    const record: unknown = JSON.parse(text);
    if (typeof record !== 'object' || record === null) return { reason: 'not-json' };
    return isSound(record) ? { record } : { reason: 'unsound' };
  } catch {
    return { reason: 'not-json' };
  }
}

/**
 * Hands each sound record to `onRecord` and mends the end of the file. Running it again changes
 * nothing more. The caller fsyncs the file.
 */
export async function recoverLines(file: OpenFile, options: RecoveryOptions): Promise<LineReport> {
  const damaged: Damage[] = [];
  const lost: { line: Line; reason: DamageReason }[] = [];
  let records = 0;
  let bytes = await file.size();
  let isLastLineCompleted = false;
  let cutAt: number | undefined;
  const pace = createPace();
  for await (const line of readLines(file, options.lineBytesMax)) {
    await pace();
    const judged = judge(line, options);
    if ('record' in judged) {
      options.onRecord(judged.record, line.offset);
      records += 1;
      isLastLineCompleted = !line.isTerminated;
      continue;
    }
    if (line.length === 0) continue;
    const reason = line.isTerminated ? judged.reason : 'torn';
    lost.push({ line, reason });
    damaged.push({ offset: line.offset, bytes: line.length, reason });
    if (!line.isTerminated) cutAt = line.offset;
    else options.onDamaged?.();
  }
  if (lost.length > 0) await quarantine(lost, options);
  if (isLastLineCompleted) {
    await file.write(Uint8Array.of(NEWLINE));
    bytes += 1;
  }
  if (cutAt !== undefined) {
    await file.truncate(cutAt);
    bytes = cutAt;
  }
  return { records, bytes, damaged, isLastLineCompleted };
}

/** Copies lines to `<path>.damaged`, each once, before anything is cut off. */
async function quarantine(
  lost: readonly { readonly line: Line; readonly reason: DamageReason }[],
  { path, ops }: RecoveryOptions,
): Promise<void> {
  const target = path + DAMAGED_SUFFIX;
  const before = await readFileBounded(target, { ops, bytesMax: DAMAGED_BYTES_MAX });
  const known = new Set(
    Buffer.from(before ?? [])
      .toString('utf8')
      .split('\n')
      .map(keyOf),
  );
  const fresh = lost
    .map(({ line, reason }) => ({
      key: `${line.offset}:${sha256(line.bytes).slice(0, 16)}`,
      reason,
      bytes: line.length,
      base64: Buffer.from(line.bytes).toString('base64'),
    }))
    .filter(({ key }) => !known.has(key));
  if (fresh.length === 0) return;
  const file = await ops.open(target, 'append');
  try {
    // A first newline, should the last quarantine have been cut short by a crash.
    await file.write(Buffer.from(`\n${fresh.map((entry) => JSON.stringify(entry)).join('\n')}\n`));
    await file.sync();
  } finally {
    await file.close();
  }
  await ops.syncFolder(dirname(target));
}

/** The key of a whole quarantine entry; an entry that a crash cut short counts as not there. */
function keyOf(line: string): string | undefined {
  return line.endsWith('"}') ? /^\{"key":"([0-9a-f:]+)"/.exec(line)?.[1] : undefined;
}
