// Old and new replies judged blind: which pairs are shown, the answers on disk, and the veto.
import { join } from 'node:path';
import { z } from 'zod';
import { openAppendFile } from '../base/append-file.ts';
import { readTextBounded, writeFileAtomic } from '../base/atomic-file.ts';
import { AttuneError } from '../base/errors.ts';
import { sha256 } from '../base/hash.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { NightId } from '../ledger/manifest.ts';
import type { BlindAnswer, BlindPair, BlindView, NightSummary } from '../protocol/summary.ts';
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

export interface BlindBook {
  /** @throws night-unknown */
  read(night: NightId): Promise<BlindView>;
  /** The first answer to a pair counts. @throws night-unknown, also when there is no such pair */
  keep(night: NightId, answer: BlindAnswer, at: number): Promise<BlindView>;
}

/** Answers lie in `blind.jsonl` beside the nights: flags and preferences, no words. */
export function openBlindBook(ledger: Ledger): BlindBook {
  const { ops } = ledger.folder;
  const path = pathIn(ledger);

  /** Opens the file, and appends one record when it has to. */
  async function look(
    night: NightId,
    answer?: { given: BlindAnswer; at: number },
  ): Promise<BlindView> {
    const pairs = pairsOf(ledger, await readSummary(ledger, night));
    const records: BlindRecord[] = [];
    const file = await openAppendFile(path, {
      ops,
      isSound: (record) => recordSchema.safeParse(record).success,
      onRecord: (record) => records.push(recordSchema.parse(record)),
    });
    try {
      const known = firstAnswers(records, night);
      if (answer !== undefined) {
        const { flagId, choice } = answer.given;
        const pair = pairs.find((one) => one.flagId === flagId);
        if (pair === undefined) throw unknownPair(night, flagId);
        if (!known.has(flagId)) {
          const prefers = preference(pair, choice);
          await file.append({ schema: 1, at: answer.at, night, flagId, prefers });
          known.set(flagId, prefers);
        }
      }
      return viewOf(pairs, known);
    } finally {
      await file.close();
    }
  }

  return {
    read: (night) => ledger.turn(() => look(night)),
    keep: (night, given, at) => ledger.turn(() => look(night, { given, at })),
  };
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

function firstAnswers(records: readonly BlindRecord[], night: NightId): Map<string, Preference> {
  const answers = new Map<string, Preference>();
  for (const record of records) {
    if (record.night === night && !answers.has(record.flagId)) {
      answers.set(record.flagId, record.prefers);
    }
  }
  return answers;
}

/** Moments answered differently, in an order that nobody can guess and that a reload keeps. */
function pairsOf(ledger: Ledger, { nightId, flagged }: NightSummary): Pair[] {
  const differing = flagged.filter(({ oldReply, newReply }) => oldReply.trim() !== newReply.trim());
  return differing.slice(0, PAIRS_MAX).map(({ flagId, direction, oldReply, newReply }) => {
    const hash = sha256(`${ledger.base} ${nightId} ${flagId}`);
    const isOldFirst = Number.parseInt(hash.slice(0, 2), 16) % 2 === 0;
    const [a, b] = isOldFirst ? [oldReply, newReply] : [newReply, oldReply];
    return { flagId, direction, a, b, isOldFirst };
  });
}

function preference({ isOldFirst }: Pair, choice: BlindAnswer['choice']): Preference {
  if (choice === 'same') return 'same';
  return (choice === 'a') === isOldFirst ? 'old' : 'new';
}

function viewOf(pairs: readonly Pair[], answers: ReadonlyMap<string, Preference>): BlindView {
  const open = pairs.filter(({ flagId }) => !answers.has(flagId));
  const given = [...answers.values()];
  const count = (wanted: Preference): number => given.filter((one) => one === wanted).length;
  const tally = { old: count('old'), new: count('new'), same: count('same') };
  const isOver = open.length === 0 && given.length > 0;
  return {
    pairs: open.map(({ flagId, direction, a, b }) => ({ flagId, direction, a, b })),
    tally: isOver ? tally : null,
    isVeto: isOver && tally.old >= VETO_MIN && tally.old > tally.new,
  };
}

function unknownPair(night: NightId, flagId: string): AttuneError {
  const message = `${night} has no pair of replies for the flag "${flagId}".`;
  return new AttuneError('night-unknown', message, { night, flagId });
}
