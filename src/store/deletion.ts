// What is left of a night's texts when a conversation or a flag is taken back: nothing that was
// said in it, came from it or bears its name. The numbers that were measured stay.
import { parsedJson } from '../base/atomic-file.ts';
import { deleteSource, isNamedIn, type Left, type NightTexts } from '../ledger/deletion.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { NightId } from '../ledger/manifest.ts';
import type { Memory } from '../memory/memory.ts';
import { deleteAnswers } from '../morning/blind.ts';
import { summaryMarkdown } from '../morning/summary-markdown.ts';
import { NightSummary } from '../protocol/summary.ts';
import { FILE } from '../record/files.ts';
import { measuresForgetting } from '../scenario/moment.ts';
import type { Scenario } from '../scenario/scenario.ts';

/** What words come from. */
export interface Source {
  readonly kind: 'conversation' | 'flag';
  readonly id: string;
}

interface Kept {
  readonly ledgers: readonly Ledger[];
  readonly memory: Memory;
}

/**
 * Nothing of the source stays in memory or in any ledger, whichever base model speaks. No night
 * that learns from it may be running.
 * @param conversationId whose gist is made again without it
 * @param flagIds whose blind answers go
 */
export async function forgetSource(
  { ledgers, memory }: Kept,
  source: Source & { readonly conversationId: string; readonly flagIds: readonly string[] },
): Promise<void> {
  await memory.erase(source.conversationId);
  const at = new Date().toISOString();
  for (const ledger of ledgers) {
    await deleteAnswers(ledger, source.flagIds);
    await deleteSource(ledger, source.id, { at, left: (texts) => textsWithout(source, texts) });
  }
}

/** True while the running night has, or may have, something of the source in hand. */
export function isLearning(ledger: Ledger, night: NightId, source: Source): Promise<boolean> {
  // Without that folder it was committed and is not finished yet: it ends by itself, soon.
  return isNamedIn(ledger.buildingOf(night), source.id).catch(() => true);
}

interface Parsed {
  readonly name: string;
  readonly isLines: boolean;
  /** All of it, or some of its lines, could not be read. */
  readonly isDamaged: boolean;
  /** The lines of JSONL, or the whole as the only one. */
  readonly values: readonly unknown[];
}

/**
 * Only texts that change are in the result. Null: it is removed, as is one that cannot be read:
 * whose words are in it, nobody can tell.
 */
export function textsWithout(source: Source, texts: NightTexts): Left {
  const parsed = [...texts]
    .filter(([name, text]) => /\.jsonl?$/.test(name) && text.trim() !== '')
    .map(([name, text]) => parse(name, text));
  const ids = ownIds(source, parsed);
  const known = attributedIds(parsed);
  // Whose a dream or a reply is that no file names any more, nobody can tell.
  const isOrphan = (value: unknown): boolean =>
    isEntry(value) && hasWords(value) && !isAttributed(value) && !known.has(idOf(value));
  // The other side of a crossed moment has its words, and is named by its pair.
  const isOwn = (value: unknown): boolean =>
    ids.has(idOf(value)) || ids.has(pairOf(value)) || isFrom(source, value) || isOrphan(value);
  const left = new Map<string, string | null>();
  for (const file of parsed) {
    if (file.isDamaged && !file.isLines) {
      left.set(file.name, null);
      if (file.name === FILE.summary && texts.has(FILE.summaryText))
        left.set(FILE.summaryText, null);
      continue;
    }
    const kept = without(file.values, isOwn) as unknown[];
    if (!file.isDamaged && JSON.stringify(kept) === JSON.stringify(file.values)) continue;
    if (file.name === FILE.scenarios && texts.has(FILE.probe)) left.set(FILE.probe, null);
    if (file.name === FILE.summary && texts.has(FILE.summaryText)) {
      left.set(FILE.summaryText, markdownOf(kept[0]));
    }
    // The probe holds tokens of scenarios and does not say whose.
    if (file.name !== FILE.probe) left.set(file.name, print(file, kept));
  }
  const hasTrained = parsed.some(({ name, values }) =>
    values.some((value) => isOwn(value) && trains(name, value)),
  );
  return { texts: left, hasTrained, ids };
}

function trains(name: string, value: unknown): boolean {
  if (name === FILE.everyday) return !measuresForgetting(value as Scenario);
  return name === FILE.scenarios || name === FILE.easy;
}

/** A process that was killed while it wrote leaves half a line: nobody reads it. */
function parse(name: string, text: string): Parsed {
  const isLines = name.endsWith('.jsonl');
  const parts = isLines ? text.split('\n').filter((line) => line !== '') : [text];
  const values = parts.map(parsedJson).filter((value) => value !== undefined);
  return { name, isLines, isDamaged: values.length < parts.length, values };
}

function print({ isLines }: Parsed, values: readonly unknown[]): string {
  if (!isLines) return `${JSON.stringify(values[0], null, 2)}\n`;
  return values.map((value) => `${JSON.stringify(value)}\n`).join('');
}

interface Entry {
  readonly id?: string;
  readonly flagId?: string;
  readonly conversationId?: string;
  readonly source?: { readonly cluster?: string };
  readonly pair?: { readonly id?: string };
  readonly turns?: unknown;
  /** Of a dream. */
  readonly seed?: { readonly origin?: string; readonly id?: string };
  /** Of a flagged moment. */
  readonly context?: Entry;
  /** Of what was drawn from memory. */
  readonly gist?: Entry;
}

const isEntry = (value: unknown): value is Entry => typeof value === 'object' && value !== null;

/** Says itself that it came from the source. */
function isFrom(from: Source, value: unknown): boolean {
  if (!isEntry(value)) return false;
  const { flagId, conversationId, source, seed, context, gist } = value;
  if (from.kind === 'flag') {
    return flagId === from.id || (seed?.origin === 'flag' && seed.id === from.id);
  }
  const isSaid = conversationId === from.id || source?.cluster === from.id;
  return isSaid || isFrom(from, context) || isFrom(from, gist);
}

/** What names a scenario or a flag, in lists of them and of their measures. */
function idOf(value: unknown): string {
  if (typeof value === 'string') return value;
  return (isEntry(value) ? (value.flagId ?? value.id) : undefined) ?? '';
}

const pairOf = (value: unknown): string => (isEntry(value) ? value.pair?.id : undefined) ?? '';

/** It says itself where it came from. */
const isAttributed = ({ conversationId, source, seed, context, gist }: Entry): boolean =>
  [conversationId, source, seed, context, gist].some((one) => one !== undefined);

/** A dream as the summary shows it, or what is named after a flag. */
const hasWords = ({ turns, flagId }: Entry): boolean => turns !== undefined || flagId !== undefined;

function attributedIds(files: readonly Parsed[]): Set<string> {
  const entries = files
    .flatMap(({ values }) => values.flat())
    .filter(isEntry)
    .filter(isAttributed);
  return new Set(
    entries.flatMap((one) =>
      [one.id, one.flagId, one.context?.id].filter((id) => id !== undefined),
    ),
  );
}

/** Ids of the flags and scenarios out of the source: replies and measures name nothing else. */
function ownIds(source: Source, files: readonly Parsed[]): Set<string> {
  const listed = files.flatMap(({ values }) => values.flat());
  const entries = listed.filter((value): value is Entry => isFrom(source, value));
  const ids = entries.flatMap((one) => [one.id, one.flagId, one.context?.id]);
  return new Set(ids.filter((id) => id !== undefined));
}

/** Leaves what is the source's own out of every list, however deep. */
function without(value: unknown, isOwn: (entry: unknown) => boolean): unknown {
  if (Array.isArray(value)) {
    return value.filter((entry) => !isOwn(entry)).map((entry) => without(entry, isOwn));
  }
  if (!isEntry(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, without(one, isOwn)]),
  );
}

function markdownOf(summary: unknown): string | null {
  const parsed = NightSummary.safeParse(summary);
  return parsed.success ? summaryMarkdown(parsed.data) : null;
}
