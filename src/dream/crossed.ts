// The other side of a scene: two of its slots exchanged, and with them its two candidates.
import { passes } from './candidate.ts';
import type { Draft } from './draft.ts';
import { factsOf, type Scene } from './scene.ts';
import { playScene, type StageOptions } from './stage.ts';

/**
 * Both sides of a crossed pair: the same candidates, in two contexts in which opposite ones listen.
 * Whoever does not read the context gets no such pair right, so none of it is a habit of speech.
 * The draft alone, where the scene names no slots to exchange, a candidate is missing, or one does
 * not fit the other side. Nothing is sampled: slots and distractors are those of the draft.
 * @throws SceneFailed
 */
export async function crossedPair(
  draft: Draft,
  scene: Scene,
  stage: StageOptions,
): Promise<Draft[]> {
  const { chosen, rejected } = draft;
  const side = scene.sides[0];
  const slots = exchanged(scene.front.cross, stage.slots);
  if (side === undefined || slots === undefined) return [draft];
  if (chosen === undefined || rejected === undefined) return [draft];
  const { messages, spans } = await playScene(side, { ...stage, slots });
  const facts = factsOf(side, slots);
  const twin = {
    id: `${draft.id}-twin`,
    kind: draft.kind,
    messages,
    spans,
    ...(facts === undefined ? {} : { facts }),
  };
  const { seed, angle } = draft;
  const source = { origin: 'dream' as const, cluster: seed.cluster, domain: angle.domain };
  if (!passes({ ...twin, source }, rejected) || passes({ ...twin, source }, chosen)) return [draft];
  const ofPair = (one: 'a' | 'b') => ({ pair: { id: draft.id, side: one } });
  return [
    { ...draft, ...ofPair('a') },
    {
      ...draft,
      ...twin,
      ...ofPair('b'),
      chosen: rejected,
      rejected: chosen,
      chosenFrom: 'crossed',
      rejectedFrom: 'crossed',
    },
  ];
}

function exchanged(
  cross: readonly string[],
  slots: ReadonlyMap<string, string>,
): Map<string, string> | undefined {
  const [one, other] = cross.map((name) => ({ name, value: slots.get(name) }));
  if (one?.value === undefined || other?.value === undefined) return undefined;
  return new Map(slots).set(one.name, other.value).set(other.name, one.value);
}
