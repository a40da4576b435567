// The person's look at a night's dreams: drop single ones, reword a reply, and train again with
// what is left. The night as it was stays in the ledger; training again makes another.
import { AttuneError } from '../base/errors.ts';
import { type ReviewChange, readReview, writeReview } from '../ledger/deletion.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Manifest, NightId } from '../ledger/manifest.ts';
import type { ReviewRequest, ReviewView } from '../protocol/summary.ts';
import { readDrafts, readScenarioFile } from '../record/files.ts';
import { parseScenario, type Scenario } from '../scenario/scenario.ts';
import { crossLesson, isCrossed } from '../teach/cross.ts';
import { asLesson } from '../teach/teacher.ts';
import { dreamView } from './samples.ts';

/** Nights whose dreams may still be changed: those that are in use have been decided. */
const CHANGEABLE = ['waiting', 'refused', 'rejected'];

/** @throws night-unknown */
export async function reviewView(ledger: Ledger, id: NightId): Promise<ReviewView> {
  const manifest = await ledger.read(id);
  const folder = ledger.folderOf(id);
  const dreams = await dreamsOf(ledger, id);
  const drafts = new Map((await readDrafts(folder)).map((draft) => [draft.id, draft]));
  const changes = new Map((await readReview(ledger, id)).map((change) => [change.id, change]));
  return {
    nightId: id,
    canChange: isChangeable(ledger, manifest) && dreams.length > 0,
    dreams: dreams.map((dream, index) => {
      const change = changes.get(dream.id);
      return {
        number: index + 1,
        ...dreamView(dream, drafts.get(dream.id)),
        chosen: change?.chosen ?? dream.chosen,
        pairId: dream.pair?.id ?? null,
        isDropped: change?.isDropped ?? false,
        isReworded: change !== undefined && change.chosen !== null,
      };
    }),
    changes: changes.size,
  };
}

async function dreamsOf(ledger: Ledger, id: NightId): Promise<Scenario[]> {
  const all = await readScenarioFile(ledger.folderOf(id), 'scenarios');
  return all.filter(({ source }) => source.origin === 'dream');
}

function isChangeable(ledger: Ledger, manifest: Manifest): boolean {
  return manifest.delta !== null && CHANGEABLE.includes(ledger.statusOf(manifest));
}

/**
 * Drops a dream (of a pair both sides: one alone would teach always, or never, to follow), takes it
 * in again, or rewords its listening reply.
 * @throws night-unknown when there is no such night or dream, review-refused
 */
export function changeDream(ledger: Ledger, id: NightId, change: DreamChange): Promise<ReviewView> {
  return ledger.turn(() => changeInTurn(ledger, id, change));
}

export interface DreamChange {
  readonly request: ReviewRequest;
  readonly at: string;
}

async function changeInTurn(
  ledger: Ledger,
  id: NightId,
  { request, at }: DreamChange,
): Promise<ReviewView> {
  const manifest = await ledger.read(id);
  if (!isChangeable(ledger, manifest)) {
    const status = ledger.statusOf(manifest);
    const message = `${id} is ${status}; only the dreams of a night that is ${CHANGEABLE.join(' or ')} can be changed.`;
    throw new AttuneError('review-refused', message, { id, status });
  }
  const dreams = await dreamsOf(ledger, id);
  const dream = dreams.find((one) => one.id === request.dreamId);
  if (dream === undefined) {
    const message = `${id} has no dream "${request.dreamId}".`;
    throw new AttuneError('night-unknown', message, { id, dreamId: request.dreamId });
  }
  const chosen = request.chosen?.trim();
  if (chosen !== undefined) assertReply(dream, chosen);
  const changes = new Map((await readReview(ledger, id)).map((change) => [change.id, change]));
  const isWith = (one: Scenario): boolean =>
    one.id === dream.id || (dream.pair !== undefined && one.pair?.id === dream.pair.id);
  for (const one of request.isDropped === undefined ? [dream] : dreams.filter(isWith)) {
    const known = changes.get(one.id);
    const isItself = one.id === dream.id;
    changes.set(one.id, {
      id: one.id,
      cluster: one.source.cluster,
      at,
      isDropped: request.isDropped ?? known?.isDropped ?? false,
      chosen: isItself && request.chosen !== undefined ? (chosen ?? null) : (known?.chosen ?? null),
    });
  }
  await writeReview(ledger, id, [...changes.values()]);
  return reviewView(ledger, id);
}

/** Spaces around it make no other reply. */
function assertReply(dream: Scenario, chosen: string): void {
  try {
    parseScenario({ ...dream, chosen, rejected: dream.rejected?.trim() });
  } catch (cause) {
    const message = `These words cannot be the reply: ${cause instanceof Error ? cause.message : ''}`;
    throw new AttuneError('review-refused', message, { dreamId: dream.id }, { cause });
  }
}

/** For the summary of a night that trained another again; empty for any other. */
export function againText({ review }: Manifest): string {
  if (review === undefined) return '';
  return `${review.of} trained again as you changed it: ${reviewText(review)}. `;
}

/** What the person changed of the night that was trained again. */
export function reviewText({
  dropped,
  reworded,
  withheld,
}: NonNullable<Manifest['review']>): string {
  const changed = `${dropped} dreams left out, ${reworded} replies reworded`;
  return withheld === undefined ? changed : `${changed}, ${withheld} examples taken back`;
}

const isPair = ({ pair: one }: Scenario, { pair: other }: Scenario): boolean =>
  one !== undefined && one.id === other?.id;

/** The scenarios of a night as the person wants them, and how many were changed. */
export function reviewed(
  scenarios: readonly Scenario[],
  changes: readonly ReviewChange[],
): { scenarios: Scenario[]; dropped: number; reworded: number } {
  const byId = new Map(changes.map((change) => [change.id, change]));
  const kept = scenarios.filter(({ id }) => byId.get(id)?.isDropped !== true);
  const wordsOf = ({ id }: Scenario): string | null => byId.get(id)?.chosen ?? null;
  const reworded = kept.filter((one) => wordsOf(one) !== null).length;
  const worded = kept.flatMap((scenario): readonly Scenario[] => {
    const chosen = wordsOf(scenario);
    const twin = kept.find((one) => one !== scenario && isPair(one, scenario));
    if (chosen === null) {
      // Of a crossed pair one reply was exchanged: where that is reworded, so is the other.
      const isReplaced = isCrossed(scenario) && twin !== undefined && wordsOf(twin) !== null;
      return isReplaced ? [] : [scenario];
    }
    // The person's words teach in the place of the told model's.
    const { teacher: _, rejected: __, ...rest } = scenario;
    const lesson = asLesson(parseScenario({ ...rest, chosen }));
    const isOnly = twin !== undefined && wordsOf(twin) === null;
    return (isOnly && crossLesson(lesson, twin)) || [lesson];
  });
  return { scenarios: worded, dropped: scenarios.length - kept.length, reworded };
}
