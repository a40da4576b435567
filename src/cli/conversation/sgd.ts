// Direction moments of the data set Schema-Guided Dialogue as scenarios: real reply against foil.
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { readWholeLineFile } from '../../base/line-file.ts';
import { parseScenario, type Scenario, type ScenarioMessage } from '../../scenario/scenario.ts';
import type { Span } from '../../scenario/span.ts';
import { sentencesOf } from '../../scenario/words.ts';

const dialogueSchema = z.object({
  id: z.string(),
  services: z.array(z.string()),
  turns: z.array(
    z.object({
      role: z.enum(['user', 'assistant']),
      text: z.string().min(1),
      /** Act, slot, value. */
      acts: z.array(z.tuple([z.string(), z.string(), z.string()])),
    }),
  ),
});

/** A moment in which the person directs; `id` is dialogue#index of the directing turn. */
const momentSchema = z.object({
  id: z.string(),
  kind: z.string(),
  /** Slot, value before, value after. */
  changes: z.array(z.tuple([z.string(), z.string(), z.string()])).default([]),
  reply: z.string(),
  foil: z.string().nullish(),
});

type SgdDialogue = z.infer<typeof dialogueSchema>;
export type SgdMoment = z.infer<typeof momentSchema>;

/** @throws message-invalid naming the line. */
export async function readSgdDialogues(path: string): Promise<SgdDialogue[]> {
  return readWholeLineFile(path, dialogueSchema);
}

/** @throws message-invalid naming the line. */
export async function readSgdMoments(path: string): Promise<SgdMoment[]> {
  return readWholeLineFile(path, momentSchema);
}

/** Held back from pre-training: nights, flags and dreams draw on these only. */
export function isHeldBack(dialogueId: string): boolean {
  return crc32(dialogueId) % 3 === 0;
}

interface Moment {
  readonly moment: SgdMoment;
  readonly dialogue: SgdDialogue;
  readonly at: number;
}

function located(moments: readonly SgdMoment[], dialogues: readonly SgdDialogue[]): Moment[] {
  const byId = new Map(dialogues.map((dialogue) => [dialogue.id, dialogue]));
  return moments.flatMap((moment) => {
    const [id = '', turn = ''] = moment.id.split('#');
    const dialogue = byId.get(id);
    const at = Number(turn);
    return dialogue?.turns[at]?.role === 'user' ? [{ moment, dialogue, at }] : [];
  });
}

/** A raw value that no person or assistant would say; such foils are dropped. */
const RAW_VALUE = /\bdontcare\b|[{}<>_]|\b\d{4}-\d{2}-\d{2}\b/;

/** Every moment with a usable foil as it stands: real reply against foil. */
export function plainPairs(
  moments: readonly SgdMoment[],
  dialogues: readonly SgdDialogue[],
): Scenario[] {
  return located(moments, dialogues).flatMap(({ moment, dialogue, at }) => {
    const { foil, reply } = moment;
    if (!foil || foil === reply || RAW_VALUE.test(foil)) return [];
    const messages = dialogue.turns.slice(0, at + 1).map(({ role, text }) => {
      return { role, content: text };
    });
    return [scenarioOf({ moment, dialogue, at }, messages, { chosen: reply, rejected: foil })];
  });
}

/** Whether the value stands in the text as words of their own. */
function has(text: string, value: string): boolean {
  const escaped = value.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`(?<![\\p{L}\\p{N}])${escaped}(?![\\p{L}\\p{N}])`, 'iu').test(text);
}

/** The direction is the last turn; the own idea is what the assistant said it would do before. */
function scenarioOf(
  { moment, dialogue, at }: Moment,
  messages: readonly ScenarioMessage[],
  candidates: Pick<Scenario, 'chosen' | 'rejected'>,
): Scenario {
  const id = `plain:${moment.kind}:${moment.id}`;
  const end = messages[at]?.content.length ?? 0;
  const spans = [
    { feature: 'direction', message: at, start: 0, end },
    ...ownIdea(messages, moment.changes[0]?.[1] ?? ''),
  ];
  const source = { origin: 'sgd', cluster: dialogue.id, domain: dialogue.services.join('+') };
  return parseScenario({ id, kind: 'listen', messages, spans, ...candidates, source }, id);
}

/** The assistant's latest sentence that holds the old value; of an offer, its last sentence. */
function ownIdea(messages: readonly ScenarioMessage[], before: string): Span[] {
  const isIdea = (text: string): boolean => before === '' || has(text, before);
  const message = messages.findLastIndex((m) => m.role === 'assistant' && isIdea(m.content));
  const said = messages[message]?.content ?? '';
  const idea = sentencesOf(said).findLast(isIdea);
  if (idea === undefined) return [];
  const start = said.lastIndexOf(idea);
  return [{ feature: 'own-idea', message, start, end: start + idea.length }];
}
