// Old and new replies judged blind: which pairs are shown, the answers on disk, and the veto.
import { join } from 'node:path';
import { z } from 'zod';
import { openAppendFile } from '../base/append-file.ts';
import { readTextBounded, writeFileAtomic } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import { sha256 } from '../base/hash.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { NightId } from '../ledger/manifest.ts';
import type {
  BlindAnswer,
  BlindPair,
  BlindView,
  NightSummary,
  TrialView,
} from '../protocol/summary.ts';
import { readSummary } from './list.ts';

/** More would be a chore in the morning, and fewer could not say "most". */
const PAIRS_MAX = 3;
/** One preference is no pattern. */
const VETO_MIN = 2;

const recordSchema = z.strictObject({
  schema: z.literal(1),
  at: z.int(),
  night: z.string(),
  flagId: z.string(),
  prefers: z.enum(['old', 'new', 'same']),
});
type BlindRecord = z.infer<typeof recordSchema>;

export type Tally = TrialView['tally'];

/** What was preferred of the pairs of a day on trial. */
export interface DayAnswers {
  /** Messages whose pairs were judged. */
  readonly judged: ReadonlySet<string>;
  readonly tally: Tally;
}

export interface BlindBook {
  /** @throws night-unknown */
  read(night: NightId): Promise<BlindView>;
  /** The first answer to a pair counts. @throws night-unknown, also when there is no such pair */
  keep(night: NightId, answer: BlindAnswer, at: number): Promise<BlindView>;
  /** Of a night on trial; `flagId` of an answer is the id of the message that was answered. */
  day(night: NightId, answer?: { given: BlindAnswer; at: number }): Promise<DayAnswers>;
}

/** Answers lie in `blind.jsonl` beside the nights: flags and preferences, no words. */
export function openBlindBook(ledger: Ledger): BlindBook {
  const { ops } = ledger.folder;
  const path = pathIn(ledger);

  /** Reads the answers, and appends one where `next` has one more. */
  async function withRecords<T>(
    use: (records: readonly BlindRecord[]) => { readonly next?: BlindRecord; readonly result: T },
  ): Promise<T> {
    const records: BlindRecord[] = [];
    const file = await openAppendFile(path, {
      ops,
      isSound: (record) => recordSchema.safeParse(record).success,
      onRecord: (record) => records.push(recordSchema.parse(record)),
    });
    try {
      const { next, result } = use(records);
      if (next !== undefined) await file.append(next);
      return result;
    } finally {
      await file.close();
    }
  }

  async function look(
    night: NightId,
    answer?: { given: BlindAnswer; at: number },
  ): Promise<BlindView> {
    const pairs = pairsOf(ledger, await readSummary(ledger, night));
    return withRecords((records) => {
      const known = firstAnswers(records, night, isOfNight);
      if (answer === undefined) return { result: viewOf(pairs, known) };
      const { flagId, choice } = answer.given;
      const pair = pairs.find((one) => one.flagId === flagId);
      if (pair === undefined) throw unknownPair(night, flagId);
      if (known.has(flagId)) return { result: viewOf(pairs, known) };
      const prefers = preference(pair, choice);
      const next = { schema: 1 as const, at: answer.at, night, flagId, prefers };
      return { next, result: viewOf(pairs, known.set(flagId, prefers)) };
    });
  }

  function lookAtDay(
    night: NightId,
    answer?: { given: BlindAnswer; at: number },
  ): Promise<DayAnswers> {
    return withRecords((records) => {
      const known = firstAnswers(records, night, (id) => !isOfNight(id));
      const flagId = DAY + (answer?.given.flagId ?? '');
      if (answer === undefined || known.has(flagId)) return { result: dayOf(known) };
      const order = { isOldFirst: isOldFirst(ledger, night, answer.given.flagId) };
      const prefers = preference(order, answer.given.choice);
      const next = { schema: 1 as const, at: answer.at, night, flagId, prefers };
      return { next, result: dayOf(known.set(flagId, prefers)) };
    });
  }

  return {
    read: (night) => ledger.turn(() => look(night)),
    keep: (night, given, at) => ledger.turn(() => look(night, { given, at })),
    day: (night, answer) => ledger.turn(() => lookAtDay(night, answer)),
  };
}

/** One preference is enough, where nothing speaks against it. */
export const staysAfter = ({ old, new: fresh }: Tally): boolean => fresh > old;

/** Before the ids of messages, where the answers of a night have flags. */
const DAY = 'day:';
const isOfNight = (id: string): boolean => !id.startsWith(DAY);

function dayOf(known: ReadonlyMap<string, Preference>): DayAnswers {
  const judged = new Set([...known.keys()].map((id) => id.slice(DAY.length)));
  return { judged, tally: tallyOf(known) };
}

function tallyOf(answers: ReadonlyMap<string, Preference>): Tally {
  const given = [...answers.values()];
  const count = (wanted: Preference): number => given.filter((one) => one === wanted).length;
  return { old: count('old'), new: count('new'), same: count('same') };
}

/** Nobody can guess it, and a reload keeps it. */
export function isOldFirst(ledger: Ledger, night: NightId, id: string): boolean {
  return Number.parseInt(sha256(`${ledger.base} ${night} ${id}`).slice(0, 2), 16) % 2 === 0;
}

/** Takes the answers about these flags away. To be called in the ledger's turn. */
export async function deleteAnswers(ledger: Ledger, flagIds: readonly string[]): Promise<void> {
  const { ops } = ledger.folder;
  const path = pathIn(ledger);
  const text = await readTextBounded(path, { ops });
  if (text === undefined || !flagIds.some((id) => text.includes(`"${id}"`))) return;
  const named = flagIds.map((id) => `"flagId":"${id}"`);
  const kept = text.split('\n').filter((line) => !named.some((name) => line.includes(name)));
  await writeFileAtomic(path, kept.join('\n'), ops);
}

const pathIn = ({ folder }: Ledger): string => join(folder.path, 'blind.jsonl');

type Preference = BlindRecord['prefers'];
interface Pair extends BlindPair {
  readonly isOldFirst: boolean;
}

function firstAnswers(
  records: readonly BlindRecord[],
  night: NightId,
  counts: (flagId: string) => boolean,
): Map<string, Preference> {
  const answers = new Map<string, Preference>();
  for (const { flagId, prefers, ...record } of records) {
    if (record.night !== night || answers.has(flagId) || !counts(flagId)) continue;
    answers.set(flagId, prefers);
  }
  return answers;
}

/** Moments answered differently. */
function pairsOf(ledger: Ledger, { nightId, flagged }: NightSummary): Pair[] {
  const differing = flagged.filter(({ oldReply, newReply }) => oldReply.trim() !== newReply.trim());
  return differing.slice(0, PAIRS_MAX).map(({ flagId, direction, asked, oldReply, newReply }) => {
    const isFirst = isOldFirst(ledger, nightId, flagId);
    const [a, b] = isFirst ? [oldReply, newReply] : [newReply, oldReply];
    return { flagId, direction, asked, a, b, isOldFirst: isFirst };
  });
}

function preference(
  { isOldFirst }: Pick<Pair, 'isOldFirst'>,
  choice: BlindAnswer['choice'],
): Preference {
  if (choice === 'same') return 'same';
  return (choice === 'a') === isOldFirst ? 'old' : 'new';
}

function viewOf(pairs: readonly Pair[], answers: ReadonlyMap<string, Preference>): BlindView {
  const open = pairs.filter(({ flagId }) => !answers.has(flagId));
  const tally = tallyOf(answers);
  const isOver = open.length === 0 && answers.size > 0;
  return {
    pairs: open.map(({ isOldFirst: _, ...pair }) => pair),
    tally: isOver ? tally : null,
    isVeto: isOver && tally.old >= VETO_MIN && tally.old > tally.new,
  };
}

function unknownPair(night: NightId, flagId: string): AttuneError {
  const message = `${night} has no pair of replies for the flag "${flagId}".`;
  return new AttuneError('night-unknown', message, { night, flagId });
}
