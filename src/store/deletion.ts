// What is left of a night's texts when a talk is deleted: nothing that was said in it, came from it
// or bears its name. The numbers that were measured stay.
import { deleteSource, isNamedIn, type NightTexts } from '../ledger/deletion.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { NightId } from '../ledger/manifest.ts';
import type { Memory } from '../memory/memory.ts';
import { summaryMarkdown } from '../morning/summary-markdown.ts';
import { NightSummary } from '../protocol/summary.ts';
import { FILE } from '../record/files.ts';

/**
 * Nothing of the conversation stays in memory or in any ledger, whichever base model speaks. No
 * night that learns from it may be running.
 */
export async function forgetTalk(
  { ledgers, memory }: { readonly ledgers: readonly Ledger[]; readonly memory: Memory },
  talkId: string,
): Promise<void> {
  await memory.erase(talkId);
  const at = new Date().toISOString();
  for (const ledger of ledgers) {
    await deleteSource(ledger, talkId, { at, left: (texts) => textsWithout(talkId, texts) });
  }
}

/** True while the running night has, or may have, something of the talk in hand. */
export function isLearning(ledger: Ledger, night: NightId, talkId: string): Promise<boolean> {
  // Without that folder it was committed and is not finished yet: it ends by itself, soon.
  return isNamedIn(ledger.buildingOf(night), talkId).catch(() => true);
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
export function textsWithout(talkId: string, texts: NightTexts): Map<string, string | null> {
  const parsed = [...texts]
    .filter(([name, text]) => /\.jsonl?$/.test(name) && text.trim() !== '')
    .map(([name, text]) => parse(name, text));
  const own = ownIds(talkId, parsed);
  const isOwn = (value: unknown): boolean => own.has(idOf(value)) || isFrom(talkId, value);
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
  return left;
}

/** A process that was killed while it wrote leaves half a line: nobody reads it. */
function parse(name: string, text: string): Parsed {
  const isLines = name.endsWith('.jsonl');
  const parts = isLines ? text.split('\n').filter((line) => line !== '') : [text];
  const values = parts.flatMap((part) => {
    try {
      return [JSON.parse(part)];
    } catch {
      return [];
    }
  });
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
  /** Of a flagged moment. */
  readonly context?: Entry;
  /** Of what was drawn from memory. */
  readonly gist?: Entry;
}

const isEntry = (value: unknown): value is Entry => typeof value === 'object' && value !== null;

/** Says itself that it came from the talk. */
function isFrom(talkId: string, value: unknown): boolean {
  if (!isEntry(value)) return false;
  const { conversationId, source, context, gist } = value;
  const isSaid = conversationId === talkId || source?.cluster === talkId;
  return isSaid || isFrom(talkId, context) || isFrom(talkId, gist);
}

/** What names a scenario or a flag, in lists of them and of their measures. */
function idOf(value: unknown): string {
  if (typeof value === 'string') return value;
  return (isEntry(value) ? (value.flagId ?? value.id) : undefined) ?? '';
}

/** Ids of the flags and scenarios out of the talk: replies and measures name nothing else. */
function ownIds(talkId: string, files: readonly Parsed[]): Set<string> {
  const listed = files.flatMap(({ values }) => values.flat());
  const entries = listed.filter((value): value is Entry => isFrom(talkId, value));
  const ids = entries.flatMap((one) => [one.id, one.flagId, one.context?.id]);
  return new Set(ids.filter((id) => id !== undefined));
}

/** Leaves what is the talk's own out of every list, however deep. */
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
